"""A month computed and booked, and a month closed for good."""

import asyncio
import os
from collections.abc import Sequence
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
from parvis_billing.rules.ledger import CLOSED, Kept, Period, RunRow, chain, check_may_close, check_may_run, open_months, rows_of
from parvis_billing.rules.months import month_of
from parvis_billing.store import costs, ledger, usage

SECRET_BYTES = 32
CLOSED_SAID = "{} is closed: what comes late is booked as a correction in the month that is open."


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
    """A month, ready to be booked."""

    inputs: Inputs
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Draft:
    """What a run will book."""

    own: Computed
    corrections: tuple[Computed, ...]
    """Closed months that came out otherwise than they were booked."""
    confirmed: dict[str, int]
    """Closed months that were marked, and came out as they were booked."""
    marked: dict[str, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to compute from."""

    period: Period | None
    own: Inputs
    late: tuple[Inputs, ...]
    """Of closed months that were marked."""
    marked: dict[str, int]
    before: dict[str, RunRow]
    """The last run about each month that was booked earlier, and what is booked of this month so far."""

    @property
    def is_new(self) -> bool:
        booked = self.before.get(self.own.month)
        return booked is None or bool(self.marked) or booked.inputs_sha256 != self.own.sha256


async def months_to_run(database: Database, now: datetime) -> list[str]:
    async with database.read() as conn:
        periods, used = await ledger.periods(conn), await usage.months_with_usage(conn)
        used += [item.months[0] for item, _ in await costs.items(conn)]
    return open_months(periods, used, month_of(now))


async def run(database: Database, month: str, *, now: datetime) -> Ran:
    """Compute an open month anew, and what late facts change of closed ones if it is the first open one.

    Raises Conflict when it is closed, Invalid when it is none of the ledger's.
    """
    found = await _find(database, month, now)
    if found.period is not None and found.period.state == CLOSED:
        raise Conflict(CLOSED_SAID.format(month))
    if found.period is not None and not found.is_new:
        return Ran(month, found.period.total_cents, (), found.before[month].postings_sha256)
    draft = await _draft(found)
    async with database.transaction() as tx:
        if (await ledger.lock_period(tx, month, now)).state == CLOSED:
            raise Conflict(CLOSED_SAID.format(month))
        return await _book(tx, month, draft, now)


async def close(database: Database, month: str, *, who: object, now: datetime, where: str = "") -> Period:
    """Make a month final. Done twice, it is done once. Raises Invalid before its end, Conflict when an earlier month is open."""
    async with database.read() as conn:
        periods = await ledger.periods(conn)
    if found := next((one for one in periods if one.month == month and one.state == CLOSED), None):
        return found
    check_may_close(month, periods, now)
    draft = await _draft(await _find(database, month, now))
    async with database.transaction() as tx:
        period = await ledger.lock_period(tx, month, now)
        if period.state == CLOSED:
            return period
        before = [one for one in await ledger.periods(tx) if one.month < month]
        check_may_close(month, before, now)
        await _book(tx, month, draft, now)
        return await _close(tx, month, draft, before, who=who, now=now, where=where)


async def _close(tx: Tx, month: str, draft: Draft, before: Sequence[Period], *, who: object, now: datetime, where: str) -> Period:
    booked = [one for one in await ledger.runs(tx) if one.booked == month]
    total = await _total(tx, month)
    previous, run_id = before[-1].hash if before else "", new_id()
    hashed = chain(previous, month, booked, total)
    await ledger.forget_late(tx, {one.inputs.month: draft.marked[one.inputs.month] for one in draft.corrections})
    await ledger.add_late(tx, [month])  # what came between the reading and the closing is found by the next run
    await ledger.set_period(tx, month, state=CLOSED, total_cents=total, previous_hash=previous, hash=hashed, run_id=run_id, closed_at=now)
    own = draft.own.outcome.sha256
    publish(tx, PeriodClosed(at=now, about=month, month=month, run_id=run_id, postings_sha256=own, total_cents=total))
    await audit.record(tx, who=who, what="period.close", on=month, ministry=None, at=now, where=where, why=hashed)
    return Period(month, CLOSED, total, previous, hashed, run_id, now, now)


async def _find(database: Database, month: str, now: datetime) -> Found:
    async with database.read() as conn:
        periods = await ledger.periods(conn)
    check_may_run(month, periods, await months_to_run(database, now), month_of(now))
    async with database.transaction() as tx:
        await costs.add_secret(tx, int(month[:4]), os.urandom(SECRET_BYTES))
    async with database.read() as conn:
        periods = await ledger.periods(conn)
        runs = {one.concerns: one for one in await ledger.runs(conn) if one.booked < month or one.booked == one.concerns == month}
        first = all(one.state == CLOSED for one in periods if one.month < month)
        late = await ledger.late_months(conn) if first else {}
        marked = {one: marks for one, marks in late.items() if one < month and one in runs}
        own, *others = [await inputs_now(conn, one) for one in (month, *marked)]
    return Found(next((one for one in periods if one.month == month), None), own, tuple(others), marked, runs)


async def _draft(found: Found) -> Draft:
    """Outside of any transaction: it takes seconds, and a transaction that waits for it would be ended."""
    changed = [one for one in found.late if one.sha256 != found.before[one.month].inputs_sha256]
    done = [Computed(one, await asyncio.to_thread(cascade, one)) for one in (found.own, *changed)]
    confirmed = {one.month: found.marked[one.month] for one in found.late if one not in changed}
    return Draft(done[0], tuple(done[1:]), confirmed, found.marked)


async def _book(tx: Tx, month: str, draft: Draft, now: datetime) -> Ran:
    await ledger.clear_month(tx, month)
    rows: list[Kept] = rows_of(draft.own.inputs, draft.own.outcome, month, (), ())
    for one in draft.corrections:
        postings, agents = await ledger.booked_before(tx, one.inputs.month, month)
        rows += rows_of(one.inputs, one.outcome, month, postings, agents)
    await ledger.write(tx, rows)
    await ledger.forget_late(tx, draft.confirmed)
    total = await _total(tx, month)
    await ledger.set_period(tx, month, total_cents=total, ran_at=now)
    return Ran(month, total, tuple(one.inputs.month for one in draft.corrections), draft.own.outcome.sha256)


async def _total(tx: Tx, month: str) -> int:
    return sum(one.cents for one in await ledger.postings_in(tx, "booked", month, month))
