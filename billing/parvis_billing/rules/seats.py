"""Whose an agent's seat is: the changes of an account folded in the order in which they happened, whatever order they came in."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from parvis_billing.rules.months import day_of, ends_at

ORDER = {"joined": 0, "moved": 1, "suspended": 2, "reinstated": 3, "left": 4, "state": 5}
"""Of changes of the same moment; the state as directory last said it has the last word."""
ENABLED = {"joined": True, "suspended": False, "reinstated": True, "left": False}


class SeatChange(NamedTuple):
    """What a fact said of an agent's account; None where it said nothing."""

    agent_id: UUID
    at: datetime
    what: str
    ministry_id: UUID | None = None
    kind: str | None = None
    is_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent in a month."""

    ministry_id: UUID | None
    """At its end."""
    kind: str
    is_provisioned: bool
    """Enabled on its last day."""
    days: tuple[tuple[date, UUID], ...]
    """From which day on which ministry; the first one also counts before."""

    def ministry_on(self, day: date) -> UUID | None:
        """Use goes to the new ministry from the day of the move on."""
        if not self.days:
            return None
        return self.days[max(0, bisect_right(self.days, day, key=lambda one: one[0]) - 1)][1]


def seat_in(month: str, changes: Sequence[SeatChange]) -> Seat:
    """Of one agent's changes, in any order."""
    end = ends_at(month)
    ministry: UUID | None = None
    kind, enabled = "agent", False
    days: list[tuple[date, UUID]] = []
    in_order = changes if len(changes) == 1 else sorted(changes, key=lambda change: (change.at, ORDER[change.what]))
    for one in in_order:
        if one.at >= end and days:
            break
        if one.ministry_id is not None and one.ministry_id != ministry:
            day = day_of(one.at)
            if days and days[-1][0] == day:
                days.pop()
            days.append((day, one.ministry_id))
            if one.at < end:
                ministry = one.ministry_id
        kind = one.kind or kind
        if one.at < end:
            said = one.is_enabled if one.what == "state" else ENABLED.get(one.what)
            enabled = enabled if said is None else said
    return Seat(ministry, kind, enabled and kind != "guest", tuple(days))


def by_agent(changes: Iterable[SeatChange]) -> Mapping[UUID, list[SeatChange]]:
    found: dict[UUID, list[SeatChange]] = {}
    for one in changes:
        found.setdefault(one.agent_id, []).append(one)
    return found
