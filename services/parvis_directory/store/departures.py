"""Departures: who has left, and which services have done their part."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Json, Moment, Tx, upsert_by

from parvis_directory.rules.departures import Departure, Place, Step
from parvis_directory.store import METADATA, agent, lockable

departure = sa.Table(
    "departure",
    METADATA,
    sa.Column("agent_id", sa.ForeignKey(agent.c.id), primary_key=True),
    sa.Column("left_at", Moment, nullable=False),
    sa.Column("settled_at", Moment),
)
departure_step = sa.Table(
    "departure_step",
    METADATA,
    sa.Column("agent_id", sa.ForeignKey(agent.c.id), primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("done_at", Moment, nullable=False),
    sa.Column("what", Json, nullable=False),
)
_open = departure.c.settled_at.is_(None)
OPEN_MAX = 500
"""Departures looked at in a sweep."""
_whose: sa.BindParameter[UUID] = sa.bindparam("whose")
ADD = sa.insert(departure)
FORGET_STEPS = sa.delete(departure_step).where(departure_step.c.agent_id == _whose)
FORGET = sa.delete(departure).where(departure.c.agent_id == _whose)
ONE = lockable(sa.select(*departure.c).where(departure.c.agent_id == _whose))
STEP = (departure_step.c.service, departure_step.c.done_at, departure_step.c.what)
STEPS = sa.select(*STEP).where(departure_step.c.agent_id == _whose).order_by(departure_step.c.service)
STEPS_OF_ALL = (
    sa.select(departure_step.c.agent_id, *STEP)
    .where(departure_step.c.agent_id.in_(sa.bindparam("some", expanding=True)))
    .order_by(departure_step.c.service)
)
COUNT_OPEN = (
    sa.select(sa.func.count())
    .select_from(departure.join(agent, agent.c.id == departure.c.agent_id))
    .where(agent.c.ministry_id == _whose, _open)
)
SETTLE = sa.update(departure).where(departure.c.agent_id == _whose).values(settled_at=sa.bindparam("now"))


async def begin_departure(tx: Tx, agent_id: UUID, left_at: datetime) -> None:
    """The agent's row is locked. Nothing is left of an earlier departure."""
    await forget_departure(tx, agent_id)
    await tx.execute(ADD, {"agent_id": agent_id, "left_at": left_at, "settled_at": None})


async def forget_departure(tx: Tx, agent_id: UUID) -> None:
    await tx.execute(FORGET_STEPS, {"whose": agent_id})
    await tx.execute(FORGET, {"whose": agent_id})


async def find_departure(conn: Connection, agent_id: UUID, *, lock: bool = False) -> Departure | None:
    row = (await conn.execute(ONE[lock], {"whose": agent_id})).one_or_none()
    return Departure(*row) if row else None


async def steps_of(conn: Connection, agent_id: UUID) -> list[Step]:
    return [Step(*row) for row in await conn.execute(STEPS, {"whose": agent_id})]


async def departures_of(conn: Connection, ministry_id: UUID, after: Place | None, limit: int) -> list[tuple[str, str, str, Departure]]:
    """Names, e-mail and departure: those that are open, then those that are over, of each the newest first."""
    found: list[tuple[str, str, str, Departure]] = []
    for is_over in (False, True):
        if len(found) < limit and (after is None or after.is_over <= is_over):
            place = after if after is not None and after.is_over == is_over else None
            found += await _departures_of(conn, ministry_id, is_over, place, limit - len(found))
    return found


async def _departures_of(
    conn: Connection, ministry_id: UUID, is_over: bool, after: Place | None, limit: int
) -> Sequence[tuple[str, str, str, Departure]]:
    asked: dict[str, Any] = {"whose": ministry_id, "most": limit}
    if after is not None:
        asked |= {"left_at": after.left_at, "after": after.agent_id}
    rows = await conn.execute(_page(is_over, after is not None), asked)
    return [(row[0], row[1], row[2], Departure(*row[3:])) for row in rows]


@cache
def _page(is_over: bool, goes_on: bool) -> sa.Select[Any]:
    columns = (agent.c.given_name, agent.c.family_name, agent.c.email, *departure.c)
    found = sa.select(*columns).join_from(departure, agent, agent.c.id == departure.c.agent_id)
    found = found.where(agent.c.ministry_id == _whose, departure.c.settled_at.is_not(None) if is_over else _open)
    if goes_on:
        left_at: sa.BindParameter[datetime] = sa.bindparam("left_at")
        same = sa.and_(departure.c.left_at == left_at, departure.c.agent_id > sa.bindparam("after"))
        found = found.where(sa.or_(departure.c.left_at < left_at, same))
    return found.order_by(departure.c.left_at.desc(), departure.c.agent_id).limit(sa.bindparam("most"))


async def count_open(conn: Connection, ministry_id: UUID) -> int:
    return int((await conn.execute(COUNT_OPEN, {"whose": ministry_id})).scalar_one())


async def steps_of_all(conn: Connection, agents: Collection[UUID]) -> dict[UUID, list[Step]]:
    steps: dict[UUID, list[Step]] = {}
    for row in await conn.execute(STEPS_OF_ALL, {"some": list(agents)}):
        steps.setdefault(row[0], []).append(Step(*row[1:]))
    return steps


async def add_step(tx: Tx, agent_id: UUID, step: Step) -> None:
    """Its departure is locked. The first acknowledgement of a service stays; what it says later that it has done since is added to it."""
    known = next((one for one in await steps_of(tx, agent_id) if one.service == step.service), None)
    what = [*known.what, *(one for one in step.what if one not in known.what)] if known else step.what
    values = {"agent_id": agent_id, "service": step.service, "done_at": step.done_at, "what": what}
    await tx.execute(upsert_by(tx, departure_step, ("agent_id", "service"), ("what",)), values)


async def settle_departure(tx: Tx, agent_id: UUID, now: datetime) -> None:
    await tx.execute(SETTLE, {"whose": agent_id, "now": now})


async def departures_complete(conn: Connection, services: Collection[str]) -> list[UUID]:
    """Open ones in which nothing is missing."""
    done = sa.select(sa.func.count()).where(
        departure_step.c.agent_id == departure.c.agent_id, departure_step.c.service.in_(sorted(services))
    )
    complete = sa.and_(_open, done.scalar_subquery() >= len(services))
    return list((await conn.execute(sa.select(departure.c.agent_id).where(complete).limit(OPEN_MAX))).scalars())
