"""Whether one object is what a filter asks for, its times and recurrences included."""

from zoneinfo import ZoneInfo

from parvis_calendar.rules.filters import CompFilter, Timed, TimeRange, fits
from parvis_calendar.rules.instances import Instance, instances
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.refusals import NotTaken
from parvis_calendar.rules.times import Time, read_duration, read_time
from parvis_calendar.rules.trees import Component, Property, tree_of
from parvis_calendar.rules.windows import window
from parvis_calendar.rules.zones import zone_named

ALARM_AHEAD_SECONDS = 40 * 86_400
"""An alarm rings at most so long before what it announces, as far as queries go."""


def fits_object(octets: bytes, asked: CompFilter, zone: str) -> bool:
    """What cannot be read any more fits nothing."""
    try:
        tree = tree_of(octets)
        return fits(tree, asked, Clockwork(octets, ZoneInfo(zone)).timed())
    except NotTaken:
        return False


class Clockwork:
    """Compares times of one object; it is read as a whole only when that is needed."""

    def __init__(self, octets: bytes, zone: ZoneInfo) -> None:
        self.octets, self.zone = octets, zone
        self.read: CalendarObject | None = None
        self.found: dict[TimeRange, tuple[Instance, ...]] = {}

    def timed(self) -> Timed:
        return Timed(self.overlaps, self.moment_in)

    def instances(self, wanted: TimeRange) -> tuple[Instance, ...]:
        if wanted not in self.found:
            if self.read is None:
                self.read = read_object(self.octets)
            near = window(wanted.start, wanted.end, self.zone)
            every = instances(self.read, wanted.start, wanted.end, self.zone).found
            self.found[wanted] = tuple(one for one in every if near.meets(one.starts_at, one.ends_at, is_floating=one.is_floating))
        return self.found[wanted]

    def overlaps(self, component: Component, parent: Component, wanted: TimeRange) -> bool:
        """Of a component with a time of its own, or of an alarm (RFC 4791 §9.9)."""
        if component.name == "VALARM":
            return self.rings(component, parent, wanted)
        if component.name == "VCALENDAR":
            return bool(self.instances(wanted))
        mine = component.first("RECURRENCE-ID")
        if mine is None:
            own = [one for one in self.instances(wanted) if one.part.recurrence_id is None or one.part.this_and_future]
            return bool(own)
        at = self.time_of(mine).epoch()
        return any(one.part.recurrence_id is not None and one.part.recurrence_id.epoch() == at for one in self.instances(wanted))

    def rings(self, alarm: Component, parent: Component, wanted: TimeRange) -> bool:
        trigger = alarm.first("TRIGGER")
        if trigger is None:
            return False
        if trigger.params.get("VALUE", ("",))[0].upper() == "DATE-TIME":
            return wanted.start <= self.time_of(trigger).epoch(self.zone) < wanted.end
        days, seconds = read_duration(trigger.value)
        shift = days * 86_400 + seconds
        at_end = trigger.params.get("RELATED", ("START",))[0].upper() == "END"
        near = TimeRange(wanted.start - max(shift, 0) - ALARM_AHEAD_SECONDS, wanted.end - min(shift, 0) + ALARM_AHEAD_SECONDS)
        mine = parent.first("RECURRENCE-ID")
        at = self.time_of(mine).epoch() if mine is not None else None
        for one in self.instances(near):
            of_part = one.part.recurrence_id.epoch() if one.part.recurrence_id is not None else None
            if of_part == at and wanted.start <= (one.ends_at if at_end else one.starts_at) + shift < wanted.end:
                return True
        return False

    def time_of(self, one: Property) -> Time:
        named = one.params.get("TZID", ("",))[0]
        return read_time(one.value, zone_named(named) if named else None)

    def moment_in(self, one: Property, wanted: TimeRange) -> bool:
        """Of a property that is a time: COMPLETED, CREATED, DTSTAMP, LAST-MODIFIED."""
        return wanted.start <= self.time_of(one).epoch(self.zone) < wanted.end
