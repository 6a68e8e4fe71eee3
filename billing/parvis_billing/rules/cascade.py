"""From what was paid and used in a month to what each agent costs: a pure function, and a hash of what goes in and of what comes out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any, NamedTuple
from uuid import UUID

from parvis_billing.rules import ACTIVE, PERIMETERS, SEATS, UNKNOWN
from parvis_billing.rules.allocation import Cut, allot
from parvis_billing.rules.costs import AllocationKey, CostItem, digest_of
from parvis_billing.rules.money import MICRO_PER_CENT

ENGINE = 1
"""Raise it when the same inputs come to other postings: open months are then computed anew."""
FALLBACK = SEATS
"""What an item is shared by whose own key nobody has any weight in."""
Place = tuple[UUID, UUID]
"""Ministry and agent."""


class AgentUse(NamedTuple):
    """An agent, or a guest, in a ministry in a month; who moved is in both."""

    ministry_id: UUID
    agent_id: UUID
    pseudonym: str
    kind: str
    seat: int
    active: int
    use: Mapping[str, int]
    """By meter."""

    def by(self, meter: str) -> int:
        return self.seat if meter == SEATS else self.active if meter == ACTIVE else self.use.get(meter, 0)


@dataclass(frozen=True, slots=True)
class ItemMonth:
    """What of a cost item falls into the month."""

    item: CostItem
    revision: int
    cents: int
    price: str = ""
    """The price version that it was counted by."""
    quantity: int = 0


@dataclass(frozen=True)
class Inputs:
    """Everything that a month's postings follow from."""

    month: str
    items: tuple[ItemMonth, ...]
    keys: Mapping[str, AllocationKey]
    agents: tuple[AgentUse, ...]
    shared: Mapping[UUID, Mapping[str, int]]
    """Use that is a ministry's and no single agent's, by ministry and meter: what lies in shared spaces."""
    sirens: Mapping[str, UUID]
    """For keys with fixed shares."""
    secret: bytes
    """Of the year: under it pseudonyms are made."""

    @cached_property
    def by_ministry(self) -> dict[UUID, list[AgentUse]]:
        """In the order of pseudonyms, ministries too: ties fall by it, and no order in which things came in matters."""
        found: dict[UUID, list[AgentUse]] = {ministry: [] for ministry in self.shared}
        for one in self.agents:
            found.setdefault(one.ministry_id, []).append(one)
        for ministry in (UNKNOWN, *self.sirens.values()):
            found.setdefault(ministry, [])
        order = sorted(found, key=lambda ministry: pseudonym(self.secret, ministry.bytes))
        return {ministry: sorted(found[ministry], key=lambda one: one.pseudonym) for ministry in order}

    @cached_property
    def sha256(self) -> str:
        hashed = sha256(f"{ENGINE}\n{self.month}\n".encode())
        for one in sorted(self.items, key=lambda one: one.item.id):
            item = one.item.model_dump_json(by_alias=True)
            hashed.update(f"{digest_of(item)} {one.cents} {one.price} {one.quantity}\n".encode())
        for name, key in sorted(self.keys.items()):
            hashed.update(f"{name} {key.meter} {sorted(key.shares.items())}\n".encode())
        for ministry, uses in self.by_ministry.items():
            hashed.update(f"{ministry} {sorted(_some(self.shared.get(ministry, {})))}\n".encode())
            for use in uses:
                hashed.update(f"{use.pseudonym} {use.kind} {use.seat} {use.active} {sorted(_some(use.use))}\n".encode())
        return hashed.hexdigest()


@dataclass(frozen=True, slots=True)
class Posting:
    """What a ministry bears of an item for a service, and all that it takes to count it again."""

    item_id: str
    revision: int
    service: str
    perimeters: tuple[str, ...]
    ministry_id: UUID
    cents: int
    by_key: Mapping[str, int]
    """What it would bear under each admissible key."""
    how: dict[str, Any]

    @property
    def place(self) -> tuple[str, str, UUID, tuple[str, ...]]:
        return self.item_id, self.service, self.ministry_id, self.perimeters


@dataclass(frozen=True)
class Outcome:
    """Postings in cents, and each agent's micro-euros by perimeter."""

    postings: tuple[Posting, ...]
    micros: Mapping[Place, tuple[int, ...]]
    pseudonyms: Mapping[Place, str]

    @cached_property
    def sha256(self) -> str:
        hashed = sha256()
        for one in sorted(self.postings, key=lambda one: (one.item_id, one.service, str(one.ministry_id), one.perimeters)):
            hashed.update(f"{' '.join(map(str, one.place))} {one.cents} {sorted(one.by_key.items())}\n".encode())
        lines = sorted(f"{ministry} {self.pseudonyms[ministry, agent]} {micros}\n" for (ministry, agent), micros in self.micros.items())
        hashed.update("".join(lines).encode())
        return hashed.hexdigest()

    @property
    def cents(self) -> int:
        return sum(one.cents for one in self.postings)


def pseudonym(secret: bytes, what: bytes) -> str:
    return hmac_digest(secret, what, "sha256")[:16].hex()


