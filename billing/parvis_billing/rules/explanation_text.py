"""An explanation as lines that can be read out, from the invoice down to the micro-euro."""

from collections.abc import Iterator

from parvis_billing.rules.explanation import Explanation, Part, Step
from parvis_billing.rules.money import plain, plain_micro


def as_text(found: Explanation) -> str:
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Explanation) -> Iterator[str]:
    sums = ", ".join(f"{name} {plain_micro(micro)} €" for name, micro in found.micro_eur.items())
    yield f"agent {found.agent_id}, {found.month} (UTC): {sums}"
    for part in found.parts:
        yield from _part(part)
    yield "recomputed to the same micro-euro" if found.agrees else "DOES NOT AGREE with what is booked: run `parvis cost verify`"


def _part(part: Part) -> Iterator[str]:
    late = f", a correction booked in {part.booked}" if part.booked != part.concerns else ""
    use = "".join(f", {meter} {quantity}" for meter, quantity in sorted(part.use.items()))
    yield f"in {part.ministry}{late}: seat {part.provisioned}, active {part.active}{use}"
    for step in part.steps:
        yield from _step(step)
    for name, micro in part.computed_micro_eur.items():
        less = f" − {plain_micro(part.before_micro_eur[name])} booked before" if part.before_micro_eur[name] else ""
        yield f"  {name}: {plain_micro(micro)} €{less} = {plain_micro(part.booked_micro_eur[name])} € booked"


def _step(step: Step) -> Iterator[str]:
    paper = " ".join(filter(None, (step.document, step.supplier)))
    yield f"  {step.item_id}: {step.title}{f' ({paper})' if paper else ''}; {step.source}"
    if step.invoice_cents is None:
        yield f"    {step.quantity} used at {step.price}: {plain(step.month_cents)} €"
    else:
        length = (step.ends - step.starts).days + 1
        when = f"from {step.starts} to {step.ends}, {step.days} of {length} days"
        yield f"    {plain(step.invoice_cents)} € {when}: {plain(step.month_cents)} €"
    why = " (its own key weighs nothing this month)" if step.fell_back else ""
    key = f"by key {step.key}{why}"
    yield f"    {step.service} {plain(step.service_cents)} €, {key}: ministry {step.ministry_weight} of {step.total_weight}"
    yield f"    ministry {plain(step.ministry_cents)} €, agent {step.agent_weight} of {step.of_weight}: {plain_micro(step.micro_eur)} €"
