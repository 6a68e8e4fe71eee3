"""What calendar says: who meets whom and when; never a title, a place or an address, but for the reason of a failed delivery."""

from typing import ClassVar, Literal
from uuid import UUID

from parvis_kit.events import Fact
from pydantic import AwareDatetime, Field

from parvis_contracts.leavers import LeaverAcknowledged

Answer = Literal["accepted", "declined", "tentative"]
Channel = Literal["caldav", "api", "messaging"]
DeliveryReason = Literal["unknown", "left", "refused", "unreachable"]


class CalendarCreated(Fact):
    """An agent has another agenda. `about` is the agenda."""

    type: ClassVar = "calendar.calendar.created.v1"
    calendar_id: UUID
    owner_id: UUID
    ministry_id: UUID


class EventScheduled(Fact):
    """An event is in an agenda, whose owner organizes it or has it for themselves. `about` is the event."""

    type: ClassVar = "calendar.event.scheduled.v1"
    event_id: UUID
    calendar_id: UUID
    owner_id: UUID
    ministry_id: UUID
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    """Of the first occurrence; an all-day event's are midnights of the agenda's zone."""
    recurs: bool = False
    attendees: int = Field(default=0, ge=0)
    """How many others are invited: above 0, it is a meeting."""
    continues: UUID | None = None
    """The event that this one goes on with: a meeting of an agent who left, handed over. It was counted then."""


class EventRescheduled(Fact):
    """An event has other times than before. `about` is the event."""

    type: ClassVar = "calendar.event.rescheduled.v1"
    event_id: UUID
    calendar_id: UUID
    owner_id: UUID
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    recurs: bool = False


class EventCancelled(Fact):
    """An event does not take place: it was cancelled or deleted. `about` is the event."""

    type: ClassVar = "calendar.event.cancelled.v1"
    event_id: UUID
    calendar_id: UUID
    owner_id: UUID


class MeetingInvited(Fact):
    """An agent is invited to a meeting, or to its new times: another `sequence`. `about` is the meeting, the organizer's event."""

    type: ClassVar = "calendar.meeting.invited.v1"
    meeting_id: UUID
    organizer_id: UUID
    attendee_id: UUID
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    recurs: bool = False
    sequence: int = Field(default=0, ge=0)


class MeetingWithdrawn(Fact):
    """An agent is invited no more: the meeting is cancelled, or goes on without them. `about` is the meeting."""

    type: ClassVar = "calendar.meeting.withdrawn.v1"
    meeting_id: UUID
    organizer_id: UUID
    attendee_id: UUID
    sequence: int = Field(default=0, ge=0)


class MeetingAnswered(Fact):
    """An invited agent has said whether they come. `about` is the meeting."""

    type: ClassVar = "calendar.meeting.answered.v1"
    meeting_id: UUID
    organizer_id: UUID
    attendee_id: UUID
    answer: Answer
    channel: Channel


class MeetingDeliveryFailed(Fact):
    """Somebody invited could not be told. `about` is the meeting."""

    type: ClassVar = "calendar.meeting.delivery_failed.v1"
    meeting_id: UUID
    organizer_id: UUID
    reason: DeliveryReason


class ResourceBooked(Fact):
    """A room or equipment is taken for a meeting. `about` is the resource."""

    type: ClassVar = "calendar.resource.booked.v1"
    resource_id: UUID
    event_id: UUID
    booked_by: UUID
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class ResourceReleased(Fact):
    """A room or equipment is free again of a meeting. `about` is the resource."""

    type: ClassVar = "calendar.resource.released.v1"
    resource_id: UUID
    event_id: UUID


class LeaverSettled(LeaverAcknowledged):
    """The agendas of an agent who left are frozen, their meetings handed over or cancelled."""

    type: ClassVar = "calendar.leaver.settled.v1"
