"""Use as it is metered and read."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert, upsert_by

from parvis_billing.rules import months
from parvis_billing.rules.seats import SeatChange, by_agent
from parvis_billing.rules.usage import Holder, Imported
from parvis_billing.store import IMPORTED_USAGE, SEAT_CHANGE, SEAT_STATE, STORAGE_DAY, USAGE_DAY, Row

FORGET_STATES = sa.delete(SEAT_STATE).where(SEAT_STATE.c.agent_id.in_(sa.bindparam("agents", expanding=True)))


async def add_seat_changes(tx: Tx, changes: Iterable[SeatChange]) -> None:
    rows = [{"agent_id": one.agent_id, "at": one.at, "what": one.what, "ministry_id": one.ministry_id, "kind": one.kind} for one in changes]
    await tx.execute(upsert_by(tx, SEAT_CHANGE, ("agent_id", "at", "what")), rows)


async def keep_seat_states(tx: Tx, states: Iterable[SeatChange]) -> None:
    """The newest of each agent."""
    newest: dict[UUID, SeatChange] = {}
    for one in states:
        if one.agent_id not in newest or newest[one.agent_id].at <= one.at:
            newest[one.agent_id] = one
    rows = [
        {"agent_id": one.agent_id, "at": one.at, "ministry_id": one.ministry_id, "kind": one.kind, "is_enabled": one.is_enabled}
        for one in newest.values()
    ]
    statement = upsert(tx, SEAT_STATE)
    new = statement.excluded
    changed = {name: new[name] for name in ("at", "ministry_id", "kind", "is_enabled")}
    await tx.execute(statement.on_conflict_do_update(index_elements=["agent_id"], set_=changed, where=SEAT_STATE.c.at <= new.at), rows)


async def forget_seat_states(tx: Tx, agents: Sequence[UUID]) -> None:
    await tx.execute(FORGET_STATES, {"agents": list(agents)})


# reading a month


async def seat_changes(conn: Connection) -> Mapping[UUID, list[SeatChange]]:
    change, state = SEAT_CHANGE.c, SEAT_STATE.c
    said = await conn.execute(sa.select(change.agent_id, change.at, change.what, change.ministry_id, change.kind))
    found = [SeatChange(*row) for row in said.all()]
    stands = await conn.execute(sa.select(state.agent_id, state.at, sa.literal("state"), state.ministry_id, state.kind, state.is_enabled))
    return by_agent([*found, *(SeatChange(*row) for row in stands.all())])


async def holders_in(conn: Connection, month: str) -> Mapping[UUID, Holder]:
    row, start = STORAGE_DAY.c, months.first_day(month)
    holders: dict[UUID, Holder] = {}
    sums: list[Any] = [row.holder_id, row.is_personal, sa.func.sum(row.delta_bytes).label("bytes")]
    personal = sa.select(*sums, sa.null().label("ministry_id"), sa.null().label("since")).where(row.is_personal, row.day < start)
    shared = sa.select(*sums, row.ministry_id, sa.func.max(row.day).label("since")).where(~row.is_personal, row.day < start)
    rows = await conn.execute(personal.group_by(row.holder_id, row.is_personal))
    for holder_id, is_personal, size_bytes, _, _ in rows.all():
        holders[holder_id] = Holder(is_personal, int(size_bytes))
    before: dict[UUID, tuple[date, UUID]] = {}
    standing: dict[UUID, int] = {}
    for holder_id, _, size_bytes, ministry_id, since in await conn.execute(
        shared.group_by(row.holder_id, row.is_personal, row.ministry_id)
    ):
        standing[holder_id] = standing.get(holder_id, 0) + int(size_bytes)
        before[holder_id] = max(before.get(holder_id, (date.min, ministry_id)), (since, ministry_id), key=lambda one: one[0])
    for holder_id, size_bytes in standing.items():
        holders[holder_id] = Holder(False, size_bytes, moves=[before[holder_id]])
    now = (
        sa.select(row.holder_id, row.is_personal, row.ministry_id, row.day, row.delta_bytes, row.byte_seconds)
        .where(row.day >= start, row.day <= months.last_day(month))
        .order_by(row.day)
    )
    for holder_id, is_personal, ministry_id, day, delta, byte_seconds in (await conn.execute(now)).all():
        holder = holders.setdefault(holder_id, Holder(is_personal))
        holder.days.append((day, delta, byte_seconds))
        if not is_personal and (not holder.moves or holder.moves[-1][1] != ministry_id):
            holder.moves.append((day, ministry_id))
    return holders


async def counted_in(conn: Connection, month: str) -> list[tuple[UUID, date, str, int]]:
    row = USAGE_DAY.c
    found = sa.select(row.agent_id, row.day, row.meter, row.quantity).where(
        row.day >= months.first_day(month), row.day <= months.last_day(month)
    )
    return [(agent, day, meter, quantity) for agent, day, meter, quantity in (await conn.execute(found)).all()]


async def imported_in(conn: Connection, month: str) -> list[Imported]:
    row = IMPORTED_USAGE.c
    found = await conn.execute(sa.select(row.meter, row.ministry_id, row.agent_id, row.quantity).where(row.month == month))
    return [Imported(meter, ministry, agent if agent.int else None, int(quantity)) for meter, ministry, agent, quantity in found]


async def imported_rows(conn: Connection, month: str | None = None) -> list[Any]:
    found = sa.select(IMPORTED_USAGE).order_by(*IMPORTED_USAGE.primary_key.columns)
    return list((await conn.execute(found if month is None else found.where(IMPORTED_USAGE.c.month == month))).all())


async def put_imported(tx: Tx, rows: Sequence[Row]) -> None:
    statement = upsert(tx, IMPORTED_USAGE)
    changed = {name: statement.excluded[name] for name in ("quantity", "file_id", "line", "digest")}
    keys = [column.name for column in IMPORTED_USAGE.primary_key]
    await tx.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


async def months_with_usage(conn: Connection) -> list[str]:
    """In which something was metered or imported, or an account was opened; the first and the last of each kind will do."""
    found: set[str] = set(await _edges(conn, IMPORTED_USAGE.c.month))
    days: list[date | datetime] = [
        one for column in (USAGE_DAY.c.day, STORAGE_DAY.c.day, SEAT_CHANGE.c.at) for one in await _edges(conn, column)
    ]
    return sorted(found | {months.month_of(one) for one in days})


async def _edges(conn: Connection, column: "sa.Column[Any]") -> list[Any]:
    return [one for one in (await conn.execute(sa.select(sa.func.min(column), sa.func.max(column)))).one() if one is not None]
