"""What files knows without a database: spaces, items, versions, shares, and who may do what."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from parvis_kit.problems import Conflict

from parvis_files.rules.rights import Action, Role

SpaceKind = Literal["personal", "shared"]
ItemKind = Literal["folder", "file"]
GranteeKind = Literal["agent", "team"]
DEPTH_MAX = 64
"""Folders in folders: what clients can still show, and what each question about rights climbs at the most."""
SHARES_MAX = 200
"""On one item; whoever needs more makes a team."""
VERSIONS_MAX = 100
"""Of a file: the oldest goes for good when one more comes."""
PURGE_PIECE = 500
"""Items of one transaction."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as rights go."""

    id: UUID
    ministry_id: UUID
    roles: frozenset[str] = frozenset()


@dataclass(slots=True)
class Space:
    id: UUID
    kind: SpaceKind
    ministry_id: UUID
    owner_id: UUID | None
    name: str
    root_id: UUID
    quota_bytes: int | None
    """None: as the settings say for its kind."""
    used_bytes: int
    reserved_bytes: int
    threshold: int
    change_id: int
    frozen_at: datetime | None
    """Its owner has left: nothing in it changes any more."""
    created_at: datetime


@dataclass(slots=True)
class Item:
    id: UUID
    space_id: UUID
    parent_id: UUID | None
    """None for the root of a space."""
    is_file: bool
    name: str
    restricted: bool
    """What was shared above it does not reach it."""
    version_id: UUID | None
    size_bytes: int | None
    media_type: str | None
    revision: int
    change_id: int
    created_at: datetime
    created_by: UUID | None
    modified_at: datetime
    modified_by: UUID | None
    trashed_at: datetime | None
    trashed_by: UUID | None

    @property
    def kind(self) -> ItemKind:
        return "file" if self.is_file else "folder"


@dataclass(frozen=True, slots=True)
class Seen:
    """An item as somebody may see it."""

    item: Item
    space: Space
    in_trash: bool
    """Itself, or a folder above it."""
    depth: int
    """How many folders lie above it."""
    actions: frozenset[Action]
    sees_parent: bool
    """Whether the folder that it lies in may be seen too: not that of an item which alone was shared."""


@dataclass(slots=True)
class Entry:
    """A line of a list."""

    id: UUID
    kind: ItemKind
    name: str
    size_bytes: int | None
    media_type: str | None
    restricted: bool
    revision: int
    change_id: int
    modified_at: datetime


@dataclass(slots=True)
class Version:
    id: UUID
    number: int
    size_bytes: int
    sha256: str | None
    media_type: str
    stored_at: datetime
    stored_by: UUID


@dataclass(slots=True)
class Share:
    id: UUID
    item_id: UUID
    grantee_kind: GranteeKind
    grantee_id: UUID
    role: Role
    created_at: datetime
    created_by: UUID


def check_thawed(space: Space) -> None:
    """Raises Conflict."""
    if space.frozen_at is not None:
        raise Conflict("This space is frozen, since its owner has left: what is in it can be read, and not changed.")
