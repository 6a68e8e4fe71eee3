"""Times as they are written: a day, what a clock on a wall shows, or that in a zone; counted in seconds, so that arithmetic is plain."""

import re
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from parvis_calendar.rules.refusals import VALID_DATA, NotTaken

DAY = 86_400
EPOCH_DAY = date(1970, 1, 1).toordinal()
FIRST_SECOND = (date(1, 1, 1).toordinal() - EPOCH_DAY) * DAY
LAST_SECOND = (date(9999, 12, 31).toordinal() - EPOCH_DAY) * DAY + DAY - 1
WRITTEN = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?", re.ASCII)
DURATION = re.compile(r"([+-])?P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?", re.ASCII)
UTC_ZONE = ZoneInfo("UTC")
QUARTER, MODERN = 900, 4 * 365 * DAY
"""Since 1974 clocks are changed at whole quarters of an hour alone."""
OFFSETS_REMEMBERED = 16_384


class Time(NamedTuple):
    local: int
    """What the clock shows, as seconds since 1970 on that clock."""
    zone: tzinfo | None = None
    """None: of whatever place one looks at it from."""
    is_day: bool = False

    @property
    def is_floating(self) -> bool:
        return self.zone is None

    def epoch(self, home: tzinfo | None = None) -> int:
        """Seconds since 1970 in UTC; a floating time is taken in `home`, or, without one, as it is shown."""
        zone = self.zone or home
        return self.local if zone is None else utc_of(self.local, zone)


def read_time(value: str, zone: tzinfo | None) -> Time:
    """`zone`: what a TZID said. Raises NotTaken."""
    read = WRITTEN.fullmatch(value.strip())
    if read is None:
        raise NotTaken(VALID_DATA, f"{value[:40]!r} is neither a date nor a time.")
    year, month, day, hour, minute, second, utc = read.groups()
    try:
        local = (date(int(year), int(month), int(day)).toordinal() - EPOCH_DAY) * DAY
    except ValueError:
        raise NotTaken(VALID_DATA, f"There is no day {value[:40]!r}.") from None
    if hour is None:
        return Time(local, None, True)
    if hour > "23" or minute > "59" or second > "60":
        raise NotTaken(VALID_DATA, f"No clock shows {value[:40]!r}.")
    return Time(local + int(hour) * 3600 + int(minute) * 60 + min(int(second), 59), UTC_ZONE if utc else zone, False)


def read_duration(value: str) -> tuple[int, int]:
    """Days and seconds. Raises NotTaken."""
    read = DURATION.fullmatch(value.strip().upper())
    if read is None or not any(read.groups()[1:]):
        raise NotTaken(VALID_DATA, f"{value[:40]!r} is no duration.")
    weeks, days, hours, minutes, seconds = (int(one or 0) for one in read.groups()[1:])
    sign = -1 if read[1] == "-" else 1
    return sign * (weeks * 7 + days), sign * (hours * 3600 + minutes * 60 + seconds)


def datetime_of(local: int) -> datetime:
    """Naive; at the ends of the calendar, the first and last that there are."""
    days, seconds = divmod(min(max(local, FIRST_SECOND), LAST_SECOND), DAY)
    found = date.fromordinal(days + EPOCH_DAY)
    return datetime(found.year, found.month, found.day, seconds // 3600, seconds // 60 % 60, seconds % 60)  # noqa: DTZ001


def utc_of(local: int, zone: tzinfo) -> int:
    """The moment at which a clock of this zone shows it: the first of two; in a gap, as if the clocks had not been put on yet."""
    if zone is UTC_ZONE:
        return local
    if local > MODERN:
        return local - _offset_of_quarter(local // QUARTER, zone)
    return local - _offset_at(local, zone)


@lru_cache(OFFSETS_REMEMBERED)
def _offset_of_quarter(quarter: int, zone: tzinfo) -> int:
    return _offset_at(quarter * QUARTER, zone)


def local_of(epoch: int, zone: tzinfo) -> int:
    """What a clock of this zone shows then."""
    if zone is UTC_ZONE:
        return epoch
    try:
        offset = datetime.fromtimestamp(min(max(epoch, FIRST_SECOND), LAST_SECOND), UTC).astimezone(zone).utcoffset()
    except (OverflowError, ValueError):
        return epoch
    return epoch + (int(offset.total_seconds()) if offset else 0)


def _offset_at(local: int, zone: tzinfo) -> int:
    try:
        offset = datetime_of(local).replace(tzinfo=zone).utcoffset()
    except (OverflowError, ValueError):
        return 0
    return int(offset.total_seconds()) if offset else 0
