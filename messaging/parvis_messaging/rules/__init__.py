"""Nouns, checks and arithmetic; pure, so time comes in as an argument."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

JsonObject = dict[str, Any]

BOT = "parvis"
"""The localpart of the one who speaks for Parvis."""
LINK = "fr.parvis.link"
"""The type of the state event that says, in a room, what it is linked to."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who asks the homeserver: an account on a device, held up by an app password."""

    user_id: str
    device_id: str
    agent_id: UUID | None
    credential_id: UUID | None
    ministry_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What was said or changed in a room."""

    stream: int
    event_id: str
    room_id: str
    type: str
    state_key: str | None
    sender: str
    content: JsonObject
    at_ms: int
    device_id: str | None
    txn_id: str | None
    relates_to: str | None
    rel_type: str | None
    redacts: str | None
    redacted_because: str | None


def milliseconds(moment: datetime) -> int:
    """As Matrix counts."""
    return int(moment.timestamp() * 1000)
