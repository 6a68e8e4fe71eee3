"""What an agent costs a year, by ministry and service, in each perimeter: added up from postings, beside the range over all keys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Literal
from uuid import UUID

from parvis_billing.rules import PERIMETERS, UNKNOWN
from parvis_billing.rules.costs import Benchmark
from parvis_billing.rules.ledger import CLOSED, ItemRow, MinistryRow, Period, PostingRow
from parvis_billing.rules.money import rounded

Basis = Literal["booked", "restated"]
MONTHS_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """Cents: of the months of the report, and of one agent in a year; with the least and the greatest that admissible keys make of it."""

    cents: int
    least_cents: int
    greatest_cents: int
    per_provisioned: int | None
    """Cents per provisioned agent and year; null where there is none. The target is held against this one."""
    per_provisioned_least: int | None
    per_provisioned_greatest: int | None
    per_active: int | None
    per_active_least: int | None
    per_active_greatest: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """A ministry, or all of them."""

    ministry_id: UUID | None
    """None: all."""
    siren: str
    name: str
    provisioned_months: int
    """User-months: accounts that were enabled on the last day, summed over the months."""
    active_months: int
    total: Figure
    services: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Perimeter:
    """One of the three, never added to another one."""

    name: str
    is_against_target: bool
    lines: Sequence[Line]
    total: Line
    unallocated_cents: int
    """What nobody's weight could take: in the total, and in no ministry."""
    invoices_cents: int
    """What the cost items come to; the total agrees with it to the cent."""


@dataclass(frozen=True, slots=True)
class Report:
    months: Sequence[str]
    open_months: Sequence[str]
    """Of these the figures are what they will be if nothing changes any more."""
    inhabited_months: int
    """In how many of them anybody had an account: what user-months are divided by for a number of agents."""
    basis: Basis
    target_cents: int
    services: Sequence[str]
    perimeters: Sequence[Perimeter]
    benchmarks: Sequence[Benchmark]
    ran_at: datetime | None


@dataclass
class Sums:
    """Of one cell: cents, and by item and key what they would be."""

    cents: int = 0
    by_item: dict[str, dict[str, int]] = field(default_factory=dict)
    booked: dict[str, int] = field(default_factory=dict)

    def add(self, posting: PostingRow) -> None:
        self.cents += posting.cents
        item = self.by_item.setdefault(posting.item_id, {})
        before = self.booked.get(posting.item_id, 0)
        for name in {*item, *posting.by_key}:  # a key that was not admissible everywhere counts there as the one that was used
            item[name] = item.get(name, before) + posting.by_key.get(name, posting.cents)
        self.booked[posting.item_id] = before + posting.cents

    def figure(self, provisioned: int, active: int) -> Figure:
        """Items are independent: the least and the greatest are sums of theirs."""
        least = sum(min(keys.values(), default=0) for keys in self.by_item.values())
        greatest = sum(max(keys.values(), default=0) for keys in self.by_item.values())
        amounts = (self.cents, least, greatest)
        return Figure(*amounts, *(per_year(one, provisioned) for one in amounts), *(per_year(one, active) for one in amounts))


def per_year(cents: int, user_months: int) -> int | None:
    """12 × Σ cost / Σ user-months, in cents."""
    return rounded(Fraction(MONTHS_A_YEAR * cents, user_months)) if user_months else None


@dataclass(frozen=True, slots=True)
class Books:
    """What the report is added up from."""

    postings: Sequence[PostingRow]
    items: Sequence[ItemRow]
    perimeters_of: Mapping[tuple[str, int], Sequence[str]]
    """Of an item's revision."""
    ministries: Sequence[MinistryRow]
    names: Mapping[UUID, tuple[str, str]]
    """Ministry → SIREN and name."""
    periods: Sequence[Period]
    benchmarks: Sequence[Benchmark]


