"""Months, in UTC, as `2026-10`: they sort as texts, and are counted in days."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from parvis_kit.problems import Invalid

MONTH = re.compile(r"^[0-9]{4}-(0[1-9]|1[0-2])$")
PATTERN = MONTH.pattern
FIRST, LAST = "2000-01", "2199-12"
"""Earlier or later is a slip of the pen, and would be counted day by day."""
KEPT = 4096


def checked(text: str) -> str:
    """Raises Invalid."""
    if not MONTH.match(text) or not FIRST <= text <= LAST:
        raise Invalid(f"{text!r} is no month: write 2026-10, from {FIRST} to {LAST}.")
    return text


def month_of(when: date | datetime) -> str:
    """Of a moment: its month in UTC."""
    if isinstance(when, datetime):
        when = when.astimezone(UTC)
    return f"{when.year:04}-{when.month:02}"


@lru_cache(KEPT)
def first_day(month: str) -> date:
    return date(int(month[:4]), int(month[5:]), 1)


@lru_cache(KEPT)
def after(month: str) -> str:
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12:04}-{number % 12 + 1:02}"


@lru_cache(KEPT)
def before(month: str) -> str:
    return month_of(first_day(month) - timedelta(days=1))


def back(month: str, number: int) -> str:
    for _ in range(number):
        month = before(month)
    return month


@lru_cache(KEPT)
def days(month: str) -> int:
    return (first_day(after(month)) - first_day(month)).days


@lru_cache(KEPT)
def last_day(month: str) -> date:
    return first_day(after(month)) - timedelta(days=1)


def starts_at(month: str) -> datetime:
    return datetime.combine(first_day(month), datetime.min.time(), UTC)


def ends_at(month: str) -> datetime:
    """The first moment that is no longer in it."""
    return starts_at(after(month))


def between(first: str, last: str) -> Iterator[str]:
    """Both included."""
    while first <= last:
        yield first
        first = after(first)


def day_of(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
