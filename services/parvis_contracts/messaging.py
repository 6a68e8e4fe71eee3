"""What messaging says: which rooms and accounts there are, and that somebody has written; ids only, never a text."""

from typing import ClassVar, Literal
from uuid import UUID

from parvis_kit.events import Fact
from pydantic import Field

from parvis_contracts.leavers import LeaverAcknowledged

RoomKind = Literal["team", "direct"]
SubjectKind = Literal["none", "file", "meeting"]
Command = Literal["accept", "decline", "tentative"]
FailureReason = Literal["forbidden", "not_found", "too_large", "refused"]


class AccountReady(Fact):
    """An agent can sign in to the homeserver. `about` is the agent."""

    type: ClassVar = "messaging.account.ready.v1"
    agent_id: UUID


class RoomLinked(Fact):
    """A room on the homeserver is a team's, or one in which Parvis talks to one agent. `about` is the team or the agent."""

    type: ClassVar = "messaging.room.linked.v1"
    room_id: str = Field(max_length=255)
    kind: RoomKind
    team_id: UUID | None = None
    agent_id: UUID | None = None


class MessagePosted(Fact):
    """An agent has written in a linked room. `about` is the room."""

    type: ClassVar = "messaging.message.posted.v1"
    room_id: str = Field(max_length=255)
    message_id: str = Field(max_length=255)
    """The Matrix event_id."""
    agent_id: UUID
    ministry_id: UUID
    subject_kind: SubjectKind = "none"
    subject_id: UUID | None = None
    """What the thread is about: the shared file or folder, or the meeting."""


class CommandReceived(Fact):
    """An agent has answered in a thread by a command or a reaction, as `!oui`. `about` is what the thread is about."""

    type: ClassVar = "messaging.command.received.v1"
    command: Command
    agent_id: UUID
    meeting_id: UUID
    room_id: str = Field(max_length=255)
    message_id: str = Field(max_length=255)


class MessageDeliveryFailed(Fact):
    """A notice will not arrive: the homeserver refuses it for good. `about` is the agent or the team it was for."""

    type: ClassVar = "messaging.message.delivery_failed.v1"
    room_id: str | None = Field(default=None, max_length=255)
    agent_id: UUID | None = None
    team_id: UUID | None = None
    reason: FailureReason


class LeaverSettled(LeaverAcknowledged):
    """The Matrix sessions of an agent who left are ended and their rooms left."""

    type: ClassVar = "messaging.leaver.settled.v1"
