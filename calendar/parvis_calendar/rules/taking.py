"""What is written down of an object: when it takes place, as far ahead as the horizon goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from parvis_calendar.rules.agendas import Person
from parvis_calendar.rules.instances import Instance, instances
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.rrules import Rule
from parvis_calendar.rules.times import FIRST_SECOND, LAST_SECOND
from parvis_calendar.rules.windows import Taking, Window, horizon

BOUNDED_COUNT_MAX = 500
BOUNDED_SECONDS_MAX = 3 * 366 * 86_400
"""A series that ends so soon is written down whole: nobody has to ask again whether it goes on."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """The instances between two moments; without the moments, all that there are."""

    takings: tuple[Taking, ...]
    first: int | None
    until: int | None


def expanded(what: CalendarObject, zone: str, now: datetime) -> Expanded:
    """As it is stored. Its work is bounded."""
    home = ZoneInfo(zone)
    if is_bounded(what):
        every = instances(what, FIRST_SECOND, LAST_SECOND, home)
        if not every.is_unexpandable:
            return Expanded(taken(every.found), None, None)
    first, until = horizon(now)
    near = instances(what, first, until, home)
    if near.is_unexpandable or near.is_whole:
        return Expanded(taken(near.found), None, None)
    return Expanded(taken(near.found), first, until)


def is_bounded(what: CalendarObject) -> bool:
    """Whether all of it is soon told: a single thing, or a series that soon ends."""
    master = what.master
    if master is None or not master.rules:
        return True
    start = master.starts.local if master.starts is not None else 0
    return all(_soon_ends(rule, start) for rule in master.rules)


def _soon_ends(rule: Rule, start: int) -> bool:
    if rule.frequency not in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        return False
    if rule.count is not None:
        return rule.count <= BOUNDED_COUNT_MAX
    return rule.until is not None and rule.until.local - start <= BOUNDED_SECONDS_MAX


def taken(found: Sequence[Instance]) -> tuple[Taking, ...]:
    """Each recurrence once."""
    by_recurrence = {one.recurrence_at: Taking(one.recurrence_at, one.starts_at, one.ends_at, one.is_floating, one.busy) for one in found}
    return tuple(by_recurrence.values())


def takings_within(what: CalendarObject, zone: str, window: Window) -> list[Taking]:
    """Of an object whose instances are not all written down."""
    found = instances(what, window.start, window.end, ZoneInfo(zone)).found
    return [one for one in taken(found) if window.meets(one.starts_at, one.ends_at, is_floating=one.is_floating)]


def first_span(what: CalendarObject, found: Expanded) -> tuple[int | None, int | None]:
    """From when to when the first occurrence is; as seconds of Taking."""
    start = what.starts
    if start is None:
        one = found.takings[0] if found.takings else None
        return (one.starts_at, one.ends_at) if one is not None else (None, None)
    at = start.epoch()
    first = next((one for one in found.takings if one.recurrence_at == at), None)
    if first is not None:
        return first.starts_at, first.ends_at
    near = instances(what, at - 1, at + 1, ZoneInfo("UTC")).found if start.zone is not None else ()
    return next(((one.starts_at, one.ends_at) for one in near if one.recurrence_at == at), (at, at))


def is_own(what: CalendarObject, owner: Person) -> bool:
    """Whether the owner of the agenda organizes it, or nobody does."""
    organizer = what.organizer
    return organizer is None or organizer.email == owner.email or organizer.address.casefold() == f"urn:uuid:{owner.id}"
