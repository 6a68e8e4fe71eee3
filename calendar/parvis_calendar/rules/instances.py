"""When a calendar object takes place: its rules, dates and single occurrences brought together, in a window, with bounded work."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from parvis_calendar.rules.objects import CalendarObject, Part, Period
from parvis_calendar.rules.recurrence import Unexpandable, Work, occurrences
from parvis_calendar.rules.times import DAY, FIRST_SECOND, LAST_SECOND, Time, local_of, utc_of

INSTANCES_MAX = 5_000
"""Of one object in one window: five a day for all of the horizon, and no row more for one PUT."""
RULES_MAX = 20
SLACK = 2 * DAY
"""Between a clock in any zone and UTC, and a day more."""
FREE, BUSY, TENTATIVE = 0, 1, 2


class Instance(NamedTuple):
    recurrence_at: int
    """Which one it is: when it would take place if it were like the others. Seconds as `starts_at`."""
    starts_at: int
    """Seconds since 1970 in UTC; where `is_floating`, what the clock on the wall shows then, counted in the same way."""
    ends_at: int
    is_floating: bool
    busy: int
    """FREE, BUSY, TENTATIVE."""
    part: Part
    """What is said of it."""


@dataclass(frozen=True, slots=True)
class Instances:
    found: tuple[Instance, ...]
    """In order."""
    is_whole: bool
    """There are no others outside the window."""
    is_unexpandable: bool = False
    """The rule asks for more work than is done for anybody; only the first occurrence and single ones were found."""


def instances(what: CalendarObject, start: int, end: int, home: tzinfo) -> Instances:
    """Those that meet the window from `start` before `end`, seconds since 1970 in UTC; floating times are taken in `home`."""
    window = Window(start, end, local_of(start, home), local_of(end, home))
    if what.component == "VTODO" and what.first.starts is None:
        return Instances(tuple(_task(what)), True)
    if what.master is None:
        found = [_single(part, what.component) for part in what.overrides]
        return Instances(_in_order(one for one in found if one is not None and window.meets(one)), _is_within(found, window))
    if not what.master.recurs and not what.overrides:
        one = first_of(what)
        return Instances((one,) if one is not None and window.meets(one) else (), True)
    try:
        every = Expansion(what, Work()).meeting(window)
    except Unexpandable:
        return _first_and_single(what, window)
    return Instances(every, _ends_within(what, window))


class Window(NamedTuple):
    start: int
    end: int
    wall_start: int
    wall_end: int

    def meets(self, one: Instance) -> bool:
        """What has no length is met where it stands (RFC 4791 §9.9)."""
        start, end = (self.wall_start, self.wall_end) if one.is_floating else (self.start, self.end)
        return one.starts_at < end and (one.ends_at > start or (one.ends_at == one.starts_at >= start))


def busy_of(part: Part, component: str) -> int:
    if component != "VEVENT" or part.transparency == "TRANSPARENT" or part.is_cancelled:
        return FREE
    return TENTATIVE if part.status == "TENTATIVE" else BUSY


def length_of(part: Part, component: str, starts: Time) -> tuple[int, bool]:
    """In seconds; and whether that is what clocks show rather than what passes."""
    if part.has_duration:
        return part.days * DAY + part.seconds, not part.seconds
    if part.ends is not None:
        passed = part.ends.local - starts.local if starts.is_floating else part.ends.epoch(starts.zone) - starts.epoch()
        return max(passed, DAY if starts.is_day else 0), False
    return (DAY if starts.is_day and component != "VTODO" else 0), starts.is_day


def placed(
    part: Part, component: str, starts: Time, recurrence_at: int, period: Period | None = None, length: tuple[int, bool] | None = None
) -> Instance:
    """An occurrence that begins then. `length`: the part's, when it is known already."""
    seconds, is_nominal = length or length_of(part, component, part.starts or starts)
    if period is not None and period.ends is not None:
        seconds, is_nominal = period.ends.epoch(starts.zone) - starts.epoch(), False
    elif period is not None and (period.days or period.seconds):
        seconds, is_nominal = period.days * DAY + period.seconds, False
    starts_at = starts.epoch()
    if is_nominal and starts.zone is not None:
        ends_at = utc_of(starts.local + seconds, starts.zone)
    else:
        ends_at = starts_at + seconds
    return Instance(recurrence_at, starts_at, max(ends_at, starts_at), starts.is_floating, busy_of(part, component), part)


def first_of(what: CalendarObject) -> Instance | None:
    """Its first occurrence as it is written, whatever its rules make of it."""
    return _single(what.first, what.component)


def _single(part: Part, component: str) -> Instance | None:
    starts = part.starts or part.recurrence_id
    if starts is None:
        return None
    return placed(part, component, starts, (part.recurrence_id or starts).epoch())


def _task(what: CalendarObject) -> Iterator[Instance]:
    """A task without a beginning (RFC 4791 §9.9): when it is due, when it was completed or written down, or at any time."""
    for part in what.parts:
        when = [one.epoch() for one in ((part.ends,) if part.ends is not None else (part.created, part.completed)) if one is not None]
        first, last = (min(when), max(when)) if when else (FIRST_SECOND, LAST_SECOND)
        if part.ends is None and part.created is not None and part.completed is None:
            last = LAST_SECOND
        floating = part.ends is not None and part.ends.is_floating
        yield Instance(part.recurrence_id.epoch() if part.recurrence_id else first, first, last, floating, FREE, part)


def _in_order(found: Iterable[Instance]) -> tuple[Instance, ...]:
    return tuple(sorted(found, key=lambda one: (one.starts_at, one.recurrence_at)))


def _is_within(found: Iterable[Instance | None], window: Window) -> bool:
    return all(one is not None and window.meets(one) for one in found)


