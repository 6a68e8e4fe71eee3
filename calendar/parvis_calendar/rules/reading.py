"""Calendar objects read: their lines gone through once, and what is too much refused where it is met."""

from collections.abc import Callable, Iterator
from datetime import tzinfo

from parvis_calendar.rules.lexing import PARAMETERS_CHARACTERS_MAX, lines_of, parameters_of, plain, unfolded
from parvis_calendar.rules.objects import Attendee, CalendarObject, Part, Period
from parvis_calendar.rules.refusals import (
    MAX_ATTENDEES,
    MAX_INSTANCES,
    MAX_SIZE,
    SUPPORTED_COMPONENT,
    VALID_DATA,
    VALID_OBJECT,
    NotTaken,
)
from parvis_calendar.rules.rrules import read_rule
from parvis_calendar.rules.times import UTC_ZONE, Time, read_duration, read_time
from parvis_calendar.rules.zones import described_in, zone_described, zone_named

NESTING_MAX = 4
ATTENDEES_MAX = 1_000
"""Of one object, its overrides together: each may be told of each change."""
DATES_MAX = 2_000
"""RDATE and EXDATE together."""
OVERRIDES_MAX = 1_000
ALARMS_MAX = 20
INLINE_BYTES_MAX = 64 * 1024
"""Attached as it is; larger things belong into Files, and a link here."""
ZONES_MAX = 100
"""By name: each is looked for on the disk."""
UID_CHARACTERS_MAX = 500
TEXT_CHARACTERS_MAX = 2_000
"""Of a title or a place, as far as it is shown in lists."""
SEQUENCE_MAX = 2**31 - 1
KINDS = frozenset({"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"})
STORED_KINDS = frozenset({"VEVENT", "VTODO", "VJOURNAL"})


