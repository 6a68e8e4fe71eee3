"""What files says: which bytes are durable, where they lie and who may read them; never a name but one, never a URL, never content."""

from typing import ClassVar, Literal
from uuid import UUID

from parvis_kit.events import Fact
from pydantic import Field

from parvis_contracts.leavers import LeaverAcknowledged

SpaceKind = Literal["personal", "shared"]
GranteeKind = Literal["agent", "team"]
ShareRole = Literal["reader", "editor", "manager", "depositor"]
UploadReason = Literal["length", "checksum", "infected", "unscannable", "too_large_to_scan", "scanner_away", "gone"]


class SpaceCreated(Fact):
    """There is a new space: an agent's own, or one that agents and teams share. `about` is the space."""

    type: ClassVar = "files.space.created.v1"
    space_id: UUID
    kind: SpaceKind
    ministry_id: UUID
    owner_id: UUID | None = None
    """The agent whose personal space it is; a shared space has none."""
    created_by: UUID | None = None
    """The agent who asked for it; none made a personal one."""


class FileStored(Fact):
    """A version of a file is durable and readable, and takes its size until FilePurged gives it back. `about` is the file."""

    type: ClassVar = "files.file.stored.v1"
    file_id: UUID
    version_id: UUID
    space_id: UUID
    space_kind: SpaceKind
    ministry_id: UUID
    """The ministry of the space when the version was stored."""
    owner_id: UUID | None = None
    """The agent whose personal space it is in."""
    stored_by: UUID
    size_bytes: int = Field(ge=0)
    media_type: str = Field(max_length=255)


class FilePurged(Fact):
    """A version of a file is gone for good and takes no bytes any more. `about` is the file, so it comes after its FileStored."""

    type: ClassVar = "files.file.purged.v1"
    file_id: UUID
    version_id: UUID
    space_id: UUID
    space_kind: SpaceKind
    ministry_id: UUID
    owner_id: UUID | None = None
    size_bytes: int = Field(ge=0)


class FileRenamed(Fact):
    """A file or folder has another name."""

    type: ClassVar = "files.file.renamed.v1"
    file_id: UUID
    space_id: UUID
    renamed_by: UUID


class FileMoved(Fact):
    """A file or folder lies in another folder of its space."""

    type: ClassVar = "files.file.moved.v1"
    file_id: UUID
    space_id: UUID
    from_folder_id: UUID
    to_folder_id: UUID
    moved_by: UUID


class FileTrashed(Fact):
    """A file or folder, with what is in it, is in the trash; its bytes are still taken."""

    type: ClassVar = "files.file.trashed.v1"
    file_id: UUID
    space_id: UUID
    trashed_by: UUID


class FileRestored(Fact):
    """A file or folder is back from the trash."""

    type: ClassVar = "files.file.restored.v1"
    file_id: UUID
    space_id: UUID
    restored_by: UUID


class FileShared(Fact):
    """An agent or a team may do more with a file or folder than before. `about` is the share."""

    type: ClassVar = "files.share.granted.v1"
    share_id: UUID
    file_id: UUID
    space_id: UUID
    grantee_kind: GranteeKind
    grantee_id: UUID
    role: ShareRole
    shared_by: UUID
    name: str = Field(max_length=255)
    """Of what is shared, for the notice to the grantee: the only name that a fact of files carries."""


class ShareRevoked(Fact):
    """A share is no more. `about` is the share."""

    type: ClassVar = "files.share.revoked.v1"
    share_id: UUID
    file_id: UUID
    space_id: UUID
    grantee_kind: GranteeKind
    grantee_id: UUID
    revoked_by: UUID | None = None
    """None when nobody asked: the space or the team is gone."""


class UploadRejected(Fact):
    """What was uploaded is not what was declared, or must not be kept. `about` is the upload."""

    type: ClassVar = "files.upload.rejected.v1"
    upload_id: UUID
    space_id: UUID
    agent_id: UUID
    reason: UploadReason


class QuotaThresholdCrossed(Fact):
    """A space has just taken more than this part of its quota. `about` is the space."""

    type: ClassVar = "files.space.quota_crossed.v1"
    space_id: UUID
    kind: SpaceKind
    ministry_id: UUID
    owner_id: UUID | None = None
    manager_ids: tuple[UUID, ...] = Field(default=(), max_length=50)
    """Agents who manage a shared space, the first fifty."""
    manager_team_ids: tuple[UUID, ...] = Field(default=(), max_length=50)
    """Teams that do."""
    percent: int = Field(ge=1, le=100)
    used_bytes: int = Field(ge=0)
    limit_bytes: int = Field(ge=0)


class LeaverSettled(LeaverAcknowledged):
    """What an agent who left had shared and stored is frozen, and waits for whoever it is handed to."""

    type: ClassVar = "files.leaver.settled.v1"