def _some(use: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return ((meter, quantity) for meter, quantity in use.items() if quantity)


def cascade(inputs: Inputs) -> Outcome:
    """Item-month → services → ministries, in cents → agents, in micro-euros. The children of everything sum to it."""
    desk = Desk(inputs)
    postings: list[Posting] = []
    for month in sorted(inputs.items, key=lambda one: one.item.id):
        services = sorted(month.item.services, key=lambda name: pseudonym(inputs.secret, name.encode()))
        shares, _ = allot(month.cents, [month.item.services[name] for name in services])
        for service, cents in zip(services, shares, strict=True):
            for posting in desk.to_ministries(month, service, cents):
                desk.to_agents(posting)
                postings.append(posting)
    return Outcome(tuple(postings), desk.micros, desk.pseudonyms)


class Desk:
    """What stages 3 and 4 share: the weights of a month."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs, self.ministries = inputs, list(inputs.by_ministry)
        self.own: dict[tuple[str, UUID], list[int]] = {}
        self.sums = {name: self._weigh(name) for name in {FALLBACK, *(key for one in inputs.items for key in one.item.keys)}}
        self.totals: dict[UUID, list[list[int]]] = {
            ministry: [[0] * len(uses) for _ in PERIMETERS] for ministry, uses in inputs.by_ministry.items()
        }

    def _meter(self, name: str) -> str | None:
        return FALLBACK if name == FALLBACK else self.inputs.keys[name].meter

    def _common(self, name: str, ministry: UUID) -> int:
        """What of the weight is no single agent's."""
        if name == FALLBACK:
            return self.inputs.shared.get(ministry, {}).get(SEATS, 0)
        key = self.inputs.keys[name]
        if key.meter is None:
            return sum(weight for siren, weight in key.shares.items() if self.inputs.sirens.get(siren, UNKNOWN) == ministry)
        return self.inputs.shared.get(ministry, {}).get(key.meter, 0)

    def _weigh(self, name: str) -> list[int]:
        meter, found = self._meter(name), []
        for ministry, uses in self.inputs.by_ministry.items():
            self.own[name, ministry] = mine = [0] * len(uses) if meter is None else [one.by(meter) for one in uses]
            found.append(sum(mine) + self._common(name, ministry))
        return found

    def _shares(self, name: str, cents: int) -> tuple[list[int], str]:
        """Of the ministries, and the key that it came to. Where nobody weighs anything, not even seats, it is nobody's."""
        for used in (name, FALLBACK):
            if any(self.sums[used]):
                return allot(cents, self.sums[used])[0], used
        return [cents if ministry == UNKNOWN else 0 for ministry in self.ministries], ""

    def to_ministries(self, month: ItemMonth, service: str, cents: int) -> Iterable[Posting]:
        item = month.item
        by_key = {name: self._shares(name, cents) for name in item.keys}
        shares, used = by_key[item.key]
        for place, ministry in enumerate(self.ministries):
            mine = {name: found[place] for name, (found, _) in by_key.items()}
            if not any(mine.values()):
                continue
            how: dict[str, Any] = {"key": used, "asked": item.key, "service_cents": cents}
            if used:
                how |= {"weight": self.sums[used][place], "of": sum(self.sums[used]), "common": self._common(used, ministry)}
            yield Posting(item.id, month.revision, service, item.perimeters, ministry, shares[place], mine, how)

    def to_agents(self, posting: Posting) -> None:
        """Adds to the totals, and writes into the posting's `how` who was the last to get a unit more."""
        how, uses = posting.how, self.inputs.by_ministry.get(posting.ministry_id, [])
        if not how["key"] or not posting.cents or not how["weight"]:
            return
        weights, seats = self.own[how["key"], posting.ministry_id], 0
        if how["common"]:
            weights, seats = self._with_common(weights, how["common"], uses)
        shares, cut = allot(posting.cents * MICRO_PER_CENT, weights)
        how["seats"], how["cut"] = seats, _told(cut, uses)
        totals = self.totals[posting.ministry_id]
        for number, perimeter in enumerate(PERIMETERS):
            if perimeter in posting.perimeters:
                totals[number] = [before + share for before, share in zip(totals[number], shares, strict=False)]

    def _with_common(self, weights: Sequence[int], common: int, uses: Sequence[AgentUse]) -> tuple[list[int], int]:
        """What is common is shared by seats: each weight is scaled by them, to stay whole. Without a seat it stays nobody's."""
        seats = sum(one.seat for one in uses)
        if not seats:
            return [*weights, common], 0
        return [weight * seats + common * one.seat for weight, one in zip(weights, uses, strict=True)], seats

    @property
    def micros(self) -> dict[Place, tuple[int, ...]]:
        return {
            (ministry, one.agent_id): tuple(column[place] for column in self.totals[ministry])
            for ministry, uses in self.inputs.by_ministry.items()
            for place, one in enumerate(uses)
        }

    @property
    def pseudonyms(self) -> dict[Place, str]:
        return {(one.ministry_id, one.agent_id): one.pseudonym for one in self.inputs.agents}


def _told(cut: Cut | None, uses: Sequence[AgentUse]) -> list[Any] | None:
    if cut is None:
        return None
    return [cut.remainder, uses[cut.position].pseudonym if cut.position < len(uses) else "~"]
