"""When something recurs by a rule, on the clock of one place: seconds in, seconds out, and never more work than is allowed."""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice

from parvis_calendar.rules.rrules import Rule
from parvis_calendar.rules.times import DAY, EPOCH_DAY, LAST_SECOND, Time, datetime_of, local_of

CANDIDATES_MAX = 20_000
"""Looked at for one rule and window, days and times together: about 20 ms. Fifty years of workdays are 13,000."""
TIMES_OF_DAY_MAX = 1_440
STEPS = {"SECONDLY": 1, "MINUTELY": 60, "HOURLY": 3600, "DAILY": DAY, "WEEKLY": 7 * DAY}


class Unexpandable(Exception):
    """More would have to be looked at than is allowed."""


class Work:
    """What may still be looked at."""

    def __init__(self, candidates: int = CANDIDATES_MAX) -> None:
        self.left = candidates

    def spend(self, candidates: int = 1) -> None:
        """Raises Unexpandable."""
        self.left -= candidates
        if self.left < 0:
            raise Unexpandable


def occurrences(rule: Rule, start: Time, low: int, high: int, work: Work) -> Iterator[int]:
    """From `low`, before `high`, as the clock of the start's place shows them, in order. Raises Unexpandable.

    What lies long before is passed over by arithmetic, unless it has to be counted.
    """
    first, until = start.local, until_on_the_clock(rule, start)
    series = Series(rule, first, work)
    if rule.count is None:
        found: Iterable[int] = series.between(max(low, first), high)
    elif rule.count and series.is_even:
        last = first + (rule.count - 1) * rule.interval * STEPS[rule.frequency]
        found, until = series.between(max(low, first), high), min(until, last)
    else:
        found = islice(series.between(first, high), rule.count)
    for one in found:
        if one >= high or one > until:
            return
        if one >= low:
            yield one


def until_on_the_clock(rule: Rule, start: Time) -> int:
    if rule.until is None:
        return LAST_SECOND
    if rule.until.is_day:
        return rule.until.local + (0 if start.is_day else DAY - 1)
    if start.is_day:
        return rule.until.local // DAY * DAY
    if rule.until.zone is not None and start.zone is not None:
        return local_of(rule.until.local, start.zone)
    return rule.until.local


