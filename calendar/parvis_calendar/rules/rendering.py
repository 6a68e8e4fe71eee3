"""An object written out otherwise than it is kept: some of its properties, the recurrences of a time, or each occurrence by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from parvis_calendar.rules.filters import TimeRange
from parvis_calendar.rules.instances import Instance, instances
from parvis_calendar.rules.lexing import folded
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.times import datetime_of, read_time
from parvis_calendar.rules.trees import Component, Property, tree_of
from parvis_calendar.rules.zones import zone_named

EXPANDED_MAX = 2_000
"""Occurrences of one object that are written out: three years of every day, with room."""
NOT_IN_AN_OCCURRENCE = frozenset({"RRULE", "RDATE", "EXDATE", "EXRULE", "DTSTART", "DTEND", "DUE", "DURATION", "RECURRENCE-ID"})


class Part(Protocol):
    """Which properties and components of a component; None: all."""

    @property
    def name(self) -> str: ...
    @property
    def props(self) -> frozenset[str] | None: ...
    @property
    def comps(self) -> "tuple[Part, ...] | None": ...


@dataclass(frozen=True, slots=True)
class Shape:
    """How data is wanted."""

    zone: str
    expand: TimeRange | None = None
    limit: TimeRange | None = None
    part: Part | None = None

    @property
    def is_plain(self) -> bool:
        return self.expand is None and self.limit is None and self.part is None


def rendered(octets: bytes, shape: Shape, room: int) -> bytes | None:
    """What is asked of it; each line folded and ended as RFC 5545 has it. None when that is more than `room` bytes."""
    tree = tree_of(octets)
    if shape.expand is not None:
        whole = expanded(tree, octets, shape.expand, shape.zone, room)
        if whole is None:
            return None
        tree = whole
    elif shape.limit is not None:
        tree = limited(tree, octets, shape.limit, shape.zone)
    if shape.part is not None and shape.part.name == tree.name:
        tree = only(tree, shape.part)
    written = b"".join(map(folded, lines_of(tree)))
    return written if len(written) <= room else None


def lines_of(component: Component) -> Iterable[str]:
    yield f"BEGIN:{component.name}"
    for one in component.properties:
        yield one.line
    for child in component.children:
        yield from lines_of(child)
    yield f"END:{component.name}"


def only(component: Component, part: Part) -> Component:
    """What a client names of it (RFC 4791 §9.6.1). VERSION and PRODID stay, or it would be no iCalendar."""
    properties = [
        one
        for one in component.properties
        if part.props is None or one.name in part.props or (component.name == "VCALENDAR" and one.name in ("VERSION", "PRODID"))
    ]
    if part.comps is None:
        return Component(component.name, properties, component.children)
    wanted = {one.name: one for one in part.comps}
    return Component(component.name, properties, [only(one, wanted[one.name]) for one in component.children if one.name in wanted])


def written(seconds: int, *, is_day: bool, is_floating: bool) -> str:
    """A day, a clock's time, or a moment in UTC."""
    shown = datetime_of(seconds)
    if is_day:
        return f";VALUE=DATE:{shown:%Y%m%d}" if shown.year >= 1000 else f";VALUE=DATE:{shown.year:04}{shown:%m%d}"
    return f":{shown.year:04}{shown:%m%dT%H%M%S}{'' if is_floating else 'Z'}"


def line(name: str, rest: str) -> Property:
    return Property(name, "", rest.partition(":")[2], name + rest)


def expanded(tree: Component, octets: bytes, wanted: TimeRange, zone: str, room: int) -> Component | None:
    """Each occurrence that lies in the time, by itself, in UTC; a day stays a day (RFC 4791 §9.6.5). None beyond `room` bytes."""
    what = read_object(octets)
    recurs = what.recurs or bool(what.overrides)
    parts = [child for child in tree.children if child.name == what.component]
    series = next((child for child in parts if child.first("RECURRENCE-ID") is None), parts[0])
    single = {epoch_of(named): child for child in parts if (named := child.first("RECURRENCE-ID")) is not None}
    sizes: dict[int, int] = {}
    made: list[Component] = []
    for one in instances(what, wanted.start, wanted.end, ZoneInfo(zone)).found[:EXPANDED_MAX]:
        source = single.get(one.part.recurrence_id.epoch(), series) if one.part.recurrence_id is not None else series
        if id(source) not in sizes:
            sizes[id(source)] = sum(map(len, lines_of(source)))
        room -= sizes[id(source)]
        if room < 0 and made:
            return None
        made.append(occurrence(source, one, recurs=recurs))
    return Component(tree.name, tree.properties, made)


def epoch_of(one: Property) -> int:
    named = one.params.get("TZID", ("",))[0]
    return read_time(one.value, zone_named(named) if named else None).epoch()


def occurrence(source: Component, one: Instance, *, recurs: bool) -> Component:
    start = source.first("DTSTART")
    is_day = one.part.starts is not None and one.part.starts.is_day
    ends = next((name for name in ("DTEND", "DUE") if source.first(name) is not None), None)
    times: list[Property] = []
    if start is not None:
        times.append(line("DTSTART", written(one.starts_at, is_day=is_day, is_floating=one.is_floating)))
    if ends is not None:
        times.append(line(ends, written(one.ends_at, is_day=is_day, is_floating=one.is_floating)))
    elif source.first("DURATION") is not None:
        times.append(line("DTEND", written(one.ends_at, is_day=is_day, is_floating=one.is_floating)))
    if recurs and one.part.starts is not None:
        times.append(line("RECURRENCE-ID", written(one.recurrence_at, is_day=is_day, is_floating=one.is_floating)))
    kept = [each for each in source.properties if each.name not in NOT_IN_AN_OCCURRENCE]
    return Component(source.name, [*times, *kept], source.children)


def limited(tree: Component, octets: bytes, wanted: TimeRange, zone: str) -> Component:
    """The series, and of its single occurrences those that lie in the time (RFC 4791 §9.6.6)."""
    met = {
        one.part.recurrence_id.epoch()
        for one in instances(read_object(octets), wanted.start, wanted.end, ZoneInfo(zone)).found
        if one.part.recurrence_id is not None
    }

    def stays(child: Component) -> bool:
        named = child.first("RECURRENCE-ID")
        return named is None or epoch_of(named) in met or "RANGE" in named.params

    return Component(tree.name, tree.properties, [child for child in tree.children if stays(child)])
