"""The report, added up from what is booked."""

from parvis_kit.db import Connection
from parvis_kit.problems import Invalid, NotFound

from parvis_billing.rules import Asker, check_finance, months
from parvis_billing.rules.focus import Ledger, as_csv, charges_of
from parvis_billing.rules.ledger import Period
from parvis_billing.rules.report import Basis, Books, Report, report_of
from parvis_billing.store import costs, ledger

MONTHS_MAX = 120
MONTHS_USUAL = 12


async def report_for(conn: Connection, asker: Asker, first: str | None, last: str | None, basis: Basis, target_eur: int) -> Report:
    """By default the last twelve months that were run. Raises Forbidden, Invalid, NotFound before the first run."""
    check_finance(asker)
    return await report(conn, first, last, basis, target_eur)


async def report(conn: Connection, first: str | None, last: str | None, basis: Basis, target_eur: int) -> Report:
    periods, within = await _periods_within(conn, first, last)
    return report_of(await _books(conn, within[0], within[-1], basis, periods), within, basis, target_eur * 100)


async def _periods_within(conn: Connection, first: str | None, last: str | None) -> tuple[list[Period], list[str]]:
    """All that there are, and the months asked for: by default the last twelve."""
    periods = await ledger.periods(conn)
    if not periods:
        raise NotFound("No month was computed yet: `parvis cost run` does it, once there are cost items.")
    last = months.checked(last) if last else periods[-1].month
    first = months.checked(first) if first else max(periods[0].month, months.back(last, MONTHS_USUAL - 1))
    if first > last:
        raise Invalid(f"The report ends with {last}, before it begins with {first}.")
    within = list(months.between(first, last))
    if len(within) > MONTHS_MAX:
        raise Invalid(f"A report holds at most {MONTHS_MAX} months.")
    return periods, within


async def _books(conn: Connection, first: str, last: str, basis: Basis, periods: list[Period]) -> Books:
    column = "booked" if basis == "booked" else "concerns"
    items = await ledger.items_in(conn, "concerns", months.FIRST, last)
    kept = await costs.items_at(conn, [(one.item_id, one.revision) for one in items])
    return Books(
        postings=await ledger.postings_in(conn, column, first, last),
        items=[one for one in items if one.booked <= last] if basis == "booked" else items,
        perimeters_of={place: item.perimeters for place, item in kept.items()},
        ministries=await ledger.ministries_in(conn, "concerns", first, last),
        names={ministry: (siren, name) for ministry, siren, name in await costs.ministries(conn)},
        periods=periods,
        benchmarks=await costs.benchmarks(conn),
    )


async def periods_for(conn: Connection, asker: Asker) -> list[Period]:
    """Raises Forbidden."""
    check_finance(asker)
    return await ledger.periods(conn)


async def months_booked(conn: Connection) -> set[str]:
    """Those that were run, open or closed."""
    return {one.concerns for one in await ledger.runs(conn)}


async def focus(conn: Connection, first: str | None, last: str | None, perimeter: str) -> tuple[str, int]:
    """The months' charges as FOCUS 1.2, and how many there are. Raises Invalid, NotFound before the first run."""
    periods, within = await _periods_within(conn, first, last)
    items = await ledger.items_in(conn, "concerns", months.FIRST, within[-1])
    kept = await costs.items_at(conn, [(one.item_id, one.revision) for one in items])
    postings = await ledger.postings_in(conn, "booked", within[0], within[-1])
    charges = charges_of(Ledger(postings, await ledger.runs(conn), items, kept), perimeter, within)
    names = {ministry: (siren, name) for ministry, siren, name in await costs.ministries(conn)}
    return as_csv(charges, perimeter, names, periods), len(charges)
