"""What the clock asks of billing: open months computed anew, and the figures told to Prometheus."""

from contextlib import suppress
from functools import partial

from parvis_kit.background import one_by_one
from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.problems import Conflict, NotFound
from parvis_kit.service import Sweep
from prometheus_client import Gauge

from parvis_billing import actions
from parvis_billing.queries.figures import freshness
from parvis_billing.queries.reports import report
from parvis_billing.rules.disclosure import disclosed
from parvis_billing.rules.report import Line
from parvis_billing.settings import Settings

MINUTE = 60.0
COST = Gauge(
    "parvis_cost_eur_per_agent_year",
    "What an agent costs a year, over the last twelve months; nothing about fewer than eleven agents. Three perimeters, never added up.",
    ["ministry", "population", "perimeter"],
)
TARGET = Gauge("parvis_cost_target_eur_per_agent_year", "What an agent may cost a year, in the perimeter `suite`, per provisioned agent.")
UNALLOCATED = Gauge("parvis_cost_unallocated_eur", "What nobody's use could take; above 0, a key or a month lacks its use.", ["perimeter"])
RAN_AT = Gauge("parvis_cost_ran_timestamp_seconds", "When a month was last computed; a day ago, PARVIS_BILLING_RUN_MINUTES does not hold.")
IMPORTED_AT = Gauge(
    "parvis_cost_imported_timestamp_seconds",
    "When a file of this kind was last handed in; more than 40 days ago, costs are not today's.",
    ["kind"],
)


def sweeps(database: Database, clock: Clock, settings: Settings) -> list[Sweep]:
    tell = Sweep("figures", MINUTE, partial(tell_figures, database, settings.target_eur))
    if not settings.run_minutes:
        return [tell]
    return [Sweep("runs", settings.run_minutes * MINUTE, partial(run_open_months, database, clock)), tell]


async def run_open_months(database: Database, clock: Clock) -> None:
    """A month that was closed meanwhile, or lacks a price, is left for `parvis cost run` to say why."""

    async def run(month: str) -> None:
        with suppress(Conflict):
            await actions.run(database, month, now=clock())

    await one_by_one("billing.runs", await actions.months_to_run(database, clock()), run)


async def tell_figures(database: Database, target_eur: int) -> None:
    """As they are known by now."""
    TARGET.set(target_eur)
    await tell_freshness(database)
    try:
        async with database.read() as conn:
            found = disclosed(await report(conn, None, None, "restated", target_eur))
    except NotFound:
        return
    COST.clear()
    for perimeter in found.perimeters:
        UNALLOCATED.labels(perimeter.name).set(perimeter.unallocated_cents / 100)
        for line in (*perimeter.lines, perimeter.total):
            tell_line(line, perimeter.name)


async def tell_freshness(database: Database) -> None:
    async with database.read() as conn:
        ran_at, imported_at = await freshness(conn)
    if ran_at is not None:
        RAN_AT.set(ran_at.timestamp())
    for kind, at in imported_at.items():
        IMPORTED_AT.labels(kind).set(at.timestamp())


def tell_line(line: Line, perimeter: str) -> None:
    for population, cents in (("provisioned", line.total.per_provisioned), ("active", line.total.per_active)):
        if cents is not None:
            COST.labels(line.siren or "all", population, perimeter).set(cents / 100)
