"""What holds of a whole month, whatever was paid and used: each agent's figure is found again, the report adds up, no cent can hide."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from parvis_billing.rules import UNKNOWN
from parvis_billing.rules.cascade import Inputs, cascade
from parvis_billing.rules.explanation import Papers, part_of
from parvis_billing.rules.ledger import AgentRow, ItemRow, MinistryRow, Period, PostingRow, RunRow, rows_of, sealed
from parvis_billing.rules.report import Books, Figure, Perimeter, report_of
from parvis_billing.rules.storage import DAY_SECONDS, integral, split
from parvis_billing.rules.verification import check_rows, check_run

from .test_cascade import KEYS, MINISTRIES, all_inputs

MONTH = "2026-10"
NOW = datetime(2026, 11, 2, tzinfo=UTC)
NAMES = {ministry: (f"11000000{number}", f"Ministère {number}") for number, ministry in enumerate(MINISTRIES)}


def of_kind(rows: Sequence[Any], kind: type[Any]) -> list[Any]:
    return [row for row in rows if type(row) is kind]


def booked(inputs: Inputs) -> list[Any]:
    return list(rows_of(inputs, cascade(inputs), MONTH, (), ()))


@settings(max_examples=80, deadline=None)
@given(all_inputs())
def test_each_agent_s_figure_is_found_again_from_the_papers_alone(inputs: Inputs) -> None:
    rows = booked(inputs)
    postings, pseudonyms = of_kind(rows, PostingRow), {one.agent_id: one.pseudonym for one in inputs.agents}
    items = {row.item_id: row for row in of_kind(rows, ItemRow)}
    papers = Papers(items, {(one.item.id, one.revision): one.item for one in inputs.items}, {}, KEYS)
    for row in of_kind(rows, AgentRow):
        mine = [one for one in postings if one.ministry_id == row.ministry_id]
        part = part_of(row, (), mine, pseudonyms[row.agent_id], papers, "")
        assert part.agrees, part
        assert tuple(part.computed_micro_eur.values()) == row.micros


def naive_range(postings: Sequence[PostingRow]) -> tuple[int, int]:
    """Of each item, the least and the greatest of what its keys make of it; items are independent."""
    sums: dict[tuple[str, str], int] = {}
    for one in postings:
        for key, cents in one.by_key.items():
            sums[one.item_id, key] = sums.get((one.item_id, key), 0) + cents
    items = {item for item, _ in sums}
    by_item = [[cents for (item, _), cents in sums.items() if item == one] for one in items]
    return sum(min(one) for one in by_item), sum(max(one) for one in by_item)


def check_figure(figure: Figure, provisioned: int, active: int) -> None:
    for said, months in ((figure.per_provisioned, provisioned), (figure.per_active, active)):
        assert (said is None) == (months == 0)
        assert said is None or abs(said - Fraction(12 * figure.cents, months)) <= Fraction(1, 2)


@settings(max_examples=80, deadline=None)
@given(all_inputs())
def test_the_report_adds_up_to_what_was_paid_and_its_ranges_hold_its_figures(inputs: Inputs) -> None:
    rows = booked(inputs)
    postings, ministries = of_kind(rows, PostingRow), of_kind(rows, MinistryRow)
    perimeters = {(one.item.id, one.revision): one.item.perimeters for one in inputs.items}
    period = Period(MONTH, "open", 0, "", "", None, None, NOW)
    found = report_of(Books(postings, of_kind(rows, ItemRow), perimeters, ministries, NAMES, [period], []), [MONTH], "booked", 5000)
    for perimeter in found.perimeters:
        paid = sum(one.cents for one in inputs.items if perimeter.name in one.item.perimeters)
        mine = [one for one in postings if perimeter.name in one.perimeters.split()]
        assert paid == perimeter.invoices_cents == perimeter.total.total.cents
        assert paid == sum(line.total.cents for line in perimeter.lines) + perimeter.unallocated_cents
        assert (perimeter.total.total.least_cents, perimeter.total.total.greatest_cents) == (paid, paid), "keys move costs, and make none"
        check_lines(perimeter, mine)


def check_lines(perimeter: Perimeter, postings: Sequence[PostingRow]) -> None:
    for line in (*perimeter.lines, perimeter.total):
        check_figure(line.total, line.provisioned_months, line.active_months)
        assert line.total.least_cents <= line.total.cents <= line.total.greatest_cents
        assert sum(figure.cents for figure in line.services.values()) == line.total.cents
        if line.ministry_id is not None:
            mine = [one for one in postings if one.ministry_id == line.ministry_id]
            assert (line.total.least_cents, line.total.greatest_cents) == naive_range(mine)


def cells_of(rows: Sequence[Any], months: Sequence[str]) -> Counter[tuple[str, UUID | None, str]]:
    """Cents by perimeter, ministry and service as the report of these months says them; of all ministries under None."""
    periods = [Period(month, "open", 0, "", "", None, None, NOW) for month in months]
    books = Books(of_kind(rows, PostingRow), [], {}, of_kind(rows, MinistryRow), NAMES, periods, [])
    found: Counter[tuple[str, UUID | None, str]] = Counter()
    for perimeter in report_of(books, months, "booked", 5000).perimeters:
        for line in (*perimeter.lines, perimeter.total):
            for service, figure in line.services.items():
                found[perimeter.name, line.ministry_id, service] += figure.cents
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(all_inputs(), min_size=2, max_size=3), st.sampled_from(["booked", "ministry_id", "item_id", "service"]), st.randoms())
def test_the_parts_of_any_partition_sum_to_the_whole(inputs: Sequence[Inputs], by: str, random: Random) -> None:
    """Months, ministries, items, services: whatever they are filtered by, nothing is counted twice and nothing falls between."""
    months = [f"2026-{number:02}" for number in range(1, len(inputs) + 1)]
    rows = [replace(row, booked=month, concerns=month) for month, one in zip(months, inputs, strict=True) for row in posted(one)]
    chosen = {value for value in {getattr(row, by) for row in rows} if random.random() < 0.5}
    parts = [row for row in rows if getattr(row, by) in chosen], [row for row in rows if getattr(row, by) not in chosen]
    whole, summed = cells_of(rows, months), Counter[tuple[str, UUID | None, str]]()
    for part in parts:
        for cell, cents in cells_of(part, months).items():
            summed[cell] += cents
    assert {cell: cents for cell, cents in summed.items() if cents} == {cell: cents for cell, cents in whole.items() if cents}
    assert sum(cents for (_, ministry, _), cents in whole.items() if ministry is None) == sum(
        row.cents for row in rows for _ in row.perimeters.split()
    )


def posted(inputs: Inputs) -> list[PostingRow]:
    return of_kind(booked(inputs), PostingRow)


def tampered(rows: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Each row, one cent or one micro-euro off."""
    for row in rows:
        if isinstance(row, PostingRow | ItemRow):
            yield row, replace(row, cents=row.cents + 1)
        elif isinstance(row, AgentRow):
            yield row, row._replace(suite_micro_eur=row.suite_micro_eur + 1)