class Series:
    """A rule from its first occurrence on, period by period."""

    def __init__(self, rule: Rule, first: int, work: Work) -> None:
        self.rule, self.first, self.work = rule, first, work
        self.days, rest = divmod(first, DAY)
        self.date = date.fromordinal(self.days + EPOCH_DAY)
        self.clock = (rest // 3600, rest // 60 % 60, rest % 60)
        self.times = self.times_of_day()

    @property
    def is_even(self) -> bool:
        """One occurrence a period, always as far from the one before."""
        rule = self.rule
        by = rule.names_days or rule.hours or rule.minutes or rule.seconds or rule.positions
        return not by and rule.frequency in STEPS

    def times_of_day(self) -> list[int]:
        hours, minutes, seconds = self.rule.hours, self.rule.minutes, self.rule.seconds
        frequency = self.rule.frequency
        if frequency in ("SECONDLY", "MINUTELY", "HOURLY"):
            return []
        found = [
            hour * 3600 + minute * 60 + second
            for hour in hours or self.clock[:1]
            for minute in minutes or self.clock[1:2]
            for second in seconds or self.clock[2:]
        ]
        self.work.spend(len(found) // 10)
        if len(found) > TIMES_OF_DAY_MAX:
            raise Unexpandable
        return sorted(found)

    def between(self, low: int, high: int) -> Iterator[int]:
        """All from `low` on, the first occurrence among them whether the rule names it or not, and some beyond `high`."""
        if self.first >= low:
            yield self.first
        for index in range(self.index_of(low), self.index_of(high) + 3):
            self.work.spend()
            found = self.period(index)
            if found is None:
                return
            for one in found:
                if one > self.first and one >= low:
                    yield one

    def index_of(self, low: int) -> int:
        """A period that lies before `low`, or the first."""
        rule = self.rule
        if low <= self.first:
            return 0
        if rule.frequency in STEPS:
            passed = (low - self.first) // STEPS[rule.frequency]
        else:
            then = datetime_of(low)
            passed = then.year - self.date.year
            if rule.frequency == "MONTHLY":
                passed = passed * 12 + then.month - self.date.month
        return max(0, passed // rule.interval - 1)

    def period(self, index: int) -> list[int] | None:
        """Its occurrences in order; None after the end of all time."""
        rule, passed = self.rule, index * self.rule.interval
        if rule.frequency == "YEARLY":
            year = self.date.year + passed
            if year > 9999:
                return None
            return self.at_times(self.days_of_year(year))
        if rule.frequency == "MONTHLY":
            years, month = divmod(self.date.month - 1 + passed, 12)
            if self.date.year + years > 9999:
                return None
            return self.at_times(self.days_of_month(self.date.year + years, month + 1))
        if rule.frequency == "WEEKLY":
            monday = self.days - (self.date.weekday() - rule.week_start) % 7 + passed * 7
            return None if monday * DAY > LAST_SECOND - 7 * DAY else self.at_times(self.days_of_week(monday))
        if rule.frequency == "DAILY":
            day = self.days + passed
            return None if day * DAY > LAST_SECOND else self.at_times([day] if self.fits(day) else [])
        return self.moment(passed * STEPS[rule.frequency])

    def at_times(self, days: list[int]) -> list[int]:
        if len(self.times) == 1:
            found = [day * DAY + self.times[0] for day in days]
        else:
            self.work.spend(len(days) * len(self.times))
            found = [day * DAY + time for day in days for time in self.times]
        return self.positioned(found)

    def positioned(self, found: list[int]) -> list[int]:
        self.work.spend(len(found))
        if not self.rule.positions:
            return found
        size = len(found)
        places = {one - 1 if one > 0 else size + one for one in self.rule.positions if -size <= one <= size}
        return [found[one] for one in sorted(places)]

    def moment(self, passed: int) -> list[int] | None:
        """One of a rule that counts in hours, minutes or seconds."""
        at, rule = self.first + passed, self.rule
        if at > LAST_SECOND:
            return None
        day, rest = divmod(at, DAY)
        hour, minute, second = rest // 3600, rest // 60 % 60, rest % 60
        if (rule.names_days and not self.fits(day)) or (rule.hours and hour not in rule.hours):
            return []
        minutes, seconds = rule.minutes, rule.seconds
        if rule.frequency != "HOURLY":
            if minutes and minute not in minutes:
                return []
            minutes = (minute,)
        if rule.frequency == "SECONDLY":
            if seconds and second not in seconds:
                return []
            seconds = (second,)
        base = day * DAY + hour * 3600
        return self.positioned([base + one * 60 + other for one in minutes or (minute,) for other in seconds or (second,)])

    def fits(self, day: int) -> bool:
        """Whether the BY-parts let this day through, as they do for what recurs daily or more often."""
        rule, then = self.rule, date.fromordinal(day + EPOCH_DAY)
        if rule.months and then.month not in rule.months:
            return False
        if rule.month_days and not (then.day in rule.month_days or then.day - 1 - monthrange(then.year, then.month)[1] in rule.month_days):
            return False
        if rule.year_days:
            number, length = then.timetuple().tm_yday, 366 if _is_leap(then.year) else 365
            if number not in rule.year_days and number - 1 - length not in rule.year_days:
                return False
        return not rule.weekdays or any(weekday == then.weekday() for _, weekday in rule.weekdays)

    def days_of_week(self, first: int) -> list[int]:
        rule = self.rule
        wanted = {weekday for _, weekday in rule.weekdays} or {self.date.weekday()}
        days = sorted(first + (weekday - rule.week_start) % 7 for weekday in wanted)
        if rule.months:
            days = [day for day in days if date.fromordinal(day + EPOCH_DAY).month in rule.months]
        return days

    def days_of_month(self, year: int, month: int) -> list[int]:
        rule = self.rule
        if rule.months and month not in rule.months:
            return []
        return self.in_month(year, month, use_default=True)

    def in_month(self, year: int, month: int, *, use_default: bool) -> list[int]:
        """By day of the month, by weekday, by both."""
        rule, length = self.rule, monthrange(year, month)[1]
        first = date(year, month, 1).toordinal() - EPOCH_DAY
        numbers: set[int] | None = None
        if rule.month_days:
            numbers = {one if one > 0 else length + 1 + one for one in rule.month_days if abs(one) <= length}
        elif use_default and not rule.weekdays:
            numbers = {self.date.day} if self.date.day <= length else set()
        if rule.weekdays:
            on_weekdays = _weekdays_in(first, length, rule.weekdays)
            numbers = on_weekdays if numbers is None else numbers & on_weekdays
        return [first + one - 1 for one in sorted(numbers or ())]

    def days_of_year(self, year: int) -> list[int]:
        rule = self.rule
        self.work.spend(4)
        if rule.year_days or rule.week_numbers:
            return self.by_numbers(year)
        if rule.weekdays and not rule.months and not rule.month_days:
            first = date(year, 1, 1).toordinal() - EPOCH_DAY
            length = 366 if _is_leap(year) else 365
            return [first + one - 1 for one in sorted(_weekdays_in(first, length, rule.weekdays))]
        months: Iterable[int] = rule.months or (range(1, 13) if rule.month_days else (self.date.month,))
        found: list[int] = []
        for month in months:
            found += self.in_month(year, month, use_default=True)
        return found

    def by_numbers(self, year: int) -> list[int]:
        """By numbers of days or weeks in the year; whatever else is named lets through."""
        rule, length = self.rule, 366 if _is_leap(year) else 365
        first = date(year, 1, 1).toordinal() - EPOCH_DAY
        days: set[int] | None = None
        if rule.year_days:
            days = {first + (one - 1 if one > 0 else length + one) for one in rule.year_days if abs(one) <= length}
        if rule.week_numbers:
            in_weeks = self.in_weeks(year)
            days = in_weeks if days is None else days & in_weeks
            if not rule.weekdays and not rule.month_days and not rule.year_days:
                days = {day for day in days if (day + 3) % 7 == self.date.weekday()}
        wanted = {weekday for _, weekday in rule.weekdays}
        found = []
        for day in sorted(days or ()):
            then = date.fromordinal(day + EPOCH_DAY)
            if (rule.months and then.month not in rule.months) or (wanted and then.weekday() not in wanted):
                continue
            if rule.month_days:
                last = monthrange(then.year, then.month)[1]
                if then.day not in rule.month_days and then.day - 1 - last not in rule.month_days:
                    continue
            found.append(day)
        self.work.spend(len(days or ()))
        return found

    def in_weeks(self, year: int) -> set[int]:
        """Days of the weeks of these numbers; week 1 has four days of the year at least."""
        begins, ends = self.week_one(year), self.week_one(year + 1) if year < 9999 else self.week_one(year) + 52 * 7
        weeks = (ends - begins) // 7
        found: set[int] = set()
        for number in self.rule.week_numbers:
            at = number - 1 if number > 0 else weeks + number
            if 0 <= at < weeks:
                found.update(range(begins + at * 7, begins + at * 7 + 7))
        return found

    def week_one(self, year: int) -> int:
        fourth = date(year, 1, 4)
        return fourth.toordinal() - EPOCH_DAY - (fourth.weekday() - self.rule.week_start) % 7


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _weekdays_in(first: int, length: int, wanted: tuple[tuple[int, int], ...]) -> set[int]:
    """Numbers of days, from 1, in a span of days: each, or the nth, or the nth from the end."""
    found: set[int] = set()
    for nth, weekday in wanted:
        one = (weekday - (first + 3)) % 7 + 1
        if nth == 0:
            found.update(range(one, length + 1, 7))
            continue
        at = one + (nth - 1) * 7 if nth > 0 else one + ((length - one) // 7 + 1 + nth) * 7
        if 1 <= at <= length:
            found.add(at)
    return found
