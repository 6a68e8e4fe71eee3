"""The cascade once more, slow and exact, written from the method alone: fractions, and one unit at a time."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from uuid import UUID

from parvis_billing.rules import ACTIVE, PERIMETERS, SEATS, UNKNOWN
from parvis_billing.rules.cascade import AgentUse, Inputs, pseudonym


def shares(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """By name, which is the pseudonym: of equal remainders the smaller pseudonym comes first."""
    if total < 0:
        return {name: -share for name, share in shares(-total, weights).items()}
    of = sum(weights.values())
    exact = {name: Fraction(total * weight, of) for name, weight in weights.items()}
    found = {name: int(quota) for name, quota in exact.items()}
    for _ in range(total - sum(found.values())):
        name = min(weights, key=lambda one: (found[one] - exact[one], one))
        found[name] += 1
    return found


def by(use: AgentUse, meter: str | None) -> int:
    return {SEATS: use.seat, ACTIVE: use.active}.get(meter or "", use.use.get(meter or "", 0))


def common(inputs: Inputs, key: str, ministry: UUID) -> int:
    if (meter := inputs.keys[key].meter) is not None:
        return inputs.shared.get(ministry, {}).get(meter, 0)
    return sum(weight for siren, weight in inputs.keys[key].shares.items() if inputs.sirens.get(siren, UNKNOWN) == ministry)


def weigh(inputs: Inputs, key: str) -> dict[UUID, int]:
    places = {UNKNOWN, *(one.ministry_id for one in inputs.agents), *inputs.shared, *inputs.sirens.values()}
    meter = inputs.keys[key].meter
    own = {place: sum(by(one, meter) for one in inputs.agents if one.ministry_id == place) for place in places}
    return {place: own[place] + common(inputs, key, place) for place in places}


def to_ministries(inputs: Inputs, key: str, cents: int) -> tuple[dict[UUID, int], str]:
    for used in (key, SEATS):
        weights = weigh(inputs, used)
        if any(weights.values()):
            named = {pseudonym(inputs.secret, place.bytes): place for place in weights}
            told = shares(cents, {name: weights[place] for name, place in named.items()})
            return {named[name]: share for name, share in told.items()}, used
    return {UNKNOWN: cents}, ""


def to_agents(inputs: Inputs, key: str, ministry: UUID, micro: int) -> dict[UUID, int]:
    uses = [one for one in inputs.agents if one.ministry_id == ministry]
    if not key or not weigh(inputs, key)[ministry]:
        return {}
    seats, shared = sum(one.seat for one in uses), common(inputs, key, ministry)
    weights = {one.pseudonym: by(one, inputs.keys[key].meter) for one in uses}
    if shared and seats:
        weights = {one.pseudonym: weights[one.pseudonym] * seats + shared * one.seat for one in uses}
    elif shared:
        weights["~"] = shared
    found = shares(micro, weights)
    return {one.agent_id: found[one.pseudonym] for one in uses}


def cascade(inputs: Inputs) -> tuple[dict[tuple[str, str, UUID], int], dict[tuple[UUID, UUID], list[int]]]:
    """Cents by item, service and ministry; micro-euros by ministry, agent and perimeter."""
    postings: dict[tuple[str, str, UUID], int] = {}
    micros = {(one.ministry_id, one.agent_id): [0] * len(PERIMETERS) for one in inputs.agents}
    for month in inputs.items:
        named = {pseudonym(inputs.secret, name.encode()): name for name in month.item.services}
        for name, cents in shares(month.cents, {one: month.item.services[named[one]] for one in named}).items():
            for ministry, share in _spread(inputs, month.item.key, cents):
                postings[month.item.id, named[name], ministry[0]] = share
                for agent, micro in to_agents(inputs, ministry[1], ministry[0], share * 10_000).items():
                    for number, perimeter in enumerate(PERIMETERS):
                        micros[ministry[0], agent][number] += micro * (perimeter in month.item.perimeters)
    return {place: cents for place, cents in postings.items() if cents}, micros


def _spread(inputs: Inputs, key: str, cents: int) -> Sequence[tuple[tuple[UUID, str], int]]:
    found, used = to_ministries(inputs, key, cents)
    return [((ministry, used), share) for ministry, share in found.items()]
