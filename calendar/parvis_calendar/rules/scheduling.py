"""Implicit scheduling (RFC 6638): who has to be told what, from an object as it was and as it becomes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from parvis_calendar.rules.objects import Attendee, CalendarObject, Part
from parvis_calendar.rules.sheets import (
    PERSONAL,
    Sheet,
    alarms_of,
    change_people,
    email_on,
    first_value,
    name_of,
    own_lines,
    set_parameters,
    sheet_of,
    with_line,
    without,
    without_alarms,
)

Said = Literal["accepted", "declined", "tentative"]
ANSWERS: dict[str, Said] = {"ACCEPTED": "accepted", "DECLINED": "declined", "TENTATIVE": "tentative"}
PARTSTATS: dict[str, str] = {word: partstat for partstat, word in ANSWERS.items()}
DELIVERED, UNKNOWN, LEFT = "1.2", "3.7", "5.1"
"""SCHEDULE-STATUS (RFC 6638 §3.2.9): delivered; nobody of this address; not to be delivered."""
NO_ANSWER = "NEEDS-ACTION"
Key = tuple[int, bool] | None
"""Which component: None for what recurs, else the occurrence, and whether the later ones are meant as well."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to the organizer, of one component."""

    key: Key
    partstat: str


def key_of(part: Part) -> Key:
    return None if part.recurrence_id is None else (part.recurrence_id.epoch(), part.this_and_future)


def is_scheduled(what: CalendarObject) -> bool:
    return what.organizer is not None and bool(what.attendees)


def is_organizer(what: CalendarObject, email: str) -> bool:
    return what.organizer is not None and what.organizer.email == email


def is_served(who: Attendee) -> bool:
    """The server tells them, and not the client, nor nobody."""
    return who.schedule_agent == "SERVER"


def invited(what: CalendarObject, organizer: str) -> dict[str, Attendee]:
    """Whom the server has to tell, the organizer aside."""
    return {one.email: one for one in what.attendees if one.email and one.email != organizer and is_served(one)}


def others_invited(what: CalendarObject) -> int:
    """The organizer, who often stands among the attendees, does not count."""
    organizer = what.organizer
    return sum(1 for one in what.attendees if organizer is None or one.email != organizer.email or not one.email)


def when_of(part: Part) -> tuple[object, ...]:
    """What makes an answer void when it changes."""
    exdates = tuple(sorted(one.epoch() for one in part.exdates))
    return part.starts, part.ends, part.days, part.seconds, tuple(part.rules), tuple(part.rdates), exdates


def times_changed(old: CalendarObject | None, new: CalendarObject) -> bool:
    if old is None:
        return True
    before = {key_of(part): when_of(part) for part in old.parts}
    return any(before.get(key_of(part), when_of(part)) != when_of(part) for part in new.parts)


def significant(octets: bytes) -> list[list[str]]:
    """All that others are told of; not alarms, nor what each sets for themselves, nor when it was written."""
    unimportant = {*PERSONAL, "DTSTAMP", "LAST-MODIFIED", "CREATED", "ATTENDEE", "ORGANIZER"}
    return [
        sorted(line for _, line in own_lines(part) if name_of(line) not in unimportant and not name_of(line).startswith("X-"))
        for part in sheet_of(octets).parts
    ]


def differ(old: bytes, new: bytes) -> bool:
    """Whether others have to be told."""
    return significant(old) != significant(new)


def as_sent(old: bytes | None, new: bytes, organizer: str, statuses: Mapping[str, str], sent_by: str | None = None) -> bytes:
    """The organizer's object as it is kept: what became of each invitation stands on it, and answers to other times are void.

    An answer that came meanwhile is not undone by a client that has not read it: where the times stay, it stays.
    """
    was = None if old is None else _answers(old)
    is_moved = was is not None and old is not None and _whens(old) != _whens(new)
    sheet = sheet_of(new)

    def change(name: str, email: str, line: str) -> str:
        if name != "ATTENDEE" or email == organizer:
            gone = {one: None for one in ("SCHEDULE-STATUS", "SENT-BY") if one in line.upper()}
            by = {"SENT-BY": f"mailto:{sent_by}"} if sent_by and name == "ORGANIZER" else {}
            return set_parameters(line, {**gone, **by}) if gone or by else line
        values: dict[str, str | None] = {"SCHEDULE-STATUS": statuses.get(email), "SCHEDULE-FORCE-SEND": None}
        if email in statuses:
            if is_moved:
                values |= {"PARTSTAT": NO_ANSWER, "RSVP": "TRUE"}
            elif was is not None and (known := was.get(email)) is not None:
                values["PARTSTAT"] = known
        return set_parameters(line, values)

    sheet.parts = [change_people(part, change) for part in sheet.parts]
    return sheet.octets()


def _answers(octets: bytes) -> dict[str, str]:
    """Of the whole series, as they stand."""
    found: dict[str, str] = {}
    for part in sheet_of(octets).parts:
        for _, line in own_lines(part):
            if name_of(line) == "ATTENDEE":
                found.setdefault(email_on(line), _partstat(line))
    return found


def _partstat(line: str) -> str:
    upper = line.upper()
    return next((one for one in (*ANSWERS, "DELEGATED") if f"PARTSTAT={one}" in upper), NO_ANSWER)


