"""Windows of time: moments in UTC beside clocks on a wall, weeks of a busy owner, and the horizon up to which instances are kept."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY = 86_400
WEEK = 7 * DAY
FIRST_MONDAY = 4 * DAY
"""1970-01-05, in seconds."""
HORIZON_BACK = timedelta(days=183)
HORIZON_AHEAD = timedelta(days=731)
HORIZON_RENEWED = timedelta(days=61)
"""An object is expanded anew when this much of its horizon has passed."""
LONG_SECONDS = DAY
"""What lasts longer is looked for apart: the others begin at most a day before the window."""
FLOATING_SECONDS = 14 * 3600
"""A wall's clock is at most so far from UTC."""
YEAR_9999 = 253_402_300_799
YEAR_1 = -62_135_596_800
SPAN = struct.Struct("<IIB")
FREE, BUSY, TENTATIVE, UNAVAILABLE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Window:
    """From `start`, before `end`: seconds since 1970, in UTC, and what clocks of a zone's walls show then."""

    start: int
    end: int
    wall_start: int
    wall_end: int

    def meets(self, starts_at: int, ends_at: int, *, is_floating: bool) -> bool:
        """What has no length is met where it stands (RFC 4791 §9.9)."""
        start, end = (self.wall_start, self.wall_end) if is_floating else (self.start, self.end)
        return starts_at < end and (ends_at > start or (ends_at == starts_at and starts_at >= start))


@dataclass(frozen=True, slots=True)
class Taking:
    """An instance as it is written down."""

    recurrence_at: int
    starts_at: int
    ends_at: int
    is_floating: bool
    busy: int

    @property
    def is_long(self) -> bool:
        return self.ends_at - self.starts_at > LONG_SECONDS


def epoch(moment: datetime) -> int:
    """Seconds since 1970; a naive one is taken as what a wall's clock shows."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def moment(seconds: int) -> datetime:
    """In UTC; beyond the years that there are, the last one."""
    return datetime.fromtimestamp(min(max(seconds, YEAR_1), YEAR_9999), UTC)


def wall(seconds: int, zone: ZoneInfo) -> int:
    """What a clock of this zone shows, as seconds."""
    seen = moment(seconds)
    try:
        offset = seen.astimezone(zone).utcoffset()
    except (OverflowError, ValueError):
        offset = None
    return seconds + int((offset or timedelta()).total_seconds())


def unwall(seconds: int, zone: ZoneInfo) -> int:
    """The moment at which a clock of this zone shows it; the first of two."""
    shown = moment(seconds).replace(tzinfo=zone)
    try:
        return int(shown.timestamp())
    except (OverflowError, ValueError):
        return seconds


def window(start: int, end: int, zone: ZoneInfo) -> Window:
    return Window(start, end, wall(start, zone), wall(end, zone))


def horizon(now: datetime) -> tuple[int, int]:
    """Between which moments recurring objects are expanded when they are stored."""
    return epoch(now - HORIZON_BACK), epoch(now + HORIZON_AHEAD)


def week_of(seconds: int) -> int:
    return (seconds - FIRST_MONDAY) // WEEK


def week_begins(week: int) -> int:
    return week * WEEK + FIRST_MONDAY


Span = tuple[int, int, int]
"""From, to, and how: seconds since 1970 in UTC, and BUSY, TENTATIVE or UNAVAILABLE."""


def coalesced(spans: Iterable[Span]) -> list[Span]:
    """Each kind by itself, in order, none touching the next of its kind."""
    result: list[Span] = []
    last: dict[int, int] = {}
    for start, end, kind in sorted(spans):
        at = last.get(kind)
        if at is not None and result[at][1] >= start:
            if end > result[at][1]:
                result[at] = (result[at][0], end, kind)
        else:
            last[kind] = len(result)
            result.append((start, end, kind))
    return result


def by_week(spans: Iterable[Span]) -> dict[int, list[Span]]:
    """Cut at the ends of weeks."""
    weeks: dict[int, list[Span]] = {}
    for start, end, kind in spans:
        for week in range(week_of(start), week_of(max(end - 1, start)) + 1):
            begins = week_begins(week)
            weeks.setdefault(week, []).append((max(start, begins), min(end, begins + WEEK), kind))
    return weeks


def packed(week: int, spans: Iterable[Span]) -> bytes:
    begins = week_begins(week)
    return b"".join(SPAN.pack(start - begins, end - begins, kind) for start, end, kind in coalesced(spans))


def unpacked(rows: Mapping[int, bytes], start: int, end: int) -> list[Span]:
    """Of these weeks what lies in the window, cut at its ends."""
    found: list[Span] = []
    for week, octets in rows.items():
        begins = week_begins(week)
        for first, last, kind in SPAN.iter_unpack(octets):
            if begins + last > start and begins + first < end:
                found.append((max(begins + first, start), min(begins + last, end), kind))
    return coalesced(found)


def spans_of(takings: Sequence[Taking], zone: ZoneInfo) -> set[Span]:
    """When these make busy."""
    return {
        (unwall(one.starts_at, zone), unwall(one.ends_at, zone), one.busy) if one.is_floating else (one.starts_at, one.ends_at, one.busy)
        for one in takings
        if one.busy and one.ends_at > one.starts_at
    }
