"""The price before the act, in words."""

from collections.abc import Iterator

from parvis_billing.rules.money import said
from parvis_billing.rules.simulation import Simulation

TITLES = {"hosting": "hosting", "suite": "suite, against the target", "complete": "complete, with the network"}


def price_lines(found: Simulation) -> Iterator[str]:
    """For each perimeter: what the ministry would bear, the range over keys, what is new spending, and what one agent costs."""
    yield f"  {found.agents} more agents would cost, a year (as in {found.on_month}, times twelve):"
    for one in found.perimeters:
        more = one.then_cents - one.now_cents
        yield (
            f"    {TITLES[one.perimeter]}: {said(more)} more for the ministry, then {said(one.then_cents)} "
            f"({said(one.then_least_cents)} – {said(one.then_greatest_cents)} by key); {said(one.new_spending_cents)} of it new spending"
            f"{f', {said(one.per_agent_cents)} an agent' if one.per_agent_cents is not None else ''}"
        )