WHEN = ("DTSTART", "DTEND", "DUE", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID")


def _whens(octets: bytes) -> set[str]:
    return {line for part in sheet_of(octets).parts for _, line in own_lines(part) if name_of(line) in WHEN}


def copy_for(octets: bytes, email: str, before: bytes | None = None) -> bytes | None:
    """An invited person's copy: the occurrences to which they are invited, with what they had set for themselves. None without any."""
    sheet = sheet_of(octets)
    kept = [part for part in sheet.parts if any(name_of(line) == "ATTENDEE" and email_on(line) == email for _, line in own_lines(part))]
    if not kept:
        return None
    master = next((part for part in kept if not first_value(part, "RECURRENCE-ID")), None)
    if master is not None:  # occurrences without them are left out of their series
        for gone in (part for part in sheet.parts if part not in kept):
            line = first_value(gone, "RECURRENCE-ID")
            kept[kept.index(master)] = master = with_line(master, "EXDATE" + line[len("RECURRENCE-ID") :])
    own = None if before is None else sheet_of(before)
    return Sheet(sheet.head, sheet.zones, [_as_theirs(part, own) for part in kept]).octets()


def _as_theirs(part: list[str], own: Sheet | None) -> list[str]:
    """Without the organizer's alarms and statuses; with their own."""

    def change(name: str, email: str, line: str) -> str:
        return set_parameters(line, {"SCHEDULE-STATUS": None}) if "SCHEDULE-STATUS" in line.upper() else line

    result = without(without_alarms(change_people(part, change)), PERSONAL)
    if own is not None:
        which = first_value(part, "RECURRENCE-ID")
        mine = next((one for one in own.parts if first_value(one, "RECURRENCE-ID") == which), None)
        if mine is not None:
            for name in PERSONAL:
                if line := first_value(mine, name):
                    result = with_line(result, line)
            result = [*result[:-1], *alarms_of(mine), result[-1]]
    return result


def cancelled(octets: bytes) -> bytes:
    """The copy of somebody who is invited no more, or of what does not take place."""
    sheet = sheet_of(octets)
    sheet.parts = [with_line(without(without_alarms(part), ("STATUS",)), "STATUS:CANCELLED") for part in sheet.parts]
    return sheet.octets()


def is_void(what: CalendarObject | None) -> bool:
    return what is None or what.is_cancelled


def answers_between(old: CalendarObject | None, new: CalendarObject | None, email: str) -> list[Reply]:
    """What an invited person has answered anew by changing, or deleting, their copy."""
    before = {} if old is None else _own_answers(old, email)
    if new is None:
        if old is None or old.is_cancelled:
            return []
        return [Reply(key, "DECLINED") for key, answer in before.items() if answer != "DECLINED"]
    master = before.get(None, NO_ANSWER)
    replies = []
    for key, answer in _own_answers(new, email).items():
        if answer != before.get(key, master if key is not None else NO_ANSWER) and answer in ANSWERS:
            replies.append(Reply(key, answer))
    return replies


def _own_answers(what: CalendarObject, email: str) -> dict[Key, str]:
    return {key_of(part): one.partstat for part in what.parts for one in part.attendees if one.email == email}


def answered(
    organizers: bytes,
    email: str,
    replies: list[Reply],
    theirs: bytes,
    read: CalendarObject,
    read_theirs: CalendarObject,
    by: str | None = None,
) -> bytes:
    """The organizer's object with these answers; an occurrence that is answered alone becomes one of its own there."""
    sheet = sheet_of(organizers)
    places = {key_of(part): index for index, part in enumerate(read.written)}
    their_sheet = sheet_of(theirs)
    their_places = {key_of(part): index for index, part in enumerate(read_theirs.written)}
    for reply in replies:
        if reply.key not in places:
            if reply.key not in their_places:
                continue
            places[reply.key] = len(sheet.parts)
            sheet.parts.append(without(without_alarms(their_sheet.parts[their_places[reply.key]]), PERSONAL))
        index = places[reply.key]
        sheet.parts[index] = change_people(sheet.parts[index], _answering(email, reply.partstat, by))
        if reply.key is None:  # single occurrences that nobody answered by themselves follow
            for key, other in places.items():
                if key is not None and _open(sheet.parts[other], email):
                    sheet.parts[other] = change_people(sheet.parts[other], _answering(email, reply.partstat, by))
    return sheet.octets()


def _answering(email: str, partstat: str, by: str | None) -> Callable[[str, str, str], str]:
    def change(name: str, who: str, line: str) -> str:
        if name != "ATTENDEE" or who != email:
            return line
        sent_by = f"mailto:{by}" if by else None
        return set_parameters(line, {"PARTSTAT": partstat, "RSVP": None, "SCHEDULE-STATUS": "2.0", "SENT-BY": sent_by})

    return change


def _open(part: list[str], email: str) -> bool:
    return any(name_of(line) == "ATTENDEE" and email_on(line) == email and _partstat(line) == NO_ANSWER for _, line in own_lines(part))


def with_answer(octets: bytes, email: str, partstat: str) -> bytes:
    """A person's own copy, after they have answered by another way than their client."""
    sheet = sheet_of(octets)

    def change(name: str, who: str, line: str) -> str:
        return set_parameters(line, {"PARTSTAT": partstat, "RSVP": None}) if name == "ATTENDEE" and who == email else line

    sheet.parts = [change_people(part, change) for part in sheet.parts]
    return sheet.octets()