def _first_and_single(what: CalendarObject, window: Window) -> Instances:
    found = {
        one.recurrence_at: one for one in (first_of(what), *(_single(part, what.component) for part in what.overrides)) if one is not None
    }
    return Instances(_in_order(one for one in found.values() if window.meets(one)), True, True)


def _ends_within(what: CalendarObject, window: Window) -> bool:
    """Whether nothing of it can lie outside; when in doubt, something can."""
    master = what.master
    if master is None or master.starts is None or master.starts.epoch() < window.start:
        return False
    last = window.end - SLACK
    if any(rule.until is None or rule.until.local > last for rule in master.rules):
        return False
    times = [one.starts for one in master.rdates] + [part.starts for part in what.overrides if part.starts is not None]
    return all(window.start <= one.epoch() <= last for one in times)


class Expansion:
    """What recurs, brought together."""

    def __init__(self, what: CalendarObject, work: Work) -> None:
        self.what, self.work = what, work
        master = what.master
        if master is None or master.starts is None or len(master.rules) + len(master.excluded_rules) > RULES_MAX:
            raise Unexpandable
        self.master, self.starts = master, master.starts
        self.length = length_of(master, what.component, master.starts)
        self.single: dict[int, Part] = {}
        onwards: dict[int, Part] = {}
        for part in what.overrides:
            if part.recurrence_id is not None:
                (onwards if part.this_and_future else self.single)[part.recurrence_id.epoch(self.starts.zone)] = part
        self.onwards_from = sorted(onwards)
        self.onwards = [onwards[one] for one in self.onwards_from]

    def meeting(self, window: Window) -> tuple[Instance, ...]:
        """Raises Unexpandable."""
        found: dict[int, Instance] = {}
        excluded, excluded_days = self.excluded()
        for starts, period in self.starting(window):
            at = starts.epoch()
            if at in found or at in excluded or at in self.single or (excluded_days and starts.local // DAY in excluded_days):
                continue
            found[at] = self.instance(starts, at, period)
            if len(found) > INSTANCES_MAX:
                raise Unexpandable
        for at, part in self.single.items():
            one = _single(part, self.what.component)
            if one is not None:
                found[at] = one._replace(recurrence_at=at)
        return _in_order(one for one in found.values() if window.meets(one))

    def instance(self, starts: Time, at: int, period: Period | None) -> Instance:
        """As the whole series has it, or as from some occurrence on."""
        index = bisect_right(self.onwards_from, at) - 1
        if index < 0:
            return placed(self.master, self.what.component, starts, at, period, self.length)
        part = self.onwards[index]
        if part.starts is None or part.recurrence_id is None:
            return placed(part, self.what.component, starts, at, period)
        moved = starts.local + part.starts.local - self.on_the_clock(part.recurrence_id)
        return placed(part, self.what.component, Time(moved, part.starts.zone, part.starts.is_day), at, None)

    def on_the_clock(self, one: Time) -> int:
        """Of the series' own zone."""
        zone = self.starts.zone
        return one.local if zone is None or one.zone is None or one.zone is zone else local_of(one.epoch(), zone)

    def starting(self, window: Window) -> Iterator[tuple[Time, Period | None]]:
        """When something begins that may meet the window, before anything is taken out or moved."""
        zone, is_day = self.starts.zone, self.starts.is_day
        low, high = self.bounds(window)
        if not self.master.rules:
            yield self.starts, None
        for rule in self.master.rules:
            for local in occurrences(rule, self.starts, low, high, self.work):
                yield Time(local, zone, is_day), None
        for period in self.master.rdates:
            yield self.like_the_others(period.starts), period

    def like_the_others(self, one: Time) -> Time:
        """A date added to what has a time, and a floating time added to what has a zone, are meant as the others are."""
        if one.is_day and not self.starts.is_day:
            return Time(one.local + self.starts.local % DAY, self.starts.zone)
        return Time(one.local, self.starts.zone) if one.zone is None and not one.is_day else one

    def bounds(self, window: Window) -> tuple[int, int]:
        length, _ = self.length
        back = ahead = 0
        for part in self.onwards:
            if part.starts is not None and part.recurrence_id is not None:
                shift = part.starts.local - self.on_the_clock(part.recurrence_id)
                back, ahead = max(back, shift), max(ahead, -shift)
                length = max(length, length_of(part, self.what.component, part.starts)[0])
        return min(window.start, window.wall_start) - length - back - SLACK, max(window.end, window.wall_end) + ahead + SLACK

    def excluded(self) -> tuple[set[int], set[int]]:
        """Moments, and days of which everything is taken out."""
        moments: set[int] = set()
        days: set[int] = set()
        for one in self.master.exdates:
            if one.is_day and not self.starts.is_day:
                days.add(one.local // DAY)
            else:
                moments.add(one.epoch(self.starts.zone))
        for rule in self.master.excluded_rules:
            for local in occurrences(rule, self.starts, FIRST_SECOND, LAST_SECOND, self.work):
                moments.add(Time(local, self.starts.zone).epoch())
        return moments, days


def busy_spans(what: CalendarObject, start: int, end: int, home: tzinfo) -> list[tuple[int, int, int]]:
    """From, to and how, seconds since 1970 in UTC: when it makes its owner busy in the window."""
    found: list[tuple[int, int, int]] = []
    for one in instances(what, start, end, home).found:
        if one.busy != FREE and one.ends_at > one.starts_at:
            first, last = (utc_of(one.starts_at, home), utc_of(one.ends_at, home)) if one.is_floating else (one.starts_at, one.ends_at)
            if last > start and first < end:
                found.append((max(first, start), min(last, end), one.busy))
    return sorted(found)
