"""What is still to be done on the homeserver, in the order of each room; and what was posted, about what."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import BinaryText, Connection, Moment, Serial, Tx, upsert_by

from parvis_messaging.store import METADATA
from parvis_messaging.store.links import link
from parvis_messaging.store.notices import notice

Act = Literal["room", "notice"]
delivery = sa.Table(
    "delivery",
    METADATA,
    sa.Column("id", Serial, primary_key=True),
    sa.Column("lane", BinaryText, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("notice_id", sa.Uuid),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("errcode", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index("ix_delivery_lane", "lane", "id"),
    sqlite_autoincrement=True,
)
"""`state`: waiting, begun, or parked with the errcode of the homeserver. What is done is deleted."""
posted = sa.Table(
    "posted",
    METADATA,
    sa.Column("event_id", BinaryText, primary_key=True),
    sa.Column("lane", BinaryText, nullable=False),
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Uuid),
    sa.Column("is_root", sa.Boolean, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Column("notice_id", sa.Uuid),
    sa.Index("ix_posted_subject", "lane", "subject_kind", "subject_id"),
)
"""The bridge's own messages: what an answer in their thread, or a reaction to one of them, is about."""


@dataclass(frozen=True, slots=True)
class Delivery:
    id: int
    lane: str
    act: Act
    notice_id: UUID | None
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    kind: str
    id: UUID | None


@dataclass(frozen=True, slots=True)
class Parked:
    id: int
    lane: str
    what: str
    """The kind of the notice; `room` when it was about the room itself."""
    errcode: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Posted:
    event_id: str
    notice_id: UUID | None
    at: datetime


DELIVERY = tuple(delivery.c[name] for name in Delivery.__slots__)
OPEN = delivery.c.state != "parked"
ADD = sa.insert(delivery)
FIRST = sa.select(*DELIVERY).where(delivery.c.lane == sa.bindparam("lane"), OPEN).order_by(delivery.c.id).limit(1)
_this = delivery.c.id == sa.bindparam("delivery_id")
BEGIN, FINISH = sa.update(delivery).where(_this).values(state="begun"), sa.delete(delivery).where(_this)
_unseen = delivery.c.lane == sa.bindparam("lane"), delivery.c.act == "room", delivery.c.state == "waiting"
WAITING_ROOM_ACT = sa.select(delivery.c.id).where(*_unseen).limit(1)
SUBJECT = sa.select(posted.c.subject_kind, posted.c.subject_id).where(
    posted.c.event_id == sa.bindparam("event_id"), posted.c.lane == sa.bindparam("lane")
)


async def enqueue(tx: Tx, lane: str, act: Act, now: datetime, notice_id: UUID | None = None) -> None:
    values = {"lane": lane, "act": act, "notice_id": notice_id, "state": "waiting", "created_at": now}
    await tx.execute(ADD, values)


async def has_waiting_room_act(tx: Tx, lane: str) -> bool:
    """One that has not begun will see what is wanted now; whoever asks holds the lock of the link."""
    return (await tx.execute(WAITING_ROOM_ACT, {"lane": lane})).first() is not None


ANY_OPEN = sa.select(delivery.c.id).where(OPEN).limit(1)


async def is_any_open(conn: Connection) -> bool:
    """Asked twice a second: it takes no lock."""
    return (await conn.execute(ANY_OPEN)).first() is not None


_now: sa.BindParameter[datetime] = sa.bindparam("now")
_first = sa.select(delivery.c.lane, sa.func.min(delivery.c.id).label("first")).where(OPEN).group_by(delivery.c.lane).subquery()
DUE_LANES = (
    sa.select(link.c.lane)
    .join(_first, _first.c.lane == link.c.lane)
    .where(
        sa.or_(link.c.leased_until.is_(None), link.c.leased_until < _now), sa.or_(link.c.not_before.is_(None), link.c.not_before <= _now)
    )
    .order_by(_first.c.first)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True, of=link)
)


async def due_lanes(tx: Tx, now: datetime, limit: int) -> list[str]:
    """Rooms with something to do whose time has come and that nobody drives, the longest waiting first; locked."""
    return [row[0] for row in await tx.execute(DUE_LANES, {"now": now, "most": limit})]


async def first_of(conn: Connection, lane: str) -> Delivery | None:
    row = (await conn.execute(FIRST, {"lane": lane})).one_or_none()
    return Delivery(*row) if row is not None else None


async def begin(tx: Tx, delivery_id: int) -> None:
    await tx.execute(BEGIN, {"delivery_id": delivery_id})


async def finish(tx: Tx, delivery_id: int) -> bool:
    """False when another has finished it."""
    return (await tx.execute(FINISH, {"delivery_id": delivery_id})).rowcount == 1


async def park(tx: Tx, delivery_id: int, errcode: str) -> None:
    await tx.execute(sa.update(delivery).where(delivery.c.id == delivery_id).values(state="parked", errcode=errcode))


