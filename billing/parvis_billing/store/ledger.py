"""Periods, runs and what they booked."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert

from parvis_billing.rules.ledger import AgentRow, ItemRow, MinistryRow, Period, PostingRow, RunRow, names_of
from parvis_billing.store import AGENT_MONTH, ITEM_MONTH, LATE_MONTH, MINISTRY_MONTH, OF_A_MONTH, PERIOD, POSTING, RUN, Row

KINDS: tuple[tuple[sa.Table, type[Any]], ...] = (
    (RUN, RunRow),
    (ITEM_MONTH, ItemRow),
    (MINISTRY_MONTH, MinistryRow),
    (AGENT_MONTH, AgentRow),
    (POSTING, PostingRow),
)


PERIOD_COLUMNS = tuple(PERIOD.c[name] for name in names_of(Period))
PERIODS = sa.select(*PERIOD_COLUMNS).order_by(PERIOD.c.month)
RUN_DIGESTS = sa.select(RUN.c.booked, RUN.c.concerns, RUN.c.inputs_sha256, RUN.c.postings_sha256).order_by(RUN.c.booked, RUN.c.concerns)


async def periods(conn: Connection) -> list[Period]:
    return [Period(*one) for one in await conn.execute(PERIODS)]


async def run_digests(conn: Connection) -> tuple[tuple[str, str, str, str], ...]:
    """Where each run is booked, which month it concerns, and the SHA-256 of what it was given and of what it made of it."""
    rows = await conn.execute(RUN_DIGESTS)
    return tuple((booked, concerns, inputs, made) for booked, concerns, inputs, made in rows)


async def lock_period(tx: Tx, month: str, now: datetime) -> Period:
    """As it stands, made if it was not there; nobody else runs or closes it until the end of the transaction."""
    empty = {"month": month, "state": "open", "total_cents": 0, "previous_hash": "", "hash": "", "ran_at": now}
    await tx.execute(upsert(tx, PERIOD).on_conflict_do_nothing(), [empty])
    return Period(*(await tx.execute(sa.select(*PERIOD_COLUMNS).where(PERIOD.c.month == month).with_for_update())).one())


async def set_period(tx: Tx, month: str, **values: Any) -> None:
    await tx.execute(sa.update(PERIOD).where(PERIOD.c.month == month).values(values))


async def clear_month(tx: Tx, month: str) -> None:
    """What an earlier run of an open month has booked."""
    for table in OF_A_MONTH:
        await tx.execute(sa.delete(table).where(table.c.booked == month))


async def add_rows(tx: Tx, table: sa.Table, rows: Sequence[Row]) -> None:
    if rows:
        await tx.execute(sa.insert(table), rows)


async def write(tx: Tx, rows: Iterable[RunRow | ItemRow | MinistryRow | AgentRow | PostingRow]) -> None:
    kept = list(rows)
    for table, kind in KINDS:
        mine = [one for one in kept if type(one) is kind]
        if kind is AgentRow and not tx.database.is_sqlite:
            await _copy(tx, table, cast("list[AgentRow]", mine))
            continue
        names = names_of(kind)
        values = attrgetter(*names)
        await add_rows(tx, table, [dict(zip(names, values(one), strict=True)) for one in mine])


async def _copy(tx: Tx, table: sa.Table, rows: Sequence[AgentRow]) -> None:
    """By COPY, in the transaction that has begun: a month has a row for each agent, and INSERT takes three times as long."""
    driver: Any = tx.driver_connection
    place = AgentRow._fields.index("use")
    records = [(*row[:place], json.dumps(row[place]), *row[place + 1 :]) for row in rows]
    await driver.copy_records_to_table(table.name, schema_name=table.schema, columns=AgentRow._fields, records=records)


def _of(table: sa.Table, kind: type[Any]) -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in names_of(kind)))


# To make a statement takes as long as to ask it: those of the pages that agents look at are made once.
MONTHS: Mapping[type[Any], sa.Select[Any]] = {
    kind: _of(table, kind).where(table.c.booked == sa.bindparam("booked"), table.c.concerns == sa.bindparam("concerns"))
    for table, kind in KINDS
}
RUNS = _of(RUN, RunRow).order_by(RUN.c.booked, RUN.c.concerns)
RUNS_ABOUT = RUNS.where(RUN.c.concerns == sa.bindparam("concerns"))
OF_AGENT = (
    _of(AGENT_MONTH, AgentRow)
    .where(AGENT_MONTH.c.agent_id == sa.bindparam("agent_id"), AGENT_MONTH.c.concerns.between(sa.bindparam("first"), sa.bindparam("last")))
    .order_by(AGENT_MONTH.c.concerns, AGENT_MONTH.c.booked)
)
OF_MINISTRY = MONTHS[PostingRow].where(POSTING.c.ministry_id == sa.bindparam("ministry_id")).order_by(POSTING.c.item_id, POSTING.c.service)


async def runs(conn: Connection, concerns: str | None = None) -> list[RunRow]:
    rows = await (conn.execute(RUNS) if concerns is None else conn.execute(RUNS_ABOUT, {"concerns": concerns}))
    return [RunRow(*row) for row in rows]


async def item_months(conn: Connection, booked: str, concerns: str) -> list[ItemRow]:
    return await _read(conn, ItemRow, booked, concerns)


async def ministry_months(conn: Connection, booked: str, concerns: str) -> list[MinistryRow]:
    return await _read(conn, MinistryRow, booked, concerns)


async def agent_months(conn: Connection, booked: str, concerns: str) -> list[AgentRow]:
    return await _read(conn, AgentRow, booked, concerns)


async def postings(conn: Connection, booked: str, concerns: str) -> list[PostingRow]:
    return await _read(conn, PostingRow, booked, concerns)


async def _read(conn: Connection, kind: type[Any], booked: str, concerns: str) -> list[Any]:
    return [kind(*row) for row in await conn.execute(MONTHS[kind], {"booked": booked, "concerns": concerns})]


async def postings_in(conn: Connection, column: str, first: str, last: str) -> list[PostingRow]:
    """`column`: booked, or concerns."""
    month = POSTING.c[column]
    return [PostingRow(*row) for row in await conn.execute(_of(POSTING, PostingRow).where(month >= first, month <= last))]


async def items_in(conn: Connection, column: str, first: str, last: str) -> list[ItemRow]:
    month = ITEM_MONTH.c[column]
    return [ItemRow(*row) for row in await conn.execute(_of(ITEM_MONTH, ItemRow).where(month >= first, month <= last))]


async def ministries_in(conn: Connection, column: str, first: str, last: str) -> list[MinistryRow]:
    month = MINISTRY_MONTH.c[column]
    return [MinistryRow(*row) for row in await conn.execute(_of(MINISTRY_MONTH, MinistryRow).where(month >= first, month <= last))]


async def booked_before(conn: Connection, concerns: str, booked: str) -> tuple[list[PostingRow], list[AgentRow]]:
    """What was booked of a month in the periods before this one."""
    found: list[list[Any]] = []
    for table, kind in ((POSTING, PostingRow), (AGENT_MONTH, AgentRow)):
        rows = await conn.execute(_of(table, kind).where(table.c.concerns == concerns, table.c.booked < booked))
        found.append([kind(*row) for row in rows])
    return found[0], found[1]


async def agent_rows(conn: Connection, agent_id: UUID, first: str, last: str) -> list[AgentRow]:
    rows = await conn.execute(OF_AGENT, {"agent_id": agent_id, "first": first, "last": last})
    return [AgentRow(*row) for row in rows]


async def postings_of(conn: Connection, booked: str, concerns: str, ministry_id: UUID) -> list[PostingRow]:
    rows = await conn.execute(OF_MINISTRY, {"booked": booked, "concerns": concerns, "ministry_id": ministry_id})
    return [PostingRow(*row) for row in rows]


# months whose books were closed before all was known


async def late_months(conn: Connection) -> dict[str, int]:
    """With how often each was marked."""
    rows = await conn.execute(sa.select(LATE_MONTH.c.month, LATE_MONTH.c.marks).order_by(LATE_MONTH.c.month))
    return {month: marks for month, marks in rows}


async def add_late(tx: Tx, months: Iterable[str]) -> None:
    rows = [{"month": month, "marks": 1} for month in sorted(set(months))]
    if rows:
        again = {"marks": LATE_MONTH.c.marks + 1}
        await tx.execute(upsert(tx, LATE_MONTH).on_conflict_do_update(index_elements=["month"], set_=again), rows)


async def forget_late(tx: Tx, seen: Mapping[str, int]) -> None:
    """Only those that were not marked again since they were seen."""
    row = LATE_MONTH.c
    for month, marks in seen.items():
        await tx.execute(sa.delete(LATE_MONTH).where(row.month == month, row.marks == marks))


CLOSED_FROM = sa.select(PERIOD.c.month).where(PERIOD.c.state == "closed", PERIOD.c.month >= sa.bindparam("month")).order_by(PERIOD.c.month)


async def closed_from(conn: Connection, month: str) -> list[str]:
    """Closed months from this one on."""
    return list((await conn.execute(CLOSED_FROM, {"month": month})).scalars())
