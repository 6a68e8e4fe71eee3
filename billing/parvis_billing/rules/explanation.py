"""An agent's figure walked back to the invoices: every step counted again from what it was made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from parvis_billing.rules import ACTIVE, PERIMETERS, SEATS
from parvis_billing.rules.allocation import share_of
from parvis_billing.rules.costs import AllocationKey, CostItem, PriceVersion
from parvis_billing.rules.ledger import AgentRow, ItemRow, PostingRow
from parvis_billing.rules.money import MICRO_PER_CENT


@dataclass(frozen=True, slots=True)
class Step:
    """One item for one service: from the invoice down to the agent."""

    item_id: str
    title: str
    document: str
    supplier: str
    source: str
    invoice_cents: int | None
    """Of the whole invoice; null for what is used at a price."""
    starts: date
    ends: date
    days: int
    """Of its period that fall into the month."""
    price: str
    """The price version, and what it says."""
    quantity: int
    month_cents: int
    service: str
    service_cents: int
    perimeters: Sequence[str]
    key: str
    fell_back: bool
    """Nobody had any weight under its own key: it was shared by seats."""
    ministry_weight: int
    total_weight: int
    ministry_cents: int
    agent_weight: int
    of_weight: int
    """Agent and ministry, on the same scale: what is common to a ministry is shared by its seats."""
    micro_eur: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one run booked of a month, for the agent in one ministry."""

    booked: str
    concerns: str
    ministry_id: UUID
    ministry: str
    provisioned: int
    active: int
    use: Mapping[str, int]
    steps: Sequence[Step]
    computed_micro_eur: Mapping[str, int]
    """By perimeter, counted again here."""
    before_micro_eur: Mapping[str, int]
    """What was booked of the month before; a correction books the difference."""
    booked_micro_eur: Mapping[str, int]
    """What the ledger holds."""
    agrees: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    agent_id: UUID
    month: str
    micro_eur: Mapping[str, int]
    """By perimeter: what the agent costs in this month, as restated."""
    parts: Sequence[Part]
    agrees: bool
    """Every micro-euro of the ledger was found again."""


@dataclass(frozen=True, slots=True)
class Papers:
    """What a run was made of."""

    items: Mapping[str, ItemRow]
    contents: Mapping[tuple[str, int], CostItem]
    prices: Mapping[str, PriceVersion]
    """By id and month of beginning."""
    keys: Mapping[str, AllocationKey]


def weight_of(row: AgentRow, meter: str | None) -> int:
    if meter is None:
        return 0
    return row.seat if meter == SEATS else row.active if meter == ACTIVE else row.use.get(meter, 0)


def step_of(posting: PostingRow, row: AgentRow, pseudonym: str, papers: Papers) -> Step | None:
    """None for what is nobody's, or has gone from the month."""
    how: Mapping[str, Any] = posting.how
    if not how.get("key") or not how.get("weight"):
        return None
    kept = papers.items[posting.item_id]
    item = papers.contents[posting.item_id, kept.revision]
    key = how["key"]
    meter = SEATS if key == SEATS else papers.keys[key].meter
    own, of, seats = weight_of(row, meter), int(how["weight"]), int(how.get("seats", 0))
    if seats:
        own, of = own * seats + int(how["common"]) * row.seat, of * seats
    cut = how.get("cut")
    in_time = cut is not None and pseudonym <= cut[1]
    micro = share_of(posting.computed_cents * MICRO_PER_CENT, own, of, cut and int(cut[0]), in_time)
    price = papers.prices.get(kept.price)
    said = f"{kept.price}: {price.micro_eur} micro-euros a {price.unit}" if price else kept.price
    return Step(
        item.id, item.title, item.document, item.supplier, item.source.title, item.cents, item.starts, item.ends,
        item.days_in(row.concerns), said, int(kept.quantity), kept.cents, posting.service, int(how["service_cents"]), item.perimeters, key,
        key != item.key, int(how["weight"]), int(how["of"]), posting.computed_cents, own, of, micro,
    )  # fmt: skip


def part_of(
    row: AgentRow, before: Sequence[AgentRow], postings: Sequence[PostingRow], pseudonym: str, papers: Papers, ministry: str
) -> Part:
    """`before`: the agent's rows of the same month and ministry that were booked earlier."""
    steps = [step for one in postings if (step := step_of(one, row, pseudonym, papers)) is not None]
    sums = {name: sum(step.micro_eur for step in steps if name in step.perimeters) for name in PERIMETERS}
    earlier = {name: sum(one.micros[number] for one in before) for number, name in enumerate(PERIMETERS)}
    booked = dict(zip(PERIMETERS, row.micros, strict=True))
    agrees = all(sums[name] - earlier[name] == booked[name] for name in PERIMETERS)
    return Part(
        row.booked, row.concerns, row.ministry_id, ministry, row.seat, row.active, dict(row.use), steps, sums, earlier, booked, agrees
    )


def explanation_of(agent_id: UUID, month: str, parts: Sequence[Part]) -> Explanation:
    total = {name: sum(one.booked_micro_eur[name] for one in parts) for name in PERIMETERS}
    return Explanation(agent_id, month, total, parts, all(one.agrees for one in parts))
