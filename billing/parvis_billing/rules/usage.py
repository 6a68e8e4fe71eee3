"""A month's use, put together from what was metered and what was imported: by ministry and agent, and what no single agent used."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from parvis_billing.rules import ACTIVE, QUALIFYING, SEATS, STORAGE, UNKNOWN
from parvis_billing.rules.cascade import AgentUse, pseudonym
from parvis_billing.rules.months import after, first_day
from parvis_billing.rules.seats import Seat, SeatChange, seat_in
from parvis_billing.rules.storage import integral, split


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds bytes at the start of the month, and how they change in it."""

    is_personal: bool
    standing_bytes: int = 0
    days: list[tuple[date, int, int]] = field(default_factory=list)
    """(day, delta, byte-seconds until midnight)"""
    moves: list[tuple[date, UUID]] = field(default_factory=list)
    """Of a shared space: from which day on it was which ministry's."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A line of a file of use."""

    meter: str
    ministry_id: UUID
    agent_id: UUID | None
    quantity: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What the tables hold of a month."""

    month: str
    changes: Mapping[UUID, Sequence[SeatChange]]
    """All of them, by agent."""
    holders: Mapping[UUID, Holder]
    counted: Sequence[tuple[UUID, date, str, int]]
    """Agent, day, meter, quantity."""
    imported: Sequence[Imported]


class Month:
    """The sums of a month while they are made."""

    def __init__(self, month: str) -> None:
        self.start, self.end = first_day(month), first_day(after(month))
        self.use: dict[tuple[UUID, UUID], dict[str, int]] = defaultdict(dict)
        self.common: dict[UUID, dict[str, int]] = defaultdict(dict)
        self.seats: dict[tuple[UUID, UUID], int] = {}
        self.active: set[tuple[UUID, UUID]] = set()
        self.guests: set[UUID] = set()

    def add(self, ministry: UUID, agent: UUID | None, meter: str, quantity: int) -> None:
        sums = self.common[ministry] if agent is None else self.use[ministry, agent]
        sums[meter] = sums.get(meter, 0) + quantity


def uses_of(collected: Collected, secret: bytes) -> tuple[tuple[AgentUse, ...], dict[UUID, dict[str, int]]]:
    """Each agent's use by ministry, and the common use of each ministry."""
    found = Month(collected.month)
    seats = {agent: seat_in(collected.month, changes) for agent, changes in collected.changes.items()}
    busy = _add_counted(found, collected, seats)
    _add_storage(found, collected, seats)
    provisioned = {agent: seat.ministry_id for agent, seat in seats.items() if seat.is_provisioned and seat.ministry_id is not None}
    found.guests = {agent for agent, seat in seats.items() if seat.kind == "guest"}
    _add_imported(found, collected, provisioned, busy)
    for agent, ministry in provisioned.items():
        found.seats[ministry, agent] = 1
        if agent in busy:
            found.active.add((ministry, agent))
    places = {*found.use, *found.seats}
    uses = tuple(
        AgentUse(
            ministry, agent, pseudonym(secret, agent.bytes), "guest" if agent in found.guests else "agent",
            found.seats.get((ministry, agent), 0), int((ministry, agent) in found.active), found.use.get((ministry, agent)) or {},
        )
        for ministry, agent in places
    )  # fmt: skip
    return uses, {ministry: dict(common) for ministry, common in found.common.items()}


def _add_counted(found: Month, collected: Collected, seats: Mapping[UUID, Seat]) -> set[UUID]:
    """Who did something that counts as being active."""
    busy = set()
    for agent, day, meter, quantity in collected.counted:
        seat = seats.get(agent)
        found.add(seat and seat.ministry_on(day) or UNKNOWN, agent, meter, quantity)
        if meter in QUALIFYING:
            busy.add(agent)
    return busy


def _add_storage(found: Month, collected: Collected, seats: Mapping[UUID, Seat]) -> None:
    for holder_id, holder in collected.holders.items():
        stretches = integral(holder.standing_bytes, holder.days, found.start, found.end)
        seat = seats.get(holder_id)
        moves = (seat.days if seat else ()) if holder.is_personal else tuple(holder.moves)
        for ministry, quantity in split(stretches, moves or ((found.start, UNKNOWN),), found.end):
            if quantity:
                found.add(ministry, holder_id if holder.is_personal else None, STORAGE, quantity)


def _add_imported(found: Month, collected: Collected, provisioned: Mapping[UUID, UUID], busy: set[UUID]) -> None:
    """Of a seat that was metered too, the metered one counts: an agent has one."""
    for one in collected.imported:
        if one.agent_id is None:
            if one.meter not in (SEATS, ACTIVE):
                found.add(one.ministry_id, None, one.meter, one.quantity)
        elif one.meter == SEATS:
            if one.agent_id not in provisioned and one.agent_id not in found.guests:
                found.seats[one.ministry_id, one.agent_id] = 1
        elif one.meter == ACTIVE:
            if one.agent_id in provisioned:
                busy.add(one.agent_id)
            elif one.agent_id not in found.guests:
                found.active.add((one.ministry_id, one.agent_id))
                found.seats[one.ministry_id, one.agent_id] = 1
        else:
            found.add(one.ministry_id, one.agent_id, one.meter, one.quantity)
