"""The report, added up from what is booked."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import Invalid, NotFound, Unavailable

from parvis_billing.rules import Asker, check_finance, months
from parvis_billing.rules.focus import Ledger, as_csv, charges_of
from parvis_billing.rules.ledger import Period
from parvis_billing.rules.report import Basis, Books, Report, report_of
from parvis_billing.store import costs, ledger

MONTHS_MAX = 120
MONTHS_USUAL = 12
READS_MAX = 5
KEPT_MAX = 4
"""Some hundred kilobytes each, with thirty ministries."""


@dataclass(frozen=True, slots=True)
class State:
    """All that a report depends on besides what is asked for: what is booked, by its digests, and what stands beside it by name."""

    periods: tuple[Period, ...]
    runs: tuple[tuple[str, str, str, str], ...]
    ministries: tuple[tuple[UUID, str, str], ...]
    benchmarks: tuple[tuple[str, str], ...]


class Kept:
    """The last reports that were asked for, each with the state that it was added up from: a page asks for the same one again and again."""

    def __init__(self) -> None:
        self.reports: dict[Hashable, tuple[State, Report]] = {}

    def find(self, asked: Hashable, state: State) -> Report | None:
        of, found = self.reports.get(asked, (None, None))
        return found if of == state else None

    def keep(self, asked: Hashable, state: State, report: Report) -> None:
        self.reports.pop(asked, None)
        self.reports[asked] = state, report
        if len(self.reports) > KEPT_MAX:
            del self.reports[next(iter(self.reports))]


async def report_for(
    conn: Connection, asker: Asker, first: str | None, last: str | None, basis: Basis, target_eur: int, kept: Kept
) -> Report:
    """By default the last twelve months that were run. Raises Forbidden, Invalid, NotFound before the first run."""
    check_finance(asker)
    return await report(conn, first, last, basis, target_eur, kept)


async def report(conn: Connection, first: str | None, last: str | None, basis: Basis, target_eur: int, kept: Kept | None = None) -> Report:
    """Of one state of the ledger: begun again when a run has booked in the midst of it. Raises Invalid, NotFound, Unavailable."""
    asked, state = (first, last, basis, target_eur), await _state(conn)
    if kept is not None and (found := kept.find(asked, state)) is not None:
        return found
    for _ in range(READS_MAX):
        within = _months_within(state.periods, first, last)
        made = report_of(await _books(conn, within[0], within[-1], basis, state), within, basis, target_eur * 100)
        before, state = state, await _state(conn)
        if state == before:
            if kept is not None:
                kept.keep(asked, state, made)
            return made
    raise Unavailable("Months are being run: ask again in a moment.", retry_after_seconds=2)


async def _state(conn: Connection) -> State:
    return State(
        tuple(await ledger.periods(conn)),
        await ledger.run_digests(conn),
        tuple(await costs.ministries(conn)),
        await costs.benchmark_digests(conn),
    )


def _months_within(periods: Sequence[Period], first: str | None, last: str | None) -> list[str]:
    """The months asked for: by default the last twelve."""
    if not periods:
        raise NotFound("No month was computed yet: `parvis cost run` does it, once there are cost items.")
    last = months.checked(last) if last else periods[-1].month
    first = months.checked(first) if first else max(periods[0].month, months.back(last, MONTHS_USUAL - 1))
    if first > last:
        raise Invalid(f"The report ends with {last}, before it begins with {first}.")
    within = list(months.between(first, last))
    if len(within) > MONTHS_MAX:
        raise Invalid(f"A report holds at most {MONTHS_MAX} months.")
    return within


async def _books(conn: Connection, first: str, last: str, basis: Basis, state: State) -> Books:
    column = "booked" if basis == "booked" else "concerns"
    items = await ledger.items_in(conn, "concerns", months.FIRST, last)
    kept = await costs.items_at(conn, [(one.item_id, one.revision) for one in items])
    return Books(
        postings=await ledger.postings_in(conn, column, first, last),
        items=[one for one in items if one.booked <= last] if basis == "booked" else items,
        perimeters_of={place: item.perimeters for place, item in kept.items()},
        ministries=await ledger.ministries_in(conn, "concerns", first, last),
        names={ministry: (siren, name) for ministry, siren, name in state.ministries},
        periods=state.periods,
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
    periods = await ledger.periods(conn)
    within = _months_within(periods, first, last)
    items = await ledger.items_in(conn, "concerns", months.FIRST, within[-1])
    kept = await costs.items_at(conn, [(one.item_id, one.revision) for one in items])
    postings = await ledger.postings_in(conn, "booked", within[0], within[-1])
    charges = charges_of(Ledger(postings, await ledger.runs(conn), items, kept), perimeter, within)
    names = {ministry: (siren, name) for ministry, siren, name in await costs.ministries(conn)}
    return as_csv(charges, perimeter, names, periods), len(charges)