def report_of(books: Books, months: Sequence[str], basis: Basis, target_cents: int) -> Report:
    chosen = _newest(books.ministries, basis)
    provisioned, active = _months_of(chosen)
    within = [one for one in books.periods if one.month in set(months)]
    return Report(
        months=list(months),
        open_months=[one.month for one in within if one.state != CLOSED],
        inhabited_months=len({one.concerns for one in chosen if one.seats}),
        basis=basis,
        target_cents=target_cents,
        services=sorted({one.service for one in books.postings}),
        perimeters=[_perimeter(name, books, months, basis, (provisioned, active)) for name in PERIMETERS],
        benchmarks=list(books.benchmarks),
        ran_at=max((one.ran_at for one in within), default=None),
    )


def _newest(rows: Sequence[MinistryRow], basis: Basis) -> list[MinistryRow]:
    """User-months as they were booked, or as they are known by now."""
    if basis == "booked":
        return [one for one in rows if one.booked == one.concerns]
    last: dict[str, str] = {}
    for one in rows:
        last[one.concerns] = max(last.get(one.concerns, ""), one.booked)
    return [one for one in rows if one.booked == last[one.concerns]]


def _months_of(rows: Iterable[MinistryRow]) -> tuple[dict[UUID, int], dict[UUID, int]]:
    provisioned: dict[UUID, int] = {}
    active: dict[UUID, int] = {}
    for one in rows:
        provisioned[one.ministry_id] = provisioned.get(one.ministry_id, 0) + one.seats
        active[one.ministry_id] = active.get(one.ministry_id, 0) + one.active
    return provisioned, active


def _perimeter(
    name: str, books: Books, within: Sequence[str], basis: Basis, counts: tuple[Mapping[UUID, int], Mapping[UUID, int]]
) -> Perimeter:
    provisioned, active = counts
    mine = [one for one in books.postings if name in one.perimeters.split()]
    by_ministry: dict[UUID, list[PostingRow]] = {ministry: [] for ministry in (*books.names, *provisioned)}
    for one in mine:
        by_ministry.setdefault(one.ministry_id, []).append(one)
    by_ministry.pop(UNKNOWN, None)
    lines = []
    for ministry, postings in by_ministry.items():
        months = provisioned.get(ministry, 0), active.get(ministry, 0)
        if postings or any(months):
            siren, said = books.names.get(ministry, ("", str(ministry)))
            lines.append(_line(ministry, siren, said, months, postings))
    total = _line(None, "", "", (sum(provisioned.values()), sum(active.values())), mine)
    unallocated = sum(one.cents for one in mine if one.ministry_id == UNKNOWN)
    invoices = _invoices(name, books, within, basis)
    return Perimeter(name, name == "suite", sorted(lines, key=lambda one: one.name), total, unallocated, invoices)


def _line(ministry: UUID | None, siren: str, name: str, months: tuple[int, int], postings: Sequence[PostingRow]) -> Line:
    whole, services = Sums(), {service: Sums() for service in sorted({one.service for one in postings})}
    for one in postings:
        whole.add(one)
        services[one.service].add(one)
    figures = {service: sums.figure(*months) for service, sums in services.items()}
    return Line(ministry, siren, name, *months, whole.figure(*months), figures)


def _invoices(name: str, books: Books, months: Sequence[str], basis: Basis) -> int:
    """Of the cost items, without any posting. A correction holds the whole month anew: what is booked of it is the difference."""
    amounts: dict[tuple[str, str], int] = {}
    for one in books.items:
        place = one.concerns, one.booked
        mine = name in books.perimeters_of.get((one.item_id, one.revision), ())
        amounts[place] = amounts.get(place, 0) + (one.cents if mine else 0)
    total, within = 0, set(months)
    before: dict[str, int] = {}
    for (concerns, booked), cents in sorted(amounts.items()):
        if (booked if basis == "booked" else concerns) in within:
            total += cents - before.get(concerns, 0)
        before[concerns] = cents
    return total
