"""When several can meet: slots within working hours, those first in which fewest are busy; and how much one may know of another."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

Privacy = Literal["none", "free-busy", "details", "write", "delegate"]
Opened = Literal["details", "write", "delegate"]
"""The levels that show more than when somebody is busy."""
PRIVACY: tuple[Privacy, ...] = ("none", "free-busy", "details", "write", "delegate")
SHOW_TITLES: tuple[Opened, ...] = ("details", "write", "delegate")
MAY_WRITE: tuple[Opened, ...] = ("write", "delegate")
"""What is the owner's alone; a delegate also invites and answers in the owner's name."""
STEP = timedelta(minutes=15)
SLOTS_MAX = 20
ASKED_MAX = 300
"""People in one question; each costs a row for each week."""
DAYS_MAX = 62
DEFAULT: Privacy = "free-busy"
"""What all may know of somebody who has said nothing; more than this, and only within a ministry, is theirs to give."""
Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Hours:
    """When one works, on the clock of a zone."""

    zone: ZoneInfo
    begin: time
    end: time
    days: frozenset[int]
    """0 for Monday."""


@dataclass(frozen=True, slots=True)
class Slot:
    starts_at: int
    ends_at: int
    busy: tuple[UUID, ...]
    """Who could not come, or what is taken."""


def privacy_between(asker_id: UUID, asker_ministry: UUID, owner_id: UUID, owner_ministry: UUID, given: str | None) -> Privacy:
    """Another ministry sees when somebody is busy, and no more."""
    if asker_id == owner_id:
        return "write"
    level = given if given in PRIVACY else DEFAULT
    return level if asker_ministry == owner_ministry or level == "none" else DEFAULT


def candidates(start: int, end: int, seconds: int, hours: Hours) -> list[int]:
    """When a meeting of this length can begin."""
    found: list[int] = []
    day = datetime.fromtimestamp(start, UTC).astimezone(hours.zone).date()
    while True:
        opens = datetime.combine(day, hours.begin, hours.zone)
        if opens.timestamp() >= end:
            return found
        if day.weekday() in hours.days:
            closes = int(datetime.combine(day, hours.end, hours.zone).timestamp())
            at = int(opens.timestamp())
            while at + seconds <= min(closes, end):
                if at >= start:
                    found.append(at)
                at += int(STEP.total_seconds())
        day += timedelta(days=1)


def best_slots(busy: Mapping[UUID, Spans], start: int, end: int, seconds: int, hours: Hours, many: int) -> list[Slot]:
    """Those in which fewest are busy, the earliest of them first; each begins when the one before, if as good, is over or later."""
    begins = candidates(start, end, seconds, hours)
    steps = [0] * (len(begins) + 1)
    for spans in busy.values():
        for first, last in _blocked(begins, spans, seconds):
            steps[first] += 1
            steps[last] -= 1
    ranked, total = [], 0
    for index, at in enumerate(begins):
        total += steps[index]
        ranked.append((total, at))
    chosen: list[int] = []
    for _, at in sorted(ranked):
        if all(abs(at - other) >= seconds for other in chosen):
            chosen.append(at)
            if len(chosen) == many:
                break
    return [Slot(at, at + seconds, tuple(who for who, spans in busy.items() if _meets(spans, at, at + seconds))) for at in chosen]


def _blocked(begins: list[int], spans: Spans, seconds: int) -> list[tuple[int, int]]:
    """Which beginnings are no good for one person, each counted once."""
    found: list[tuple[int, int]] = []
    for first, last in spans:
        low, high = bisect_right(begins, first - seconds), bisect_left(begins, last)
        if found and low < found[-1][1]:
            low = found[-1][1]
        if low < high:
            found.append((low, high))
    return found


def _meets(spans: Spans, start: int, end: int) -> bool:
    return any(first < end and last > start for first, last in spans)


def merged(spans: Iterable[tuple[Any, ...]]) -> list[tuple[int, int]]:
    """From and to, in order, whatever kind of busy they are."""
    found: list[tuple[int, int]] = []
    reaches = -1 << 62
    for first, last, *_ in sorted(spans):
        if first <= reaches:
            reaches = max(reaches, last)
            found[-1] = (found[-1][0], reaches)
        else:
            found.append((first, last))
            reaches = last
    return found
