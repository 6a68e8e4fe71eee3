"""VFREEBUSY: questions read, answers written."""

from dataclasses import dataclass
from datetime import datetime

from parvis_calendar.rules.lexing import folded
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.refusals import NotTaken
from parvis_calendar.rules.windows import TENTATIVE, UNAVAILABLE, Span, moment

KINDS = {TENTATIVE: ";FBTYPE=BUSY-TENTATIVE", UNAVAILABLE: ";FBTYPE=BUSY-UNAVAILABLE"}
ASKED_MAX = 300
"""People in one question: each costs a row a week."""


@dataclass(frozen=True, slots=True)
class FreeBusyAsked:
    uid: str
    organizer: str
    """The address alone."""
    organizer_address: str
    attendees: tuple[tuple[str, str], ...]
    """As written, and the address alone."""
    start: int
    end: int


def read_free_busy(octets: bytes) -> FreeBusyAsked:
    """Raises NotTaken."""
    what = read_object(octets, is_message=True)
    part = what.first
    if what.component != "VFREEBUSY" or what.method not in ("REQUEST", ""):
        raise NotTaken("valid-calendar-data", "The outbox answers questions for free and busy alone.")
    if part.starts is None or part.ends is None or part.organizer is None or not part.attendees:
        raise NotTaken("valid-calendar-data", "Say from when to when, who asks, and about whom.")
    if len(part.attendees) > ASKED_MAX:
        raise NotTaken("max-attendees-per-instance", f"Ask about at most {ASKED_MAX} people at once.")
    asked = tuple((one.address, one.email) for one in part.attendees)
    return FreeBusyAsked(what.uid, part.organizer.email, part.organizer.address, asked, part.starts.epoch(), part.ends.epoch())


def stamp(seconds: int) -> str:
    shown = moment(seconds)
    return f"{shown.year:04}{shown:%m%dT%H%M%SZ}"


def free_busy_reply(
    start: int, end: int, spans: list[Span], *, now: datetime, asked: FreeBusyAsked | None = None, attendee: str = ""
) -> bytes:
    """One line for each span, so that none is too long for anybody."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Parvis//Calendar//FR"]
    if asked is not None:
        lines.append("METHOD:REPLY")
    lines += ["BEGIN:VFREEBUSY", f"DTSTAMP:{now:%Y%m%dT%H%M%SZ}", f"DTSTART:{stamp(start)}", f"DTEND:{stamp(end)}"]
    if asked is not None:
        lines += [f"UID:{asked.uid}", f"ORGANIZER:{asked.organizer_address}", f"ATTENDEE:{attendee}"]
    lines += [f"FREEBUSY{KINDS.get(kind, '')}:{stamp(first)}/{stamp(last)}" for first, last, kind in spans]
    lines += ["END:VFREEBUSY", "END:VCALENDAR"]
    return b"".join(map(folded, lines))
