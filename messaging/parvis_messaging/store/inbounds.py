"""What agents wrote in linked rooms, until it is said on the log: each once, by the id of its event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import BinaryText, Connection, Moment, Serial, Tx, partial_index, upsert_by
from parvis_roster import tables_of

from parvis_messaging.rules.commands import Command
from parvis_messaging.store import METADATA, account
from parvis_messaging.store.deliveries import delivery, posted
from parvis_messaging.store.links import link

_agent = tables_of("messaging")["agent"]
inbound = sa.Table(
    "inbound",
    METADATA,
    sa.Column("number", Serial, primary_key=True),
    sa.Column("event_id", BinaryText, nullable=False, unique=True),
    sa.Column("room_id", BinaryText, nullable=False),
    sa.Column("lane", BinaryText, nullable=False),
    sa.Column("agent_id", sa.Uuid, nullable=False),
    sa.Column("is_message", sa.Boolean, nullable=False),
    sa.Column("about_event", BinaryText),
    sa.Column("command", sa.Text),
    sa.Column("at", Moment, nullable=False),
    sa.Column("handled_at", Moment),
    sqlite_autoincrement=True,
)
"""No text of anybody's: what it relates to, and the command that it is."""
_open = inbound.c.handled_at.is_(None)
partial_index("ix_inbound_open", inbound.c.number, where=_open)


@dataclass(frozen=True, slots=True)
class Inbound:
    event_id: str
    room_id: str
    lane: str
    agent_id: UUID
    is_message: bool
    about_event: str | None
    command: Command | None
    at: datetime


INBOUND = tuple(inbound.c[name] for name in Inbound.__slots__)
LINKED = (
    sa.select(link.c.lane, account.c.agent_id)
    .select_from(sa.join(link, account, sa.true()))
    .where(link.c.room_id == sa.bindparam("room_id"), account.c.user_id == sa.bindparam("user_id"), account.c.agent_id.is_not(None))
)


async def find_linked(conn: Connection, room_id: str, user_id: str) -> tuple[str, UUID] | None:
    """The lane of a linked room and the agent who writes; None in any other room, and for the bot."""
    row = (await conn.execute(LINKED, {"room_id": room_id, "user_id": user_id})).one_or_none()
    return (row[0], row[1]) if row is not None else None


async def add_inbound(tx: Tx, one: Inbound) -> bool:
    """False when it is there already."""
    values = {name: getattr(one, name) for name in Inbound.__slots__}
    return (await tx.execute(upsert_by(tx, inbound, ("event_id",)), values)).rowcount == 1


ANY_OPEN = sa.select(inbound.c.number).where(_open).limit(1)


async def is_any_open(conn: Connection) -> bool:
    """Asked twice a second: it takes no lock."""
    return (await conn.execute(ANY_OPEN)).first() is not None


_is_written = sa.exists().where(posted.c.event_id == inbound.c.about_event)
_is_delivering = sa.exists().where(delivery.c.lane == inbound.c.lane, delivery.c.act == "notice", delivery.c.state != "parked")
_is_early = inbound.c.at < sa.bindparam("early")
LOCK_OPEN = (
    sa.select(*INBOUND, _agent.c.ministry_id)
    .outerjoin(_agent, _agent.c.id == inbound.c.agent_id)
    .where(_open, sa.or_(inbound.c.about_event.is_(None), _is_early, _is_written, sa.not_(_is_delivering)))
    .order_by(inbound.c.number)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True, of=inbound)
)


async def lock_open(tx: Tx, limit: int, early: datetime) -> list[tuple[Inbound, UUID | None]]:
    """The oldest ones, each with the ministry of its agent as it is known here. What answers a message of a room where one is being
    delivered waits until it is written down what that one was about, unless it waits since before `early`."""
    return [(Inbound(*row[:-1]), row[-1]) for row in await tx.execute(LOCK_OPEN, {"early": early, "most": limit})]


async def settle(tx: Tx, event_ids: Sequence[str], now: datetime) -> None:
    await tx.execute(sa.update(inbound).where(inbound.c.event_id.in_(list(event_ids))).values(handled_at=now))


async def oldest_open(conn: Connection) -> datetime | None:
    found: datetime | None = (await conn.execute(sa.select(inbound.c.at).where(_open).order_by(inbound.c.number).limit(1))).scalar()
    return found


async def forget_handled(tx: Tx, before: datetime) -> None:
    await tx.execute(sa.delete(inbound).where(inbound.c.handled_at < before))
