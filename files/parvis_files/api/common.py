"""What files' doors share: who asks, what they are configured with, and how things are shown."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from aiohttp import web
from parvis_kit.http import CLOCK, IdempotencyKey, Query, Reply, Request, etag
from parvis_kit.idempotency import Asked, Kept
from parvis_roster import AGENT
from pydantic import BaseModel, Field, TypeAdapter
from pydantic.dataclasses import dataclass as shown

from parvis_files import queries
from parvis_files.actions import Terms
from parvis_files.blobs import BlobStore
from parvis_files.rules import Asker, GranteeKind, Item, ItemKind, Seen, Share, Space, SpaceKind
from parvis_files.rules.quotas import Limits, Quota
from parvis_files.rules.rights import Role
from parvis_files.rules.uploads import ConflictRule


@dataclass(frozen=True, slots=True)
class Configured:
    """What the settings say, as doors and sweeps need it."""

    limits: Limits
    upload_bytes_max: int
    upload_life: timedelta
    versions_max: int

    def terms(self, conflict: ConflictRule | None = None, sender: Asker | None = None) -> Terms:
        return Terms(self.limits, self.versions_max, conflict, sender)


BLOBS: web.RequestKey[BlobStore] = web.RequestKey("BLOBS")
TERMS = web.RequestKey("TERMS", Configured)
MADE = Kept(TypeAdapter(UUID))
"""What an answer is made from again when its request comes again: the id."""
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description='At most 255 bytes; one that every system can keep: no path, no control character, none of < > : " | ? *.',
    ),
]
Conflicting = Annotated[ConflictRule, Field(description="When the name is taken: another name, a version of that file, or a refusal.")]


class Paging(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[UUID | None, Field(description="`next` of the page before.")] = None


@shown(slots=True)
class SpaceShown:
    id: UUID
    kind: SpaceKind
    name: str
    ministry_id: UUID
    owner_id: UUID | None
    root_id: UUID
    """The folder that holds all others; share it, and the space is shared."""
    quota: Quota
    change_id: int
    frozen_at: datetime | None
    created_at: datetime


@shown(slots=True)
class ItemShown:
    id: UUID
    kind: ItemKind
    name: str
    space_id: UUID
    parent_id: UUID | None
    """The folder that it lies in; null for the root of a space, and where you may not see that folder."""
    size_bytes: int | None
    media_type: str | None
    version_id: UUID | None
    restricted: bool
    revision: int
    change_id: int
    created_at: datetime
    created_by: UUID | None
    modified_at: datetime
    modified_by: UUID | None
    trashed_at: datetime | None
    actions: list[str]
    """What you may do with it."""


@shown(slots=True)
class ShareShown:
    id: UUID
    item_id: UUID
    grantee_kind: GranteeKind
    grantee_id: UUID
    role: Role
    created_at: datetime
    created_by: UUID


def asker_of(request: Request) -> Asker:
    agent = request[AGENT]
    return Asker(agent.id, agent.ministry_id, agent.roles)


def asked(request: Request, key: IdempotencyKey, act: str, body: BaseModel) -> Asked:
    return Asked(request[AGENT].id, key, act, body, request[CLOCK]())


def show_space(request: Request, one: Space) -> SpaceShown:
    return SpaceShown(
        one.id, one.kind, one.name, one.ministry_id, one.owner_id, one.root_id, queries.quota_of(one, request[TERMS].limits),
        one.change_id, one.frozen_at, one.created_at,
    )  # fmt: skip


def show_item(one: Item, actions: frozenset[str], *, sees_parent: bool) -> ItemShown:
    parent_id = one.parent_id if sees_parent else None
    return ItemShown(
        one.id, one.kind, one.name, one.space_id, parent_id, one.size_bytes, one.media_type, one.version_id, one.restricted,
        one.revision, one.change_id, one.created_at, one.created_by, one.modified_at, one.modified_by, one.trashed_at, sorted(actions),
    )  # fmt: skip


def show(seen: Seen, status: int | None = None, **headers: str) -> Reply[ItemShown]:
    return Reply(show_item(seen.item, seen.actions, sees_parent=seen.sees_parent), {"ETag": etag(seen.item.revision), **headers}, status)


def show_share(one: Share) -> ShareShown:
    return ShareShown(one.id, one.item_id, one.grantee_kind, one.grantee_id, one.role, one.created_at, one.created_by)
