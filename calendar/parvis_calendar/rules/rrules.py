"""Recurrence rules as they are written (RFC 5545 §3.3.10)."""

import re
from dataclasses import dataclass

from parvis_kit.problems import Invalid

from parvis_calendar.rules.refusals import SUPPORTED_RSCALE, VALID_DATA, NotTaken
from parvis_calendar.rules.times import Time, read_time

RULE_CHARACTERS_MAX = 2_000
LIST_MAX = 400
"""Values of one BY-part: there are 366 days in a year."""
FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
ON_WEEKDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
LIMITS = {
    "BYMONTH": (1, 12), "BYWEEKNO": (-53, 53), "BYYEARDAY": (-366, 366), "BYMONTHDAY": (-31, 31), "BYHOUR": (0, 23), "BYMINUTE": (0, 59),
    "BYSECOND": (0, 60), "BYSETPOS": (-366, 366),
}  # fmt: skip
PLAIN = re.compile(r"[A-Za-z0-9=;,+-]+", re.ASCII)
NUMBER = re.compile(r"[+-]?\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    frequency: str
    interval: int = 1
    count: int | None = None
    until: Time | None = None
    months: tuple[int, ...] = ()
    week_numbers: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    """Which of them, 0 for each; and 0 for Monday."""
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0

    @property
    def names_days(self) -> bool:
        return bool(self.months or self.week_numbers or self.year_days or self.month_days or self.weekdays)


def read_rule(value: str) -> Rule:
    """Raises NotTaken."""
    if len(value) > RULE_CHARACTERS_MAX:
        raise NotTaken(VALID_DATA, f"A rule has at most {RULE_CHARACTERS_MAX} characters.")
    told: dict[str, str] = {}
    for one in value.strip().upper().split(";"):
        name, _, what = one.partition("=")
        if name:
            told[name.strip()] = what.strip()
    if "RSCALE" in told:
        raise NotTaken(SUPPORTED_RSCALE, "Only the Gregorian calendar is known here.")
    frequency = told.get("FREQ", "")
    if frequency not in FREQUENCIES:
        raise NotTaken(VALID_DATA, "A rule says by FREQ how often.")
    return Rule(
        frequency,
        _number(told, "INTERVAL", 1),
        _number(told, "COUNT", 0) or None,
        read_time(told["UNTIL"], None) if told.get("UNTIL") else None,
        _numbers(told, "BYMONTH"),
        _numbers(told, "BYWEEKNO"),
        _numbers(told, "BYYEARDAY"),
        _numbers(told, "BYMONTHDAY"),
        _weekdays(told.get("BYDAY", "")),
        _numbers(told, "BYHOUR"),
        _numbers(told, "BYMINUTE"),
        tuple(sorted({min(one, 59) for one in _numbers(told, "BYSECOND")})),
        _numbers(told, "BYSETPOS"),
        WEEKDAYS.get(told.get("WKST", "MO"), 0),
    )


def checked_rule(value: str) -> None:
    """What may stand in an object that is written here. Raises Invalid."""
    if PLAIN.fullmatch(value) is None:
        raise Invalid("This is no recurrence rule, as FREQ=WEEKLY;BYDAY=MO.")
    try:
        read_rule(value)
    except NotTaken as refusal:
        raise Invalid(refusal.detail) from None


def _number(told: dict[str, str], name: str, default: int) -> int:
    written = told.get(name)
    if written is None:
        return default
    if NUMBER.fullmatch(written) is None or int(written) < 1:
        raise NotTaken(VALID_DATA, f"{name} is a number, at least 1.")
    return int(written)


def _numbers(told: dict[str, str], name: str) -> tuple[int, ...]:
    if not (written := told.get(name)):
        return ()
    low, high = LIMITS[name]
    found = written.split(",")
    if len(found) > LIST_MAX or any(NUMBER.fullmatch(one) is None or not low <= int(one) <= high for one in found):
        raise NotTaken(VALID_DATA, f"{name} holds numbers from {low} to {high}.")
    numbers = {int(one) for one in found}
    if low < 0:
        numbers.discard(0)
    return tuple(sorted(numbers))


def _weekdays(written: str) -> tuple[tuple[int, int], ...]:
    if not written:
        return ()
    read = [ON_WEEKDAY.fullmatch(one) for one in written.split(",")]
    if len(read) > LIST_MAX or not all(read):
        raise NotTaken(VALID_DATA, "BYDAY holds days of the week, as MO or -1FR.")
    return tuple(sorted({(int(one[1] or 0), WEEKDAYS[one[2]]) for one in read if one}))
