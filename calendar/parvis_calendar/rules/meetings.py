"""Meetings as their invited see them; rooms and equipment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from parvis_kit.problems import Problem

Answer = Literal["needs-action", "accepted", "declined", "tentative"]
ResourceKind = Literal["room", "equipment"]
AXIS = 2**38
"""Seconds until long after the year 9999: the stretch of one resource on the axis of all."""
RESOURCE_SPANS_MAX = 200
"""Occurrences of one event that a resource is booked for: a weekly meeting of nearly four years."""


class ResourceTaken(Problem):
    """A room or equipment is taken at that time."""

    status, code = 409, "resource-taken"


@dataclass(frozen=True, slots=True)
class Invitation:
    meeting_id: UUID
    attendee_id: UUID
    organizer_id: UUID
    uid: str
    sequence: int
    starts_at: int
    ends_at: int
    recurs: bool
    answer: str
    invited_at: datetime


@dataclass(frozen=True, slots=True)
class Resource:
    id: UUID
    number: int
    ministry_id: UUID
    kind: ResourceKind
    name: str
    place: str
    seats: int | None
    created_at: datetime

    @property
    def address(self) -> str:
        """As an attendee of an event."""
        return f"urn:uuid:{self.id}"


@dataclass(frozen=True, slots=True)
class Departure:
    agent_id: UUID
    left_at: datetime | None
    meetings: str
    to_id: UUID | None
    settled_at: datetime | None


def resource_ids(addresses: list[str]) -> list[UUID]:
    """Of those addresses that can be a resource's, in the order in which their rows are locked."""
    found = set()
    for one in addresses:
        if one.casefold().startswith("urn:uuid:"):
            try:
                found.add(UUID(one[9:]))
            except ValueError:
                continue
    return sorted(found)
