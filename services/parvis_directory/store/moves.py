"""Who moves when, and which part of a ministry goes over to another one."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Json, Moment, Tx, upsert

from parvis_directory.rules import Person, Team
from parvis_directory.rules.moves import Place, PlannedMove, Transfer
from parvis_directory.store import CHANGE_TEAM, METADATA, PERSON, agent, directorate, ministry, team
from parvis_directory.store.domains import domain
from parvis_directory.store.people import add_words

planned_move = sa.Table(
    "planned_move",
    METADATA,
    sa.Column("agent_id", sa.ForeignKey(agent.c.id), primary_key=True),
    sa.Column("ministry_id", sa.ForeignKey(ministry.c.id), nullable=False),
    sa.Column("directorate_id", sa.Uuid),
    sa.Column("day", sa.Date, nullable=False, index=True),
    sa.Column("asked_by", sa.Uuid, nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("refused", sa.Text),
)
transfer = sa.Table(
    "transfer",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("from_ministry_id", sa.ForeignKey(ministry.c.id), nullable=False, index=True),
    sa.Column("to_ministry_id", sa.ForeignKey(ministry.c.id), nullable=False, index=True),
    sa.Column("directorate_ids", Json),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Uuid, nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("agents", sa.Integer, nullable=False),
    sa.Column("done_at", Moment),
    sa.Column("refused", sa.Text),
)
DUE_MAX = 500
"""Moves looked at in a sweep."""
TRANSFERS_MAX = 200
"""Of one ministry, shown at once."""


_successor = (
    sa.select(directorate.c.succeeded_by).where(directorate.c.id == sa.bindparam("directorate_id", type_=sa.Uuid)).scalar_subquery()
)
_owner = (
    sa.select(domain.c.ministry_id).where(domain.c.name == sa.bindparam("domain_name"), domain.c.claimed_at.is_not(None)).scalar_subquery()
)
PLACE = (
    sa.select(ministry.c.closed_at, _successor, _owner)
    .where(ministry.c.id == sa.bindparam("ministry_id"))
    .with_for_update(read=True, of=ministry)
)
"""Built once, as the next: every account that is opened asks."""
PLACED = (
    sa.select(*(sa.bindparam(f"new_{name}", type_=agent.c[name].type) for name in Person.__slots__))
    .where(
        ministry.c.id == sa.bindparam("ministry_id"),
        ministry.c.closed_at.is_(None),
        _successor.is_(None),
        sa.func.coalesce(_owner, ministry.c.id) == ministry.c.id,
    )
    .with_for_update(read=True, of=ministry)
)
JOINS: dict[bool, sa.Insert] = {}
"""By the kind of database; built once for each."""


async def find_place(tx: Tx, ministry_id: UUID, directorate_id: UUID | None, domain_name: str = "") -> Place | None:
    """The ministry is held open: it cannot be closed before this transaction ends."""
    asked = {"ministry_id": ministry_id, "directorate_id": directorate_id, "domain_name": domain_name}
    row = (await tx.execute(PLACE, asked)).one_or_none()
    return Place(*row) if row else None


async def add_agent(tx: Tx, person: Person, domain_name: str) -> bool:
    """False when their place does not take them, which `find_place` explains, or their e-mail is somebody's. The ministry is held open."""
    join = JOINS.get(tx.database.is_sqlite)
    if join is None:
        placed = upsert(tx, agent).from_select(Person.__slots__, PLACED, include_defaults=False)
        join = JOINS[tx.database.is_sqlite] = placed.on_conflict_do_nothing(index_elements=["email"])
    asked = {"ministry_id": person.ministry_id, "directorate_id": person.directorate_id, "domain_name": domain_name}
    joined = await tx.execute(join, asked | {f"new_{name}": getattr(person, name) for name in Person.__slots__})
    if joined.rowcount != 1:
        return False
    await add_words(tx, [person])
    return True


# moves of one agent

_theirs = planned_move.c.agent_id == sa.bindparam("whose")
MOVE, FORGET_MOVE = sa.select(*planned_move.c).where(_theirs), sa.delete(planned_move).where(_theirs)


async def plan_move(tx: Tx, one: PlannedMove) -> None:
    """Instead of an earlier plan."""
    values = _values(one)
    row = upsert(tx, planned_move).values(values)
    changed = {name: row.excluded[name] for name in values if name != "agent_id"}
    await tx.execute(row.on_conflict_do_update(index_elements=["agent_id"], set_=changed))


def _values(one: PlannedMove | Transfer) -> dict[str, Any]:
    """`on` is a word of SQL's own."""
    return {"day" if name == "on" else name: getattr(one, name) for name in one.__slots__}


async def find_move(conn: Connection, agent_id: UUID) -> PlannedMove | None:
    row = (await conn.execute(MOVE, {"whose": agent_id})).one_or_none()
    return PlannedMove(*row) if row else None


