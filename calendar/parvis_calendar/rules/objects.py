"""Calendar objects as they are looked at: about twenty properties of each component; the rest stays in the octets."""

from dataclasses import dataclass, field
from typing import NamedTuple

from parvis_calendar.rules.rrules import Rule
from parvis_calendar.rules.times import Time


class Attendee(NamedTuple):
    """Somebody invited, or the organizer."""

    address: str
    """As it is written."""
    email: str
    """Folded as the directory keeps addresses; empty when it is none."""
    partstat: str = "NEEDS-ACTION"
    role: str = "REQ-PARTICIPANT"
    cutype: str = "INDIVIDUAL"
    schedule_agent: str = "SERVER"
    rsvp: bool = False
    name: str = ""
    sent_by: str = ""


class Period(NamedTuple):
    starts: Time
    ends: Time | None
    days: int = 0
    seconds: int = 0


@dataclass(slots=True)
class Part:
    """One component: what recurs, or one occurrence that is otherwise. Nobody changes it once it is read."""

    uid: str = ""
    sequence: int = 0
    stamp: str = ""
    recurrence_id: Time | None = None
    this_and_future: bool = False
    starts: Time | None = None
    ends: Time | None = None
    """DTEND, or DUE of a VTODO."""
    days: int = 0
    seconds: int = 0
    """Of its DURATION, when it has one."""
    has_duration: bool = False
    rules: list[Rule] = field(default_factory=list)
    excluded_rules: list[Rule] = field(default_factory=list)
    rdates: list[Period] = field(default_factory=list)
    exdates: list[Time] = field(default_factory=list)
    organizer: Attendee | None = None
    attendees: list[Attendee] = field(default_factory=list)
    status: str = ""
    transparency: str = "OPAQUE"
    classification: str = "PUBLIC"
    """What it does not know is PRIVATE (RFC 5545 §3.8.1.3)."""
    summary: str = ""
    location: str = ""
    created: Time | None = None
    completed: Time | None = None
    alarms: int = 0

    @property
    def is_cancelled(self) -> bool:
        return self.status == "CANCELLED"

    @property
    def recurs(self) -> bool:
        return bool(self.rules or self.rdates)


@dataclass(frozen=True, slots=True)
class CalendarObject:
    """All components of one UID."""

    uid: str
    component: str
    method: str
    """Of a scheduling message; empty for what lies in an agenda."""
    master: Part | None
    """None when it holds only single occurrences of something that somebody else keeps whole."""
    overrides: tuple[Part, ...]
    written: tuple[Part, ...]
    """All of them in the order of the octets."""

    @property
    def first(self) -> Part:
        return self.master or self.overrides[0]

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.overrides if self.master is None else (self.master, *self.overrides)

    @property
    def starts(self) -> Time | None:
        return self.first.starts

    @property
    def ends(self) -> Time | None:
        return self.first.ends

    @property
    def recurs(self) -> bool:
        return self.master is not None and self.master.recurs

    @property
    def floating(self) -> bool:
        return self.first.starts is not None and self.first.starts.is_floating

    @property
    def all_day(self) -> bool:
        return self.first.starts is not None and self.first.starts.is_day

    @property
    def organizer(self) -> Attendee | None:
        return next((one.organizer for one in self.parts if one.organizer is not None), None)

    @property
    def attendees(self) -> tuple[Attendee, ...]:
        """Of all occurrences, each once."""
        found: dict[str, Attendee] = {}
        for part in self.parts:
            for one in part.attendees:
                found.setdefault(one.email or one.address, one)
        return tuple(found.values())

    @property
    def sequence(self) -> int:
        return max(one.sequence for one in self.parts)

    @property
    def status(self) -> str:
        return self.first.status

    @property
    def transparency(self) -> str:
        return self.first.transparency

    @property
    def is_private(self) -> bool:
        return any(one.classification != "PUBLIC" for one in self.parts)

    @property
    def summary(self) -> str:
        return self.first.summary

    @property
    def location(self) -> str:
        return self.first.location

    @property
    def is_cancelled(self) -> bool:
        return all(one.is_cancelled for one in self.parts)