class Reader:
    """Goes through the lines once; what is too much is refused where it is met."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.parts: list[tuple[str, Part]] = []
        self.method = ""
        self.dates = self.attendees = 0
        self.zones: dict[str, tzinfo] = {}
        self.described: dict[str, str] | None = None

    def read(self) -> None:
        """Raises NotTaken."""
        stack: list[str] = []
        part: Part | None = None
        lines = lines_of(self.octets)
        for name, parameters, value in lines:
            name = name.upper()
            if len(parameters) > PARAMETERS_CHARACTERS_MAX:
                raise NotTaken(VALID_DATA, f"A line has at most {PARAMETERS_CHARACTERS_MAX} characters of parameters.")
            if name == "BEGIN":
                part = self.begin(stack, value.strip().upper(), part)
            elif name == "END":
                if not stack or stack.pop() != value.strip().upper():
                    raise NotTaken(VALID_DATA, f"END:{value[:40]} ends nothing that has begun.")
                if len(stack) == 1:
                    part = None
                elif not stack and (name, parameters, value) != lines[-1]:
                    raise NotTaken(VALID_OBJECT, "There is one VCALENDAR in an object.")
            elif len(stack) == 2 and part is not None:
                if (take := TAKE.get(name)) is not None:
                    take(self, part, parameters, value)
            elif name == "METHOD" and len(stack) == 1:
                self.method = value.strip().upper()
            elif name == "ATTACH":
                self.attach(part, parameters, value)
        if stack:
            raise NotTaken(VALID_DATA, f"{stack[-1][:40]} does not end.")

    def begin(self, stack: list[str], name: str, part: Part | None) -> Part | None:
        stack.append(name)
        if len(stack) > NESTING_MAX:
            raise NotTaken(VALID_DATA, f"Components lie at most {NESTING_MAX} deep in each other.")
        if len(stack) == 2 and name != "VTIMEZONE":
            part = Part()
            self.parts.append((name, part))
            if len(self.parts) > OVERRIDES_MAX + 1:
                raise NotTaken(MAX_INSTANCES, f"At most {OVERRIDES_MAX} occurrences can be otherwise than the others.")
        elif name == "VALARM" and part is not None:
            part.alarms += 1
            if part.alarms > ALARMS_MAX:
                raise NotTaken(VALID_DATA, f"At most {ALARMS_MAX} alarms can be set on one thing.")
        return part

    def zone(self, parameters: str) -> tzinfo | None:
        if not parameters:
            return None
        name = parameters_of(parameters).get("TZID")
        if not name:
            return None
        if (zone := self.zones.get(name)) is None:
            if len(self.zones) == ZONES_MAX:
                raise NotTaken(VALID_DATA, f"At most {ZONES_MAX} zones are named in one object.")
            zone = self.zones[name] = zone_named(name) or self.as_described(name) or UTC_ZONE
        return zone

    def as_described(self, name: str) -> tzinfo | None:
        if self.described is None:
            self.described = described_in(unfolded(self.octets))
        return zone_described(self.described[name]) if name in self.described else None

    def time(self, parameters: str, value: str) -> Time:
        return read_time(value, self.zone(parameters) if value[-1:] not in "Zz" else None)

    def take_sequence(self, part: Part, parameters: str, value: str) -> None:
        if not (value := value.strip()).isdigit() or len(value) > 10:
            raise NotTaken(VALID_DATA, "SEQUENCE is a number.")
        part.sequence = min(int(value), SEQUENCE_MAX)

    def take_recurrence_id(self, part: Part, parameters: str, value: str) -> None:
        part.recurrence_id = part.recurrence_id or self.time(parameters, value)
        part.this_and_future = "THISANDFUTURE" in parameters.upper()

    def take_start(self, part: Part, parameters: str, value: str) -> None:
        part.starts = part.starts or self.time(parameters, value)  # each stands once: the first counts, and is all the work

    def take_end(self, part: Part, parameters: str, value: str) -> None:
        part.ends = part.ends or self.time(parameters, value)

    def take_duration(self, part: Part, parameters: str, value: str) -> None:
        days, seconds = read_duration(value)
        part.days, part.seconds, part.has_duration = max(days, 0), max(seconds, 0), True

    def take_rule(self, part: Part, parameters: str, value: str) -> None:
        part.rules.append(read_rule(value))

    def take_excluded_rule(self, part: Part, parameters: str, value: str) -> None:
        part.excluded_rules.append(read_rule(value))

    def dates_of(self, value: str) -> list[str]:
        found = value.split(",", DATES_MAX + 1)
        self.dates += len(found)
        if self.dates > DATES_MAX:
            raise NotTaken(MAX_INSTANCES, f"At most {DATES_MAX} dates can be added and left out.")
        return [one for one in found if one.strip()]

    def take_dates(self, part: Part, parameters: str, value: str) -> None:
        zone = self.zone(parameters)
        for one in self.dates_of(value):
            start, _, rest = one.partition("/")
            if not rest:
                part.rdates.append(Period(read_time(start, zone), None))
            elif rest.lstrip("+-")[:1] in "Pp":
                part.rdates.append(Period(read_time(start, zone), None, *read_duration(rest)))
            else:
                part.rdates.append(Period(read_time(start, zone), read_time(rest, zone)))

    def take_exdates(self, part: Part, parameters: str, value: str) -> None:
        zone = self.zone(parameters)
        part.exdates += [read_time(one, zone) for one in self.dates_of(value)]

    def take_organizer(self, part: Part, parameters: str, value: str) -> None:
        part.organizer = attendee_of(parameters, value)

    def take_attendee(self, part: Part, parameters: str, value: str) -> None:
        self.attendees += 1
        if self.attendees > ATTENDEES_MAX:
            raise NotTaken(MAX_ATTENDEES, f"At most {ATTENDEES_MAX} can be invited to one thing.")
        part.attendees.append(attendee_of(parameters, value))

    def attach(self, part: Part | None, parameters: str, value: str) -> None:
        if len(value) > INLINE_BYTES_MAX:
            raise NotTaken(MAX_SIZE, f"At most {INLINE_BYTES_MAX} bytes can be attached as they are: put it into Files, and its link here.")

    def take_created(self, part: Part, parameters: str, value: str) -> None:
        part.created = part.created or self.time(parameters, value)

    def take_completed(self, part: Part, parameters: str, value: str) -> None:
        part.completed = part.completed or self.time(parameters, value)


def attendee_of(parameters: str, value: str) -> Attendee:
    told = parameters_of(parameters)
    address = value.strip()
    email = address[7:].strip().casefold() if address[:7].lower() == "mailto:" else ""
    if not email and "EMAIL" in told:
        email = told["EMAIL"].strip().casefold()
    return Attendee(
        address,
        email,
        told.get("PARTSTAT", "NEEDS-ACTION").upper(),
        told.get("ROLE", "REQ-PARTICIPANT").upper(),
        told.get("CUTYPE", "INDIVIDUAL").upper(),
        told.get("SCHEDULE-AGENT", "SERVER").upper(),
        told.get("RSVP", "").upper() == "TRUE",
        told.get("CN", ""),
        told.get("SENT-BY", ""),
    )


def _setting(name: str, read: Callable[[str], str]) -> Callable[[Reader, Part, str, str], None]:
    def take(reader: Reader, part: Part, parameters: str, value: str) -> None:
        setattr(part, name, read(value))

    return take


def _word(value: str) -> str:
    return value.strip().upper()


def _text(value: str) -> str:
    return plain(value[:TEXT_CHARACTERS_MAX])


TAKE: dict[str, Callable[[Reader, Part, str, str], None]] = {
    "UID": _setting("uid", str.strip),
    "DTSTAMP": _setting("stamp", str.strip),
    "STATUS": _setting("status", _word),
    "TRANSP": _setting("transparency", _word),
    "CLASS": _setting("classification", _word),
    "SUMMARY": _setting("summary", _text),
    "LOCATION": _setting("location", _text),
    "SEQUENCE": Reader.take_sequence,
    "RECURRENCE-ID": Reader.take_recurrence_id,
    "DTSTART": Reader.take_start,
    "DTEND": Reader.take_end,
    "DUE": Reader.take_end,
    "DURATION": Reader.take_duration,
    "RRULE": Reader.take_rule,
    "EXRULE": Reader.take_excluded_rule,
    "RDATE": Reader.take_dates,
    "EXDATE": Reader.take_exdates,
    "ORGANIZER": Reader.take_organizer,
    "ATTENDEE": Reader.take_attendee,
    "ATTACH": Reader.attach,
    "CREATED": Reader.take_created,
    "COMPLETED": Reader.take_completed,
}


def read_object(octets: bytes, *, is_message: bool = False) -> CalendarObject:
    """`is_message`: a METHOD may stand in it. Raises NotTaken with the precondition that is not met."""
    reader = Reader(octets)
    reader.read()
    kinds = {kind for kind, _ in reader.parts}
    if len(kinds) != 1:
        raise NotTaken(VALID_OBJECT, "An object holds components of one kind, and at least one.")
    component = kinds.pop()
    if component not in (KINDS if is_message else STORED_KINDS):
        raise NotTaken(SUPPORTED_COMPONENT, f"{component[:40]} is not kept here.")
    if reader.method and not is_message:
        raise NotTaken(VALID_OBJECT, "A METHOD stands in messages, and not in what lies in an agenda.")
    parts = [part for _, part in reader.parts]
    uid = parts[0].uid
    if not uid or len(uid) > UID_CHARACTERS_MAX or any(part.uid != uid for part in parts):
        raise NotTaken(VALID_OBJECT, f"All components have the same UID, of 1 to {UID_CHARACTERS_MAX} characters.")
    masters = [part for part in parts if part.recurrence_id is None]
    overrides = list(_overrides(parts))
    if len(masters) > 1:
        raise NotTaken(VALID_OBJECT, "Two components of the same UID have no RECURRENCE-ID: only one is what recurs.")
    for part in parts:
        check_part(component, part, reader.method)
    return CalendarObject(uid, component, reader.method, masters[0] if masters else None, tuple(overrides), tuple(parts))


def _overrides(parts: list[Part]) -> Iterator[Part]:
    seen: dict[tuple[int, bool], Part] = {}
    for part in parts:
        if part.recurrence_id is not None:
            seen[part.recurrence_id.epoch(), part.this_and_future] = part  # the last one said of an occurrence counts
    return iter(seen.values())


def check_part(component: str, part: Part, method: str) -> None:
    """Raises NotTaken."""
    if part.starts is None:
        if part.recurs or (component == "VEVENT" and not method):
            raise NotTaken(VALID_DATA, "It has no DTSTART.")
    elif part.ends is not None and part.ends.is_day != part.starts.is_day:
        raise NotTaken(VALID_DATA, "It starts on a day and ends at a time, or the other way round.")