async def parked(conn: Connection, limit: int) -> list[Parked]:
    """The oldest first."""
    columns = delivery.c
    what = sa.func.coalesce(notice.c.kind, columns.act)
    wanted = sa.select(columns.id, columns.lane, what, columns.errcode, columns.created_at).where(columns.state == "parked")
    wanted = wanted.outerjoin_from(delivery, notice, notice.c.id == columns.notice_id).order_by(columns.id).limit(limit)
    return [Parked(*row) for row in await conn.execute(wanted)]


async def replay(tx: Tx, delivery_ids: Collection[int]) -> None:
    """Those among them that are parked; their rooms are in no more hurry to wait."""
    columns = delivery.c
    these = columns.state == "parked", columns.id.in_(list(delivery_ids))
    lanes = sa.select(columns.lane).where(*these)
    await tx.execute(sa.update(link).where(link.c.lane.in_(lanes)).values(attempts=0, not_before=None))
    await tx.execute(sa.update(delivery).where(*these).values(state="waiting", errcode=None))


async def unpark(tx: Tx, lane: str, after: datetime) -> int:
    """Those of a room, since then. How many there were."""
    these = delivery.c.state == "parked", delivery.c.lane == lane, delivery.c.created_at >= after
    return (await tx.execute(sa.update(delivery).where(*these).values(state="waiting", errcode=None))).rowcount


async def depth(conn: Connection, most: int) -> int:
    """How many are open, counted up to `most`."""
    counted = sa.select(delivery.c.id).where(OPEN).limit(most).subquery()
    count: int = (await conn.execute(sa.select(sa.func.count()).select_from(counted))).scalar_one()
    return count


async def oldest(conn: Connection) -> datetime | None:
    """Of those whose room is not being waited for."""
    wanted = sa.select(delivery.c.created_at).join(link, link.c.lane == delivery.c.lane).where(OPEN, link.c.not_before.is_(None))
    found: datetime | None = (await conn.execute(wanted.order_by(delivery.c.id).limit(1))).scalar()
    return found


async def count_parked(conn: Connection) -> int:
    count: int = (await conn.execute(sa.select(sa.func.count()).select_from(delivery).where(delivery.c.state == "parked"))).scalar_one()
    return count


async def forget_parked(tx: Tx, before: datetime) -> None:
    await tx.execute(sa.delete(delivery).where(delivery.c.state == "parked", delivery.c.created_at < before))


_about = posted.c.lane == sa.bindparam("lane"), posted.c.subject_kind == sa.bindparam("kind"), posted.c.is_root.is_(True)
_root = sa.select(posted.c.event_id, posted.c.at).where(*_about).order_by(posted.c.at.desc()).limit(1)
ROOT, ROOT_OF_NOTHING = _root.where(posted.c.subject_id == sa.bindparam("subject_id")), _root.where(posted.c.subject_id.is_(None))


async def root_of(conn: Connection, lane: str, kind: str, subject_id: UUID | None) -> tuple[str, datetime] | None:
    """The message that began the thread about this, and when."""
    about: dict[str, Any] = {"lane": lane, "kind": kind}
    if subject_id is None:
        found = await conn.execute(ROOT_OF_NOTHING, about)
    else:
        found = await conn.execute(ROOT, about | {"subject_id": subject_id})
    row = found.one_or_none()
    return (row[0], row[1]) if row is not None else None


async def add_posted(tx: Tx, event_id: str, lane: str, subject: Subject, notice_id: UUID | None, *, is_root: bool, now: datetime) -> None:
    values = {"event_id": event_id, "lane": lane, "subject_kind": subject.kind, "subject_id": subject.id, "is_root": is_root, "at": now}
    values["notice_id"] = notice_id
    await tx.execute(upsert_by(tx, posted, ("event_id",)), values)


async def posted_since(conn: Connection, lane: str, after: datetime) -> list[Posted]:
    """The oldest first."""
    columns = posted.c
    wanted = sa.select(columns.event_id, columns.notice_id, columns.at).where(columns.lane == lane, columns.at >= after)
    return [Posted(*row) for row in await conn.execute(wanted.order_by(columns.at, columns.event_id))]


async def forget_events(tx: Tx, event_ids: Collection[str]) -> None:
    await tx.execute(sa.delete(posted).where(posted.c.event_id.in_(list(event_ids))))


async def subject_of(conn: Connection, lane: str, event_id: str) -> Subject | None:
    """What one of the bridge's messages in this room is about."""
    row = (await conn.execute(SUBJECT, {"event_id": event_id, "lane": lane})).one_or_none()
    return Subject(*row) if row is not None else None


async def forget_posted(tx: Tx, before: datetime) -> None:
    await tx.execute(sa.delete(posted).where(posted.c.at < before))
