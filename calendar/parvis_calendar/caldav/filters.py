"""Filters and wishes of reports as they are written in XML."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from parvis_kit.problems import BadRequest
from parvis_kit.webdav import CALDAV, DAV, Name, Precondition, child_of

from parvis_calendar.rules.filters import COLLATIONS, CompFilter, ParamFilter, PropFilter, TextMatch, TimeRange
from parvis_calendar.rules.windows import YEAR_1, YEAR_9999

Element = Any
FILTERS_MAX = 200
"""In one another and beside one another."""
COMP, PROP, PARAM, TEXT, TIMES, ABSENT, FILTER = (
    child_of(CALDAV, one) for one in ("comp-filter", "prop-filter", "param-filter", "text-match", "time-range", "is-not-defined", "filter")
)
VALID_FILTER, SUPPORTED_FILTER, SUPPORTED_COLLATION = (
    child_of(CALDAV, one) for one in ("valid-filter", "supported-filter", "supported-collation")
)
DATA, EXPAND, LIMIT_RECURRENCE, WANTED_COMP, WANTED_PROP = (
    child_of(CALDAV, one) for one in ("calendar-data", "expand", "limit-recurrence-set", "comp", "prop")
)
TIMEZONE = child_of(CALDAV, "timezone")


def invalid(detail: str) -> Precondition:
    return Precondition(VALID_FILTER, detail)


def read_filter(report: Element) -> CompFilter:
    """Raises Precondition."""
    held = report.find(FILTER)
    if held is None or len(held) != 1 or held[0].tag != COMP:
        raise invalid("A calendar-query has one filter, with one comp-filter for VCALENDAR in it.")
    if sum(1 for _ in held.iter()) > FILTERS_MAX:
        raise invalid(f"A filter has at most {FILTERS_MAX} parts.")
    asked = read_comp(held[0])
    if asked.name != "VCALENDAR":
        raise invalid("A filter begins at VCALENDAR.")
    return asked


def name_of(one: Element) -> str:
    name: str = one.get("name", "").strip().upper()
    if not name:
        raise invalid("Each part of a filter has a name.")
    return name


def is_any(one: Element) -> bool:
    return str(one.get("test", "allof")).lower() == "anyof"


def read_comp(one: Element) -> CompFilter:
    times = one.find(TIMES)
    return CompFilter(
        name_of(one),
        one.find(ABSENT) is not None,
        read_times(times) if times is not None else None,
        tuple(map(read_prop, one.iterchildren(PROP))),
        tuple(map(read_comp, one.iterchildren(COMP))),
        is_any(one),
    )


def read_prop(one: Element) -> PropFilter:
    times = one.find(TIMES)
    return PropFilter(
        name_of(one),
        one.find(ABSENT) is not None,
        read_times(times) if times is not None else None,
        read_text(one),
        tuple(ParamFilter(name_of(param), param.find(ABSENT) is not None, read_text(param)) for param in one.iterchildren(PARAM)),
    )


def read_text(holder: Element) -> TextMatch | None:
    one = holder.find(TEXT)
    if one is None:
        return None
    collation = one.get("collation", "i;ascii-casemap").strip().lower()
    if collation == "default":
        collation = "i;ascii-casemap"
    if collation not in COLLATIONS:
        raise Precondition(SUPPORTED_COLLATION, f"Texts are compared by {', '.join(COLLATIONS)}.")
    kind = one.get("match-type", "contains").strip().lower()
    return TextMatch(one.text or "", collation, one.get("negate-condition", "no").strip().lower() == "yes", kind == "equals")


def read_times(one: Element) -> TimeRange:
    """A window open at one end goes to the end of time (RFC 4791 §9.9). Raises Precondition."""
    start, end = one.get("start"), one.get("end")
    if start is None and end is None:
        raise invalid("A time range has a start, an end, or both.")
    first = read_moment(start) if start is not None else YEAR_1
    last = read_moment(end) if end is not None else YEAR_9999
    if first >= last:
        raise invalid("A time range ends after it starts.")
    return TimeRange(first, last)


def read_moment(text: str) -> int:
    """In UTC, as RFC 5545 has it. A day alone is what some clients send: its midnight is meant."""
    for form in ("%Y%m%dT%H%M%SZ", "%Y%m%d", "%Y%m%dT%H%M%S"):
        try:
            return int(datetime.strptime(text.strip(), form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    raise invalid("A moment is written as 20260131T090000Z.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of each object: properties, and of its data all or some, expanded or not."""

    names: tuple[Name, ...]
    with_data: bool = False
    expand: TimeRange | None = None
    limit: TimeRange | None = None
    parts: "Part | None" = None


@dataclass(frozen=True, slots=True)
class Part:
    """Of a component: which properties (None: all), and which components in it (None: all)."""

    name: str
    props: frozenset[str] | None
    comps: tuple["Part", ...] | None


def read_wanted(report: Element) -> Wanted:
    """Raises BadRequest, Precondition."""
    prop = report.find(child_of(DAV, "prop"))
    if prop is None:
        if report.find(child_of(DAV, "allprop")) is not None:
            return Wanted((child_of(DAV, "getetag"), child_of(DAV, "getcontenttype"), child_of(DAV, "getlastmodified")))
        return Wanted(())
    names = tuple(one.tag for one in prop if one.tag != DATA)
    data = prop.find(DATA)
    if data is None:
        return Wanted(names)
    kind = (data.get("content-type", "text/calendar"), data.get("version", "2.0"))
    if kind != ("text/calendar", "2.0"):
        raise Precondition(child_of(CALDAV, "supported-calendar-data"), "Objects are given as text/calendar, version 2.0.")
    expand, limit, part = data.find(EXPAND), data.find(LIMIT_RECURRENCE), data.find(WANTED_COMP)
    return Wanted(
        names,
        True,
        read_whole_range(expand) if expand is not None else None,
        read_whole_range(limit) if limit is not None else None,
        read_part(part) if part is not None else None,
    )


def read_whole_range(one: Element) -> TimeRange:
    if one.get("start") is None or one.get("end") is None:
        raise BadRequest("Recurrences are expanded between a start and an end.")
    return read_times(one)


def read_part(one: Element) -> Part:
    props, comps = list(one.iterchildren(WANTED_PROP)), list(one.iterchildren(WANTED_COMP))
    every_prop = one.find(child_of(CALDAV, "allprop")) is not None
    every_comp = one.find(child_of(CALDAV, "allcomp")) is not None
    return Part(
        name_of(one),
        None if every_prop or (not props and not comps) else frozenset(map(name_of, props)),
        None if every_comp or (not props and not comps) else tuple(map(read_part, comps)),
    )
