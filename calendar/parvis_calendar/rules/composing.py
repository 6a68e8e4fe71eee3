"""Events written for somebody who has no calendar client: new ones, and changes of those that are there."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from parvis_calendar.rules.agendas import Person
from parvis_calendar.rules.lexing import FORBIDDEN, escaped, quoted
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.sheets import Sheet, email_on, name_of, own_lines, sheet_of, with_line, without

HEAD = ["VERSION:2.0", "PRODID:-//Parvis//Calendar//FR"]
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True)
class Draft:
    """What is said of an event; None leaves a thing as it is."""

    title: str | None = None
    place: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    zone: str | None = None
    recurrence: str | None = None
    """A rule as in RRULE; empty for none."""
    attendees: Sequence[Person] | None = None
    resources: Sequence[tuple[str, str, str]] | None = None
    """Address, name, ROOM or RESOURCE."""


def composed(uid: str, draft: Draft, organizer: Person, now: datetime) -> bytes:
    """A new event of the organizer."""
    part = ["BEGIN:VEVENT", f"UID:{uid}", *_stamps(now), f"CREATED:{_utc(now)}", "SEQUENCE:0", "END:VEVENT"]
    return _with(Sheet(list(HEAD), [], [part]), draft, organizer, 0).octets()


def changed(octets: bytes, what: CalendarObject, draft: Draft, organizer: Person, now: datetime) -> bytes:
    """The series as a whole; single occurrences that were moved stay, unless the times of all are others."""
    sheet = sheet_of(octets)
    index = next((at for at, part in enumerate(what.written) if part is what.first), 0)
    if draft.starts_at is not None or draft.recurrence is not None:
        sheet.parts, index = [without(sheet.parts[index], ("EXDATE", "RDATE"))], 0
    part = without(sheet.parts[index], ("SEQUENCE", "DTSTAMP", "LAST-MODIFIED"))
    sheet.parts[index] = [part[0], *_stamps(now), f"LAST-MODIFIED:{_utc(now)}", f"SEQUENCE:{what.sequence + 1}", *part[1:]]
    return _with(sheet, draft, organizer, index).octets()


def _with(sheet: Sheet, draft: Draft, organizer: Person, index: int) -> Sheet:
    part = sheet.parts[index]
    for name, text in (("SUMMARY", draft.title), ("LOCATION", draft.place)):
        if text is not None:
            part = without(part, (name,))
            part = with_line(part, f"{name}:{escaped(FORBIDDEN.sub(' ', text))}") if text else part
    if draft.starts_at is not None and draft.ends_at is not None:
        zone = ZoneInfo(draft.zone or "UTC")
        part = without(part, ("DTSTART", "DTEND", "DURATION"))
        part = with_line(with_line(part, _at("DTEND", draft.ends_at, zone)), _at("DTSTART", draft.starts_at, zone))
        sheet.zones = [] if zone.key == "UTC" else [vtimezone(zone.key, draft.starts_at.astimezone(zone).year)]
    if draft.recurrence is not None:
        part = without(part, ("RRULE",))
        part = with_line(part, f"RRULE:{draft.recurrence}") if draft.recurrence else part
    if draft.attendees is not None or draft.resources is not None:
        part = _with_people(part, draft, organizer)
    sheet.parts[index] = part
    return sheet


def _with_people(part: list[str], draft: Draft, organizer: Person) -> list[str]:
    """Who stays keeps their line, and with it their answer."""
    known = {email_on(line): line for _, line in own_lines(part) if name_of(line) == "ATTENDEE"}
    are_resources = {email: email.startswith("urn:uuid:") for email in known}
    lines = []
    if draft.attendees is None:
        lines += [line for email, line in known.items() if not are_resources[email]]
    elif draft.attendees:
        lines.append(known.get(organizer.email) or _attendee(organizer, "ACCEPTED", rsvp=False))
        lines += [known.get(one.email) or _attendee(one, "NEEDS-ACTION", rsvp=True) for one in draft.attendees if one.id != organizer.id]
    if draft.resources is None:
        lines += [line for email, line in known.items() if are_resources[email]]
    else:
        lines += [
            known.get(address.casefold())
            or f"ATTENDEE;CN={quoted(name)};CUTYPE={kind};ROLE=NON-PARTICIPANT;PARTSTAT=NEEDS-ACTION:{address}"
            for address, name, kind in draft.resources
        ]
    part = without(part, ("ATTENDEE", "ORGANIZER"))
    for line in reversed(lines):
        part = with_line(part, line)
    return with_line(part, f"ORGANIZER;CN={quoted(organizer.name)}:mailto:{organizer.email}") if lines else part


def handed_over(octets: bytes, leaver: Person, to: Person, now: datetime) -> bytes:
    """A meeting with another organizer; who left comes no more."""
    sheet = sheet_of(octets)
    for index, part in enumerate(sheet.parts):
        people = [line for _, line in own_lines(part) if name_of(line) == "ATTENDEE"]
        rest = without(part, ("ATTENDEE", "ORGANIZER", "DTSTAMP"))
        lines = [line for line in people if email_on(line) not in (leaver.email, to.email)]
        head = [f"DTSTAMP:{_utc(now)}", f"ORGANIZER;CN={quoted(to.name)}:mailto:{to.email}", _attendee(to, "ACCEPTED", rsvp=False)]
        sheet.parts[index] = [rest[0], *head, *lines, *rest[1:]]
    return sheet.octets()


def _attendee(one: Person, partstat: str, *, rsvp: bool) -> str:
    return f"ATTENDEE;CN={quoted(one.name)};PARTSTAT={partstat}{';RSVP=TRUE' if rsvp else ''}:mailto:{one.email}"


def _stamps(now: datetime) -> list[str]:
    return [f"DTSTAMP:{_utc(now)}"]


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _at(name: str, moment: datetime, zone: ZoneInfo) -> str:
    if zone.key == "UTC":
        return f"{name}:{_utc(moment)}"
    return f"{name};TZID={zone.key}:{moment.astimezone(zone):%Y%m%dT%H%M%S}"


@lru_cache(256)
def _changes(key: str, year: int) -> tuple[tuple[datetime, timedelta, timedelta], ...]:
    """When the clocks of a zone are changed in a year, from which offset to which."""
    zone, found = ZoneInfo(key), []
    hour, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    before = hour.astimezone(zone).utcoffset() or timedelta()
    while hour < end:
        day = hour + timedelta(days=1)
        if (day.astimezone(zone).utcoffset() or timedelta()) != before:
            while (after := hour.astimezone(zone).utcoffset() or timedelta()) == before:
                hour += timedelta(minutes=30)
            found.append((hour, before, after))
            before = after
        hour = day
    return tuple(found)


def vtimezone(key: str, year: int) -> list[str]:
    """As the rules are in that year: clients know the zone by its name, and those that do not find no more than this."""
    lines, changes = ["BEGIN:VTIMEZONE", f"TZID:{key}"], _changes(key, year)
    if not changes:
        offset = _offset(datetime(year, 1, 1, tzinfo=UTC).astimezone(ZoneInfo(key)).utcoffset() or timedelta())
        block = ["BEGIN:STANDARD", "DTSTART:19700101T000000", f"TZOFFSETFROM:{offset}", f"TZOFFSETTO:{offset}", "END:STANDARD"]
        return [*lines, *block, "END:VTIMEZONE"]
    for moment, before, after in changes:
        kind, shown = "DAYLIGHT" if after > before else "STANDARD", moment + before
        last = shown.day + 7 > monthrange(shown.year, shown.month)[1]
        rule = f"FREQ=YEARLY;BYMONTH={shown.month};BYDAY={-1 if last else (shown.day - 1) // 7 + 1}{DAYS[shown.weekday()]}"
        lines += [f"BEGIN:{kind}", f"DTSTART:{shown:%Y%m%dT%H%M%S}", f"TZOFFSETFROM:{_offset(before)}", f"TZOFFSETTO:{_offset(after)}"]
        lines += [f"RRULE:{rule}", f"END:{kind}"] if len(changes) == 2 else [f"END:{kind}"]
    return [*lines, "END:VTIMEZONE"]


def _offset(offset: timedelta) -> str:
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
