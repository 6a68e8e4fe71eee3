"""What more agents would cost, before they are there: the same engine over a month that is changed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from uuid import UUID

from parvis_billing.rules import ACTIVE, PERIMETERS, SEATS
from parvis_billing.rules.cascade import AgentUse, Inputs, ItemMonth, Posting, cascade
from parvis_billing.rules.costs import PriceVersion
from parvis_billing.rules.money import rounded
from parvis_billing.rules.report import MONTHS_A_YEAR, per_year

AGENTS_MAX = 200_000
"""More than any ministry has."""


@dataclass(frozen=True, slots=True)
class Change:
    """A ministry's bill in a year, as it is and as it would be; in cents."""

    perimeter: str
    now_cents: int
    then_cents: int
    then_least_cents: int
    then_greatest_cents: int
    """Over all admissible keys."""
    new_spending_cents: int
    """What the State would pay more in all; the rest moves between ministries."""
    per_agent_cents: int | None
    """Of an agent of this ministry, then, in a year."""


@dataclass(frozen=True, slots=True)
class Simulation:
    ministry_id: UUID
    agents: int
    on_month: str
    """The month that it is reckoned on, twelve times."""
    provisioned_now: int
    perimeters: list[Change]


def with_more(inputs: Inputs, ministry_id: UUID, agents: int, prices: Mapping[str, PriceVersion]) -> Inputs:
    """`agents` more, each using what one uses there on average, or anywhere when nobody is there yet."""
    if not agents:
        return inputs
    there = [one for one in inputs.agents if one.seat and one.ministry_id == ministry_id]
    like = there or [one for one in inputs.agents if one.seat]
    meters = sorted({meter for one in like for meter in one.use})
    average = {meter: sum(one.use.get(meter, 0) for one in like) // len(like) for meter in meters} if like else {}
    active = rounded(Fraction(agents * sum(one.active for one in like), len(like))) if like else 0
    more = tuple(
        AgentUse(ministry_id, UUID(int=2**127 + number), f"{number:032x}", "agent", 1, int(number < active), average)
        for number in range(agents)
    )
    added = {SEATS: agents, ACTIVE: active, **{meter: agents * quantity for meter, quantity in average.items()}}
    items = tuple(_priced(one, prices.get(one.price), added) for one in inputs.items)
    return replace(inputs, items=items, agents=inputs.agents + more)


def _priced(one: ItemMonth, price: PriceVersion | None, added: Mapping[str, int]) -> ItemMonth:
    if price is None:
        return one
    quantity = one.quantity + added.get(price.meter, 0)
    return replace(one, quantity=quantity, cents=price.cents_for(quantity))


def simulate(inputs: Inputs, ministry_id: UUID, agents: int, prices: Mapping[str, PriceVersion]) -> Simulation:
    then_inputs = with_more(inputs, ministry_id, agents, prices)
    now, then = cascade(inputs).postings, cascade(then_inputs).postings
    seats = sum(one.seat for one in inputs.agents if one.ministry_id == ministry_id)
    changes = [_change(name, now, then, ministry_id, seats + agents) for name in PERIMETERS]
    return Simulation(ministry_id, agents, inputs.month, seats, changes)


def _change(name: str, now: tuple[Posting, ...], then: tuple[Posting, ...], ministry_id: UUID, seats: int) -> Change:
    before, after = ([one for one in postings if name in one.perimeters] for postings in (now, then))
    mine_before, mine = ([one for one in postings if one.ministry_id == ministry_id] for postings in (before, after))
    by_item: dict[str, dict[str, int]] = {}
    for one in mine:
        keys = by_item.setdefault(one.item_id, {})
        for key, cents in one.by_key.items():
            keys[key] = keys.get(key, 0) + cents
    cents = sum(one.cents for one in mine)
    return Change(
        perimeter=name,
        now_cents=MONTHS_A_YEAR * sum(one.cents for one in mine_before),
        then_cents=MONTHS_A_YEAR * cents,
        then_least_cents=MONTHS_A_YEAR * sum(min(keys.values()) for keys in by_item.values()),
        then_greatest_cents=MONTHS_A_YEAR * sum(max(keys.values()) for keys in by_item.values()),
        new_spending_cents=MONTHS_A_YEAR * (sum(one.cents for one in after) - sum(one.cents for one in before)),
        per_agent_cents=per_year(cents, seats),
    )