async def refuse_move(tx: Tx, agent_id: UUID, why: str) -> None:
    await tx.execute(sa.update(planned_move).where(planned_move.c.agent_id == agent_id).values(refused=why))


async def forget_move(tx: Tx, agent_id: UUID) -> bool:
    """Whether there was one."""
    return bool((await tx.execute(FORGET_MOVE, {"whose": agent_id})).rowcount)


async def moves_due(conn: Connection, day: date) -> list[UUID]:
    due = sa.and_(planned_move.c.day <= day, planned_move.c.refused.is_(None))
    return list((await conn.execute(sa.select(planned_move.c.agent_id).where(due).order_by(planned_move.c.day).limit(DUE_MAX))).scalars())


# transfers between ministries


async def add_transfer(tx: Tx, one: Transfer) -> None:
    await tx.execute(sa.insert(transfer).values(_values(one)))


async def find_transfer(conn: Connection, transfer_id: UUID, *, lock: bool = False) -> Transfer | None:
    one = sa.select(*transfer.c).where(transfer.c.id == transfer_id)
    row = (await conn.execute(one.with_for_update() if lock else one)).one_or_none()
    return Transfer(*row) if row else None


async def change_transfer(tx: Tx, transfer_id: UUID, **values: Any) -> None:
    await tx.execute(sa.update(transfer).where(transfer.c.id == transfer_id).values(values))


async def transfers_of(conn: Connection, ministry_id: UUID) -> list[Transfer]:
    """From it and to it, the newest first."""
    its = sa.or_(transfer.c.from_ministry_id == ministry_id, transfer.c.to_ministry_id == ministry_id)
    rows = await conn.execute(sa.select(*transfer.c).where(its).order_by(transfer.c.asked_at.desc(), transfer.c.id).limit(TRANSFERS_MAX))
    return [Transfer(*row) for row in rows]


async def transfers_due(conn: Connection, day: date, done_since: datetime) -> list[UUID]:
    """Those to begin or to go on with; and those just done, whom somebody may have slipped behind."""
    begins = sa.and_(transfer.c.state == "planned", transfer.c.day <= day)
    goes_on = sa.or_(begins, transfer.c.state == "running", sa.and_(transfer.c.state == "done", transfer.c.done_at > done_since))
    return list((await conn.execute(sa.select(transfer.c.id).where(goes_on).order_by(transfer.c.asked_at).limit(DUE_MAX))).scalars())


async def is_merging(conn: Connection, ministry_id: UUID) -> bool:
    """Whether all of it is going over to another one at this moment."""
    goes = sa.and_(transfer.c.from_ministry_id == ministry_id, transfer.c.state == "running", transfer.c.directorate_ids.is_(None))
    return (await conn.execute(sa.select(transfer.c.id).where(goes).limit(1))).first() is not None


async def succeed(tx: Tx, directorate_id: UUID, successor_id: UUID) -> None:
    await tx.execute(sa.update(directorate).where(directorate.c.id == directorate_id).values(succeeded_by=successor_id))


async def successors_in(conn: Connection, ministry_id: UUID, to_ministry_id: UUID) -> dict[UUID, UUID]:
    """Directorates of one ministry that go on in another."""
    later = directorate.alias("later")
    both = sa.select(directorate.c.id, later.c.id).join(later, later.c.id == directorate.c.succeeded_by)
    rows = await conn.execute(both.where(directorate.c.ministry_id == ministry_id, later.c.ministry_id == to_ministry_id))
    return {row[0]: row[1] for row in rows}


PEOPLE = (
    sa.select(*PERSON)
    .where(agent.c.ministry_id == sa.bindparam("whose"), agent.c.state != "left")
    .order_by(agent.c.id)
    .limit(sa.bindparam("limit"))
    .with_for_update()
)
PEOPLE_OF = PEOPLE.where(agent.c.directorate_id.in_(sa.bindparam("directorate_ids", expanding=True)))


async def people_to_move(tx: Tx, ministry_id: UUID, directorate_ids: Collection[UUID] | None, limit: int) -> list[Person]:
    """Locked. Whoever has left stays where they were."""
    asked: dict[str, Any] = {"whose": ministry_id, "limit": limit}
    if directorate_ids is None:
        return [Person(*row) for row in await tx.execute(PEOPLE, asked)]
    return [Person(*row) for row in await tx.execute(PEOPLE_OF, asked | {"directorate_ids": sorted(directorate_ids)})]


async def teams_to_move(tx: Tx, ministry_id: UUID, limit: int) -> list[Team]:
    rows = await tx.execute(sa.select(*team.c).where(team.c.ministry_id == ministry_id).order_by(team.c.id).limit(limit).with_for_update())
    return [Team(*row) for row in rows]


async def move_team(tx: Tx, one: Team, ministry_id: UUID) -> Team:
    return Team(*(await tx.execute(CHANGE_TEAM, {"one": one.id, "ministry_id": ministry_id, "revision": one.revision + 1})).one())
