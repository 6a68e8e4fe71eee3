"""The whole ledger counted again, a month at a time."""

import asyncio
from typing import Any

import sqlalchemy as sa
from parvis_kit.audit.rows import tables_of
from parvis_kit.db import Connection, Database
from parvis_kit.problems import Conflict

from parvis_billing.queries.inputs import inputs_booked, inputs_now
from parvis_billing.rules import verification
from parvis_billing.rules.cascade import cascade
from parvis_billing.rules.ledger import CLOSED, Period, RunRow
from parvis_billing.rules.verification import Wrong
from parvis_billing.store import costs, ledger, usage

NOT_AS_METERED = "the meters say something else than what was booked, and no late fact explains it"


async def verify(database: Database) -> tuple[int, list[Wrong]]:
    """How many runs were counted again, and everything that is wrong."""
    async with database.read() as conn:
        wrong = [found for row in await costs.item_rows(conn) for found in verification.check_item_row(row)]
        wrong += [found for row in await costs.price_rows(conn) for found in verification.check_price_row(row)]
        wrong += [found for row in await usage.imported_rows(conn) for found in verification.check_imported_row(row)]
        runs, periods = await ledger.runs(conn), await ledger.periods(conn)
        for run in runs:
            wrong += await _verify_run(conn, run)
        wrong += await _verify_chain(conn, periods, runs)
        for period in periods:
            wrong += await _verify_use(conn, period, runs)
    return len(runs), list(dict.fromkeys(wrong))


async def _verify_run(conn: Connection, run: RunRow) -> list[Wrong]:
    items, ministries, agents, postings = (
        await ledger.item_months(conn, run.booked, run.concerns),
        await ledger.ministry_months(conn, run.booked, run.concerns),
        await ledger.agent_months(conn, run.booked, run.concerns),
        await ledger.postings(conn, run.booked, run.concerns),
    )
    rows: list[Any] = [*items, *ministries, *agents, *postings]
    wrong = list(verification.check_rows(rows))
    try:
        inputs = await inputs_booked(conn, run)
    except Conflict as gone:
        return [*wrong, Wrong(verification.name_of(run), gone.detail)]
    wrong += verification.check_items(items, inputs)
    outcome = await asyncio.to_thread(cascade, inputs)
    before = await ledger.booked_before(conn, run.concerns, run.booked)
    return [*wrong, *verification.check_run(run, rows, inputs, outcome, before)]


async def _verify_chain(conn: Connection, periods: list[Period], runs: list[RunRow]) -> list[Wrong]:
    totals: dict[str, int] = {}
    for one in periods:
        totals[one.month] = sum(posting.cents for posting in await ledger.postings_in(conn, "booked", one.month, one.month))
    row = tables_of("billing")["audit"].c
    said = await conn.execute(sa.select(row.about, row.reason).where(row.what == "period.close").order_by(row.seq))
    return list(verification.check_chain(periods, runs, totals, {about: reason for about, reason in said}))


async def _verify_use(conn: Connection, period: Period, runs: list[RunRow]) -> list[Wrong]:
    """A closed month's use as the meters have it by now: a difference that no late fact explains is somebody's hand."""
    if period.state != CLOSED or period.month in await ledger.late_months(conn):
        return []
    last = max((run for run in runs if run.concerns == period.month), key=lambda run: run.booked)
    try:
        now = await inputs_now(conn, period.month)
    except Conflict as gone:
        return [Wrong(f"period {period.month}", gone.detail)]
    if now.sha256 == last.inputs_sha256:
        return []
    then = await inputs_booked(conn, last)
    booked, metered = ({(one.ministry_id, one.agent_id): one for one in inputs.agents} for inputs in (then, now))
    wrong = [
        Wrong(
            f"usage {period.month}: agent {agent}, ministry {ministry}",
            NOT_AS_METERED,
        )
        for ministry, agent in sorted({*booked, *metered}, key=str)
        if booked.get((ministry, agent)) != metered.get((ministry, agent))
    ]
    return wrong or [Wrong(f"period {period.month}", "what was paid or used is no longer what was booked, and nothing late explains it")]
