"""Departures: who has left, and which services have done their part."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Json, Moment, Tx, upsert

from parvis_directory.rules.departures import Departure, Place, Step
from parvis_directory.store import METADATA, agent

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


async def begin_departure(tx: Tx, agent_id: UUID, left_at: datetime) -> None:
    """The agent's row is locked. Nothing is left of an earlier departure."""
    await forget_departure(tx, agent_id)
    await tx.execute(sa.insert(departure).values(agent_id=agent_id, left_at=left_at, settled_at=None))


async def forget_departure(tx: Tx, agent_id: UUID) -> None:
    await tx.execute(sa.delete(departure_step).where(departure_step.c.agent_id == agent_id))
    await tx.execute(sa.delete(departure).where(departure.c.agent_id == agent_id))


async def find_departure(conn: Connection, agent_id: UUID, *, lock: bool = False) -> Departure | None:
    one = sa.select(*departure.c).where(departure.c.agent_id == agent_id)
    row = (await conn.execute(one.with_for_update() if lock else one)).one_or_none()
    return Departure(*row) if row else None


async def steps_of(conn: Connection, agent_id: UUID) -> list[Step]:
    columns = (departure_step.c.service, departure_step.c.done_at, departure_step.c.what)
    found = sa.select(*columns).where(departure_step.c.agent_id == agent_id).order_by(departure_step.c.service)
    return [Step(*row) for row in await conn.execute(found)]


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
    columns = (agent.c.given_name, agent.c.family_name, agent.c.email, *departure.c)
    found = sa.select(*columns).join_from(departure, agent, agent.c.id == departure.c.agent_id)
    found = found.where(agent.c.ministry_id == ministry_id, departure.c.settled_at.is_not(None) if is_over else _open)
    if after is not None:
        same = sa.and_(departure.c.left_at == after.left_at, departure.c.agent_id > after.agent_id)
        found = found.where(sa.or_(departure.c.left_at < after.left_at, same))
    rows = await conn.execute(found.order_by(departure.c.left_at.desc(), departure.c.agent_id).limit(limit))
    return [(row[0], row[1], row[2], Departure(*row[3:])) for row in rows]


async def count_open(conn: Connection, ministry_id: UUID) -> int:
    found = sa.select(sa.func.count()).select_from(departure.join(agent, agent.c.id == departure.c.agent_id))
    return int((await conn.execute(found.where(agent.c.ministry_id == ministry_id, _open))).scalar_one())


async def steps_of_all(conn: Connection, agents: Collection[UUID]) -> dict[UUID, list[Step]]:
    columns = (departure_step.c.agent_id, departure_step.c.service, departure_step.c.done_at, departure_step.c.what)
    rows = await conn.execute(sa.select(*columns).where(departure_step.c.agent_id.in_(agents)).order_by(departure_step.c.service))
    steps: dict[UUID, list[Step]] = {}
    for row in rows:
        steps.setdefault(row[0], []).append(Step(*row[1:]))
    return steps


async def add_step(tx: Tx, agent_id: UUID, step: Step) -> None:
    """Its departure is locked. The first acknowledgement of a service stays; what it says later that it has done since is added to it."""
    known = next((one for one in await steps_of(tx, agent_id) if one.service == step.service), None)
    what = [*known.what, *(one for one in step.what if one not in known.what)] if known else step.what
    row = upsert(tx, departure_step).values(agent_id=agent_id, service=step.service, done_at=step.done_at, what=what)
    await tx.execute(row.on_conflict_do_update(index_elements=["agent_id", "service"], set_={"what": what}))


async def settle_departure(tx: Tx, agent_id: UUID, now: datetime) -> None:
    await tx.execute(sa.update(departure).where(departure.c.agent_id == agent_id).values(settled_at=now))


async def departures_complete(conn: Connection, services: Collection[str]) -> list[UUID]:
    """Open ones in which nothing is missing."""
    done = sa.select(sa.func.count()).where(
        departure_step.c.agent_id == departure.c.agent_id, departure_step.c.service.in_(sorted(services))
    )
    complete = sa.and_(_open, done.scalar_subquery() >= len(services))
    return list((await conn.execute(sa.select(departure.c.agent_id).where(complete).limit(OPEN_MAX))).scalars())
