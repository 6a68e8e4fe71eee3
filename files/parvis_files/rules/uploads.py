"""An upload: what is declared, the states that it goes through, and until when each of them may last."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Literal
from uuid import UUID

from parvis_kit.problems import Conflict, Invalid

State = Literal["intent", "uploading", "received", "scanning", "committed", "rejected", "expired", "aborted"]
ConflictRule = Literal["rename", "version", "fail"]
OPEN: tuple[State, ...] = ("intent", "uploading", "received", "scanning")
"""The others are the end."""
MIB = 2**20
SINGLE_BYTES_MAX = 16 * MIB
"""Above it an upload is cut into parts, so that a lost connection costs one part."""
PART_BYTES = 8 * MIB
PARTS_MAX = 10_000
"""S3's own limit."""
PARTS_ASKED_MAX = 100
"""Signed at once: 800 MiB of a file."""
INTENT_LIFE = timedelta(minutes=1)
"""From the declaration until the store has been told: what is older was interrupted, and nobody holds an address for it."""
LEASE = timedelta(seconds=20)
"""How long whoever drives an upload keeps it from others without a sign of life."""
URL_LIFE = timedelta(hours=1)
"""Of a signed address for a PUT: 16 MiB by a bad line."""
DOWNLOAD_LIFE = timedelta(seconds=60)
RECEIPTS_KEPT = timedelta(days=30)
"""What has come to its end is shown to its sender for so long."""


class InTrash(Conflict):
    """The folder or file that it is for is in the trash: have that restored, or abort it and send it elsewhere."""

    code = "in-trash"


@dataclass(frozen=True, slots=True)
class Declared:
    """What somebody wants to store."""

    name: str
    size_bytes: int
    sha256: str | None
    media_type: str
    conflict: ConflictRule


@dataclass(slots=True)
class Upload:
    id: UUID
    space_id: UUID
    parent_id: UUID
    file_id: UUID | None
    """The file that gets a version: asked for, or made by the commit."""
    version_id: UUID | None
    agent_id: UUID
    ministry_id: UUID
    """The agent's, when it was declared: what they may do is asked of who they are at the end."""
    state: State
    reason: str
    deadline: datetime
    name: str
    size_bytes: int
    sha256: str | None
    media_type: str
    conflict: ConflictRule
    blob_key: str
    reference: str | None
    """What the store calls its multipart upload."""
    part_bytes: int | None
    """Of each part but the last; none when it goes in one PUT."""
    created_at: datetime
    changed_at: datetime

    @property
    def is_multipart(self) -> bool:
        return self.part_bytes is not None

    @property
    def must_be_read(self) -> bool:
        """What the store could not check by itself: the digest of a whole that came in parts."""
        return self.is_multipart and self.sha256 is not None


def check_declared(declared: Declared, bytes_max: int) -> None:
    """Raises Invalid."""
    if declared.size_bytes > bytes_max:
        raise Invalid(f"A file has at most {bytes_max} bytes here: this one would have {declared.size_bytes}.")
    if declared.size_bytes <= SINGLE_BYTES_MAX and declared.sha256 is None:
        raise Invalid(f"Declare `sha256`: up to {SINGLE_BYTES_MAX} bytes the store checks it as they arrive.")


def part_bytes_of(size_bytes: int) -> int | None:
    """Of each part; None for what goes in one PUT."""
    if size_bytes <= SINGLE_BYTES_MAX:
        return None
    return max(PART_BYTES, ceil(size_bytes / PARTS_MAX / MIB) * MIB)


def parts_of(size_bytes: int, part_bytes: int) -> int:
    return ceil(size_bytes / part_bytes)


def size_of_part(upload: Upload, number: int) -> int:
    """Raises Invalid for a part that there is not."""
    if upload.part_bytes is None:
        raise Invalid("This upload has no parts: it goes in one PUT.")
    count = parts_of(upload.size_bytes, upload.part_bytes)
    if not 1 <= number <= count:
        raise Invalid(f"This upload has the parts 1 to {count}: {number} is none of them.")
    return upload.part_bytes if number < count else upload.size_bytes - upload.part_bytes * (count - 1)


def check_going_on(upload: Upload) -> None:
    """Raises Conflict for an upload that has come to its end."""
    if upload.state not in OPEN and upload.state != "committed":
        why = f" ({upload.reason})" if upload.reason else ""
        raise Conflict(f"This upload was {upload.state}{why}: declare it again.")
