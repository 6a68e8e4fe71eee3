"""Homes, agendas and what lies in them, as far as rules go; who may do what; what may be set."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from parvis_kit.problems import Invalid

AgendaKind = Literal["agenda", "inbox", "outbox"]
COMPONENTS = ("VEVENT", "VTODO", "VJOURNAL")
AGENDAS_MAX = 200
"""In a home: what a phone's list of calendars can still show."""
OBJECTS_MAX = 100_000
"""In an agenda: fifty years of eight a day."""
OBJECT_BYTES_MAX = 2**20
"""Of one object, as it is announced in max-resource-size."""
PROPERTIES_MAX = 60
PROPERTY_BYTES_MAX = 16 * 1024
"""Dead properties of one collection: a client's own notes, of which iOS leaves about ten."""
TEXT_CHARACTERS_MAX = 4096
DEFAULT_ZONE = "Europe/Paris"
COLOR = re.compile(r"#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as rights go."""

    id: UUID
    ministry_id: UUID
    roles: frozenset[str] = frozenset()


@dataclass(slots=True)
class Home:
    """All agendas of one agent (or of one resource). Its sequence counts every change in it."""

    owner_id: UUID
    ministry_id: UUID
    kind: str
    seq: int
    epoch: int
    """Another one after a restore, so that what clients remember of the time before is refused and not believed."""
    frozen_at: datetime | None
    """Its owner has left: nothing in it changes any more."""
    properties: dict[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delegate:
    """Who acts in a colleague's agenda."""

    id: UUID
    email: str
    may_schedule: bool
    """Invite and answer in the owner's name, too."""


@dataclass(slots=True)
class Agenda:
    id: UUID
    owner_id: UUID
    kind: AgendaKind
    name: str
    """The last part of its path, decoded."""
    display_name: str
    description: str
    color: str
    position: int | None
    zone: str
    """IANA's name of the zone in which floating times and days are understood."""
    timezone: str | None
    """The VTIMEZONE that a client has set, as it was set."""
    components: str
    """Which it takes, with commas between them."""
    is_transparent: bool
    """Nothing in it makes its owner busy."""
    is_default: bool
    """Where invitations arrive."""
    properties: dict[str, str]
    """Dead properties: name → the element as it was set."""
    seq: int
    """Of the last change in it; what getctag shows."""
    forgotten_seq: int
    """Deletions up to here are not remembered any more: an older token is refused."""
    objects: int
    """How many there are in it."""
    created_at: datetime
    epoch: int = 0
    """Its home's."""
    frozen_at: datetime | None = None
    """Its home's."""
    ministry_id: UUID = UUID(int=0)
    """Its home's."""
    delegate: Delegate | None = None
    """Who acts in it, when that is not its owner."""

    @property
    def takes(self) -> tuple[str, ...]:
        return tuple(self.components.split(","))

    def token(self, seq: int | None = None) -> str:
        """What a client keeps to ask later for what has changed since."""
        return f"urn:parvis:sync:{self.id}:{self.epoch}:{self.seq if seq is None else seq}"


@dataclass(slots=True)
class Listed:
    """A line of an agenda, without its octets."""

    id: UUID
    name: str
    etag: str
    size_bytes: int
    component: str
    schedule_tag: str | None
    seq: int
    created_at: datetime
    modified_at: datetime


@dataclass(slots=True)
class Stored(Listed):
    """An object with its octets, as they came."""

    uid: str
    octets: bytes

    def listed(self) -> Listed:
        """Without them."""
        return Listed(*[getattr(self, name) for name in Listed.__slots__])


@dataclass(frozen=True, slots=True)
class Change:
    """A line of what has changed; without an entry the name is gone."""

    name: str
    seq: int
    entry: Listed | None


@dataclass(frozen=True, slots=True)
class Person:
    """A principal as others see it."""

    id: UUID
    ministry_id: UUID
    email: str
    given_name: str
    family_name: str
    kind: str = "INDIVIDUAL"
    """CUTYPE of RFC 5545."""

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}".strip()


@dataclass(slots=True)
class NewAgenda:
    """What a client says of an agenda that it makes or changes; None leaves a thing as it is."""

    display_name: str | None = None
    description: str | None = None
    color: str | None = None
    position: int | None = None
    zone: str | None = None
    timezone: str | None = None
    components: tuple[str, ...] | None = None
    is_transparent: bool | None = None
    properties: dict[str, str | None] = field(default_factory=dict)
    """None forgets it."""

    def values(self) -> dict[str, Any]:
        """Columns to change, the dead properties aside."""
        told: dict[str, Any] = {
            "display_name": self.display_name, "description": self.description, "color": self.color, "position": self.position,
            "zone": self.zone, "timezone": self.timezone, "is_transparent": self.is_transparent,
            "components": ",".join(self.components) if self.components is not None else None,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}


def entity_tag(octets: bytes) -> str:
    """Strong: the same octets and no others have it."""
    return f'"{blake2b(octets, digest_size=16).hexdigest()}"'


def merged(properties: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    """Raises Invalid beyond the limits."""
    result = dict(properties)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    if len(result) > PROPERTIES_MAX or any(len(value) > PROPERTY_BYTES_MAX for value in result.values()):
        raise Invalid(f"At most {PROPERTIES_MAX} properties of {PROPERTY_BYTES_MAX} bytes are kept for you on one collection.")
    return result
