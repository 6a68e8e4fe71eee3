"""A month computed and booked, and a month closed for good."""

import asyncio
import os
from dataclasses import dataclass
from datetime import datetime

from parvis_contracts.billing import PeriodClosed
from parvis_kit import audit
from parvis_kit.db import Database, Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict

from parvis_billing.queries.inputs import inputs_now
from parvis_billing.rules.cascade import Inputs, Outcome, cascade
from parvis_billing.rules.ledger import CLOSED, Kept, Period, chain, check_may_close, open_months, rows_of
from parvis_billing.rules.months import month_of
from parvis_billing.store import costs, ledger, usage

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a month."""

    month: str
    total_cents: int
    corrected: tuple[str, ...]
    """Closed months that are corrected in it."""
    postings_sha256: str


@dataclass(frozen=True, slots=True)
class Computed:
    inputs: Inputs
    outcome: Outcome


async def months_to_run(database: Database, now: datetime) -> list[str]:
    async with database.read() as conn:
        periods, used = await ledger.periods(conn), await usage.months_with_usage(conn)
        used += [month for item, _ in await costs.items(conn) for month in (item.months[0],)]
    return open_months(periods, used, month_of(now))


async def run(database: Database, month: str, *, now: datetime) -> Ran:
    """Compute an open month anew, and what late facts change of closed ones if it is the first open one. Raises Conflict when closed."""
    computed, late = await _compute(database, month, now)
    async with database.transaction() as tx:
        await _lock_open(tx, month, now)
        return await _book(tx, month, computed, late, now)


async def close(database: Database, month: str, *, who: object, now: datetime, where: str = "") -> Period:
    """Make a month final. Done twice, it is done once. Raises Invalid before its end, Conflict when an earlier month is open."""
    async with database.read() as conn:
        periods = await ledger.periods(conn)
    if found := next((one for one in periods if one.month == month and one.state == CLOSED), None):
        return found
    check_may_close(month, periods, now)
    computed, late = await _compute(database, month, now)
    async with database.transaction() as tx:
        period = await ledger.lock_period(tx, month, now)
        if period.state == CLOSED:
            return period
        await _book(tx, month, computed, late, now)
        before = [one for one in await ledger.periods(tx) if one.month < month]
        booked = [one for one in await ledger.runs(tx) if one.booked == month]
        total = await _total(tx, month)
        previous, run_id = before[-1].hash if before else "", new_id()
        hashed = chain(previous, month, booked, total)
        await ledger.forget_late(tx, [one.concerns for one in booked])
        # What came between the reading and the closing is found by the next month's run.
        await ledger.add_late(tx, [month], now)
        await ledger.set_period(
            tx, month, state=CLOSED, total_cents=total, previous_hash=previous, hash=hashed, run_id=run_id, closed_at=now
        )
        own = next(one for one in booked if one.concerns == month)
        publish(tx, PeriodClosed(at=now, about=month, month=month, run_id=run_id, postings_sha256=own.postings_sha256, total_cents=total))
        await audit.record(tx, who=who, what="period.close", on=month, ministry=None, at=now, where=where, why=hashed)
    return Period(month, CLOSED, total, previous, hashed, run_id, now, now)


async def _compute(database: Database, month: str, now: datetime) -> tuple[Computed, list[Computed]]:
    """Outside of any transaction: it takes seconds, and a transaction that waits for it would be ended."""
    async with database.transaction() as tx:
        await costs.add_secret(tx, int(month[:4]), os.urandom(SECRET_BYTES))
    async with database.read() as conn:
        periods = await ledger.periods(conn)
        late = await ledger.late_months(conn) if _is_first_open(month, periods) else []
        runs = {one.concerns: one for one in await ledger.runs(conn) if one.booked < month}
        asked = [month, *(one for one in late if one < month and one in runs)]
        inputs = [await inputs_now(conn, one) for one in asked]
    mine, *others = inputs
    changed = [one for one in others if one.sha256 != runs[one.month].inputs_sha256]
    done = [Computed(one, await asyncio.to_thread(cascade, one)) for one in (mine, *changed)]
    return done[0], done[1:]


def _is_first_open(month: str, periods: list[Period]) -> bool:
    return all(one.state == CLOSED for one in periods if one.month < month)


async def _lock_open(tx: Tx, month: str, now: datetime) -> None:
    if (await ledger.lock_period(tx, month, now)).state == CLOSED:
        raise Conflict(f"{month} is closed: what comes late is booked as a correction in the month that is open.")


async def _book(tx: Tx, month: str, computed: Computed, late: list[Computed], now: datetime) -> Ran:
    await ledger.clear_month(tx, month)
    rows: list[Kept] = rows_of(computed.inputs, computed.outcome, month, (), ())
    for one in late:
        postings, agents = await ledger.booked_before(tx, one.inputs.month, month)
        rows += rows_of(one.inputs, one.outcome, month, postings, agents)
    await ledger.write(tx, rows)
    total = await _total(tx, month)
    await ledger.set_period(tx, month, total_cents=total, ran_at=now)
    return Ran(month, total, tuple(one.inputs.month for one in late), computed.outcome.sha256)


async def _total(tx: Tx, month: str) -> int:
    return sum(one.cents for one in await ledger.postings_in(tx, "booked", month, month))
