"""Whether the ledger still says what was booked: every row's digest, every share, every sum and every hash, counted again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parvis_billing.rules.cascade import Inputs, Outcome
from parvis_billing.rules.costs import digest_of
from parvis_billing.rules.ledger import (
    CLOSED,
    AgentRow,
    ItemRow,
    MinistryRow,
    Period,
    PostingRow,
    RunRow,
    chain,
    digest_of_row,
    rows_of,
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is not as it was booked."""

    what: str
    how: str


def name_of(row: Any) -> str:
    at = f"{row.concerns}" + (f" (booked in {row.booked})" if row.booked != row.concerns else "")
    match row:
        case PostingRow():
            return f"posting {at}: {row.item_id}, {row.service}, ministry {row.ministry_id}, {row.perimeters}"
        case AgentRow():
            return f"usage {at}: agent {row.agent_id}, ministry {row.ministry_id}"
        case MinistryRow():
            return f"usage {at}: ministry {row.ministry_id}"
        case ItemRow():
            return f"cost item {row.item_id} in {at}"
        case _:
            return f"run {at}"


def check_rows(rows: Sequence[ItemRow | MinistryRow | AgentRow | PostingRow]) -> Iterator[Wrong]:
    for row in rows:
        if row.digest != digest_of_row(row):
            yield Wrong(name_of(row), "changed: it no longer says what was booked")


def check_item_row(row: Any) -> Iterator[Wrong]:
    if row.digest != digest_of(row.amount_cents, row.starts, row.ends, row.content):
        yield Wrong(f"cost item {row.id}, revision {row.revision}", f"changed: {row.amount_cents} cents is not what was imported")


def check_price_row(row: Any) -> Iterator[Wrong]:
    if row.digest != digest_of({name: value for name, value in row.content.items() if name != "valid_until"}):
        yield Wrong(f"price {row.id} from {row.valid_from}", "changed: it is not what was imported")


def check_imported_row(row: Any) -> Iterator[Wrong]:
    if row.digest != digest_of(row.month, row.meter, row.ministry_id, row.agent_id, row.quantity):
        place = f"imported usage {row.month}: {row.meter}, ministry {row.ministry_id}, agent {row.agent_id}"
        yield Wrong(place, f"changed: {row.quantity} is not what line {row.line} of its file said")


def check_run(
    run: RunRow, kept: Sequence[Any], inputs: Inputs, outcome: Outcome, before: tuple[Sequence[PostingRow], Sequence[AgentRow]]
) -> Iterator[Wrong]:
    """`kept`: its rows in the tables; against those that follow from its inputs."""
    where = name_of(run)
    if inputs.sha256 != run.inputs_sha256:
        yield Wrong(where, "what it was computed from is not what it was (SHA-256 of its inputs), or that hash was overwritten")
    if outcome.sha256 != run.postings_sha256:
        yield Wrong(where, "its postings are not those that were booked (SHA-256), or that hash was overwritten")
    if outcome.cents != run.total_cents:
        yield Wrong(where, f"its total is {run.total_cents} cents, and its postings come to {outcome.cents}")
    expected = {name_of(row): row for row in rows_of(inputs, outcome, run.booked, *before)[1:]}
    found = {name_of(row): row for row in kept}
    for name in sorted({*expected, *found}):
        yield from _compare(name, found.get(name), expected.get(name))


def _compare(name: str, found: Any, expected: Any) -> Iterator[Wrong]:
    if found is None or expected is None:
        yield Wrong(name, "is missing" if found is None else "was put in: nothing that was paid or used leads to it")
        return
    for field in ("cents", "computed_cents", "by_key", "hosting_micro_eur", "suite_micro_eur", "complete_micro_eur", "seats", "active"):
        said, follows = getattr(found, field, None), getattr(expected, field, None)
        if said != follows:
            yield Wrong(name, f"{field} is {said}, and {follows} follows from what was paid and used")


def check_items(items: Sequence[ItemRow], inputs: Inputs) -> Iterator[Wrong]:
    """A fixed amount's share of the month, from the invoice itself."""
    revisions = {(one.item.id, one.revision): one.item for one in inputs.items}
    for row in items:
        item = revisions.get((row.item_id, row.revision))
        if item is not None and item.price is None and item.cents_in(row.concerns) != row.cents:
            yield Wrong(name_of(row), f"{row.cents} cents, and the invoice has {item.cents_in(row.concerns)} for the month's days")


def check_chain(
    periods: Sequence[Period], runs: Sequence[RunRow], totals: Mapping[str, int], audited: Mapping[str, str]
) -> Iterator[Wrong]:
    """Closed months, each over the one before; and what the audit wrote down when they were closed."""
    closed = {one.month for one in periods if one.state == CLOSED}
    for month in sorted({*audited} - closed):
        yield Wrong(f"period {month}", "was closed, as the audit says, and is no longer")
    previous = ""
    for one in sorted(periods, key=lambda period: period.month):
        where = f"period {one.month}"
        total = totals.get(one.month, 0)
        if one.total_cents != total:
            yield Wrong(where, f"its total is {one.total_cents} cents, and its postings come to {total}")
        if one.state != CLOSED:
            continue
        if one.previous_hash != previous:
            yield Wrong(where, "its link to the month before was overwritten")
        if one.hash != chain(one.previous_hash, one.month, [run for run in runs if run.booked == one.month], one.total_cents):
            yield Wrong(where, "its hash was overwritten, or is not that of what it holds")
        if one.month in audited and audited[one.month] != one.hash:
            yield Wrong(where, "the audit of its closing has another hash")
        if one.month not in audited:
            yield Wrong(where, "nobody's act has closed it: the audit does not know of it")
        previous = one.hash