@settings(max_examples=25, deadline=None)
@given(all_inputs(), st.booleans())
def test_one_unit_off_in_any_row_is_named_though_its_digest_is_made_to_fit(inputs: Inputs, is_sealed: bool) -> None:
    outcome, rows = cascade(inputs), booked(inputs)
    [run], kept = of_kind(rows, RunRow), [row for row in rows if not isinstance(row, RunRow)]
    assert not [*check_rows(kept), *check_run(run, kept, inputs, outcome, ((), ()))]
    for before, after in tampered(kept):
        if isinstance(after, PostingRow) and is_sealed:
            after = sealed(after)
        others = [after if row is before else row for row in kept]
        wrong = [*check_rows(others), *check_run(run, others, inputs, outcome, ((), ()))]
        assert wrong, after
        assert any(str(one.what).find(str(getattr(after, "item_id", None) or getattr(after, "agent_id", None))) >= 0 for one in wrong)


def first_of(pair: tuple[Any, ...]) -> Any:
    return pair[0]


changed_days = st.tuples(st.integers(1, 31), st.integers(0, 10**9), st.integers(0, 10**13))
moves_home = st.tuples(st.dates(date(2026, 9, 20), date(2026, 11, 5)), st.sampled_from(MINISTRIES))


@given(
    st.lists(changed_days, max_size=6, unique_by=first_of),
    st.lists(moves_home, min_size=1, max_size=4, unique_by=first_of),
    st.integers(0, 10**9),
)
def test_who_moves_takes_each_day_to_the_ministry_of_that_day_and_no_byte_second_is_lost(
    given: list[tuple[int, int, int]], moves: list[tuple[date, UUID]], standing: int
) -> None:
    start, end, homes = date(2026, 10, 1), date(2026, 11, 1), sorted(moves)
    days = [(date(2026, 10, number), delta, seconds) for number, delta, seconds in sorted(given)]
    found: dict[UUID, int] = {}
    for ministry, quantity in split(integral(standing, days, start, end), homes, end):
        found[ministry] = found.get(ministry, 0) + quantity
    expected: dict[UUID, int] = {}
    level, changed, day = standing, {on: (delta, seconds) for on, delta, seconds in days}, start
    while day < end:
        delta, seconds = changed.get(day, (0, 0))
        home = ([ministry for since, ministry in homes if since <= day] or [homes[0][1]])[-1]
        expected[home] = expected.get(home, 0) + level * DAY_SECONDS + seconds
        level, day = level + delta, day + timedelta(days=1)
    assert {one: found[one] for one in found if found[one]} == {one: expected[one] for one in expected if expected[one]}


@settings(max_examples=40, deadline=None)
@given(all_inputs(), st.data())
def test_whatever_changes_of_the_inputs_changes_their_hash(inputs: Inputs, data: st.DataObject) -> None:
    """Otherwise an open month would stay as it was, and a closed one would not be corrected."""
    others: list[Inputs] = [replace(inputs, items=(*inputs.items[:place], replace(one, cents=one.cents + 1), *inputs.items[place + 1 :]))
                            for place, one in enumerate(inputs.items)]  # fmt: skip
    others += [replace(inputs, agents=(*inputs.agents[:place], one._replace(use={**one.use, "mail.sent": one.by("mail.sent") + 1}),
                                       *inputs.agents[place + 1 :])) for place, one in enumerate(inputs.agents)]  # fmt: skip
    others.append(replace(inputs, shared={**inputs.shared, UNKNOWN: {"mail.sent": 1}}))
    assert data.draw(st.sampled_from(others)).sha256 != inputs.sha256
