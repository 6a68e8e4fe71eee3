"""Which room is whose: a team's, or the one in which Parvis talks to an agent; and who is to be in it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import BinaryText, Connection, Moment, Tx, upsert_by

from parvis_messaging.store import METADATA

LinkKind = Literal["team", "direct"]
link = sa.Table(
    "link",
    METADATA,
    sa.Column("lane", BinaryText, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("named", sa.Text, nullable=False),
    sa.Column("room_id", BinaryText, unique=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("not_before", Moment),
    sa.Column("leased_until", Moment),
    sa.Column("lease", BinaryText),
    sa.Column("heard_event", BinaryText),
)
"""`name`: what the room is to be called; `named`: what it is called. The four before the last: who drives its lane, and not before when.
`attempts`: that failed, so that the lane waits longer and longer; 0 while it waits because the homeserver has asked it to.
`heard_event`: up to where all that a homeserver elsewhere has in the room was read back."""
link_member = sa.Table(
    "link_member",
    METADATA,
    sa.Column("lane", BinaryText, primary_key=True),
    sa.Column("agent_id", sa.Uuid, primary_key=True, index=True),
    sa.Column("wanted", sa.Boolean, nullable=False),
    sa.Column("there", sa.Boolean, nullable=False),
)
"""`there`: whether Parvis has brought them in; who leaves by themselves is not fetched back."""


@dataclass(frozen=True, slots=True)
class Link:
    lane: str
    kind: LinkKind
    subject_id: UUID
    name: str
    named: str
    room_id: str | None
    attempts: int
    heard_event: str | None


LINK = tuple(link.c[name] for name in Link.__slots__)
BY_LANE = sa.select(*LINK).where(link.c.lane == sa.bindparam("lane"))
LOCKED = BY_LANE.with_for_update()
MEMBERS = sa.select(link_member.c.agent_id, link_member.c.wanted, link_member.c.there).where(link_member.c.lane == sa.bindparam("lane"))


def lane_of(kind: LinkKind, subject_id: UUID) -> str:
    """What is to be done in a room is done in order; a lane is a room, before it is there."""
    return f"{'team' if kind == 'team' else 'agent'}:{subject_id}"


async def ensure_link(tx: Tx, kind: LinkKind, subject_id: UUID, name: str | None = None) -> str:
    """Its lane, whose row is locked from here on."""
    lane = lane_of(kind, subject_id)
    values = {"lane": lane, "kind": kind, "subject_id": subject_id, "name": name or "", "named": "", "attempts": 0}
    # without a new name its lane becomes what it is: that is a lock too
    await tx.execute(upsert_by(tx, link, ("lane",), ("name",) if name is not None else ("lane",)), values)
    return lane


async def find_link(conn: Connection, lane: str) -> Link | None:
    row = (await conn.execute(BY_LANE, {"lane": lane})).one_or_none()
    return Link(*row) if row is not None else None


async def lock_link(tx: Tx, lane: str) -> Link | None:
    row = (await tx.execute(LOCKED, {"lane": lane})).one_or_none()
    return Link(*row) if row is not None else None


async def change_link(tx: Tx, lane: str, **values: Any) -> None:
    await tx.execute(_change(tuple(values)), {"of_lane": lane, **values})


@cache
def _change(names: tuple[str, ...]) -> sa.Update:
    return sa.update(link).where(link.c.lane == sa.bindparam("of_lane")).values({name: sa.bindparam(name) for name in names})


async def members_of(conn: Connection, lane: str) -> dict[UUID, tuple[bool, bool]]:
    """Agent → whether they are wanted, and whether they are there."""
    return {row[0]: (row[1], row[2]) for row in await conn.execute(MEMBERS, {"lane": lane})}


async def put_members(tx: Tx, lane: str, members: Mapping[UUID, tuple[bool, bool]]) -> None:
    if not members:
        return
    rows = [{"lane": lane, "agent_id": one, "wanted": wanted, "there": there} for one, (wanted, there) in members.items()]
    await tx.execute(upsert_by(tx, link_member, ("lane", "agent_id"), ("wanted", "there")), rows)


async def mark_there(tx: Tx, lane: str, agent_ids: Collection[UUID]) -> None:
    columns = link_member.c
    if agent_ids:
        await tx.execute(sa.update(link_member).where(columns.lane == lane, columns.agent_id.in_(list(agent_ids))).values(there=True))


async def forget_members(tx: Tx, lane: str, agent_ids: Collection[UUID]) -> None:
    """Those who were put out, unless they are wanted again meanwhile."""
    columns = link_member.c
    gone = sa.delete(link_member).where(columns.lane == lane, columns.agent_id.in_(list(agent_ids)), columns.wanted.is_(False))
    await tx.execute(gone)


async def linked(conn: Connection) -> list[Link]:
    """All that have a room."""
    wanted = sa.select(*LINK).where(link.c.room_id.is_not(None)).order_by(link.c.lane)
    return [Link(*row) for row in await conn.execute(wanted)]


async def mark_all_absent(tx: Tx, lane: str) -> None:
    """The room has lost its members; they are still wanted there."""
    await tx.execute(sa.update(link_member).where(link_member.c.lane == lane).values(there=False))


async def lanes_of(conn: Connection, agent_id: UUID) -> list[str]:
    """The rooms that an agent is to be in."""
    columns = link_member.c
    wanted = sa.select(columns.lane).where(columns.agent_id == agent_id, columns.wanted.is_(True)).order_by(columns.lane)
    return [row[0] for row in await conn.execute(wanted)]


async def mark_absent(tx: Tx, agent_id: UUID) -> None:
    """In none of their rooms any more; they are still wanted there."""
    await tx.execute(sa.update(link_member).where(link_member.c.agent_id == agent_id).values(there=False))


TAKE_LEASE = (
    sa.update(link)
    .where(link.c.lane.in_(sa.bindparam("lanes", expanding=True)))
    .values(lease=sa.bindparam("taken"), leased_until=sa.bindparam("until"))
)


async def take_lease(tx: Tx, lanes: Collection[str], lease: str, until: datetime) -> None:
    await tx.execute(TAKE_LEASE, {"lanes": list(lanes), "taken": lease, "until": until})


async def give_lease_back(tx: Tx, lane: str, lease: str, **values: Any) -> None:
    freed = {"lease": None, "leased_until": None, **values}
    await tx.execute(_free(tuple(freed)), {"of_lane": lane, "held": lease, **freed})


@cache
def _free(names: tuple[str, ...]) -> sa.Update:
    return _change(names).where(link.c.lease == sa.bindparam("held"))


async def hurry(tx: Tx, lane: str) -> None:
    """What it waited for may be there."""
    await tx.execute(sa.update(link).where(link.c.lane == lane, link.c.attempts > 0).values(attempts=0, not_before=None))


async def hurry_all(tx: Tx) -> None:
    """The same for every room; locked in the order in which others lock several."""
    late = sa.select(link.c.lane).where(link.c.attempts > 0).order_by(link.c.lane).with_for_update()
    await tx.execute(sa.update(link).where(link.c.lane.in_(late)).values(attempts=0, not_before=None))


async def drop_leases(tx: Tx) -> None:
    """Of a process that is no more."""
    await tx.execute(sa.update(link).where(link.c.lease.is_not(None)).values(lease=None, leased_until=None))
