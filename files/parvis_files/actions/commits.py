"""Uploads end: what was received becomes a version that can be read, in one transaction, or its place is given back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from parvis_contracts.files import FileStored, UploadReason, UploadRejected
from parvis_kit.db import Connection, Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict

from parvis_files.actions.common import free_name, record, settled
from parvis_files.actions.trash import remove_versions
from parvis_files.rules import Asker, Item, Seen, Space, Version
from parvis_files.rules.quotas import Limits
from parvis_files.rules.rights import Action
from parvis_files.rules.uploads import OPEN, ConflictRule, InTrash, Upload
from parvis_files.store import access, items, spaces, uploads, versions


@dataclass(frozen=True, slots=True)
class Terms:
    """What a commit has to keep to."""

    limits: Limits
    versions_max: int
    conflict: ConflictRule | None = None
    """Decided anew, since the name was taken meanwhile."""
    sender: Asker | None = None
    """When they are there to be told that the name was taken, or the place trashed; nobody is, when the clock commits."""


async def receive(tx: Tx, upload: Upload, size_bytes: int, terms: Terms, *, now: datetime) -> Upload:
    """The bytes are there: a file, or a place in the queue of what must be read first. The row is locked."""
    if upload.state != "uploading":
        return upload
    if size_bytes != upload.size_bytes:
        return await reject(tx, upload, "length", now=now)
    if upload.must_be_read:
        if terms.sender is not None:
            check_no_trash(await place_of(tx, upload, terms.sender), upload)
        return await uploads.change_upload(tx, upload, now, state="received", deadline=now)
    return await commit(tx, upload, terms, now=now)


async def commit(tx: Tx, upload: Upload, terms: Terms, *, now: datetime) -> Upload:
    """The version, the head of its file, the quota, the fact. The row is locked; done twice, it is done once.

    Raises Conflict when the name was taken meanwhile, InTrash when the place was trashed, and somebody is there to decide.
    """
    if upload.state not in OPEN:
        return upload
    size = upload.size_bytes
    space = await spaces.settle(tx, upload.space_id, used=size, reserved=-size, is_change=True)
    target = await _target(tx, upload, terms)
    if target is None:
        await spaces.settle(tx, space.id, used=-size, reserved=size)
        return await reject(tx, upload, "gone", now=now)
    version = Version(new_id(), 1, size, upload.sha256, upload.media_type, now, upload.agent_id)
    if isinstance(target, Item):
        file_id = target.id
        version.number = await versions.last_number(tx, file_id) + 1
        head = {"version_id": version.id, "size_bytes": size, "media_type": upload.media_type}
        await items.change_item(tx, target, space.change_id, modified_at=now, modified_by=upload.agent_id, **head)
    else:
        file_id = new_id()
        made = Item(
            file_id, space.id, upload.parent_id, True, target, False, version.id, size, upload.media_type, 1, space.change_id, now,
            upload.agent_id, now, upload.agent_id, None, None,
        )  # fmt: skip
        await items.add_item(tx, made)
    await versions.add_version(tx, file_id, version, upload.blob_key)
    done = await uploads.mark_committed(tx, upload, file_id, version.id, now)
    _say_stored(tx, done, space, now)
    surplus = await _thin(tx, file_id, version, space, terms, now) if version.number > terms.versions_max else 0
    await record(tx, upload.agent_id, "file.store", file_id, space, now)
    space.used_bytes -= surplus
    await settled(tx, space, terms.limits, now)
    await spaces.settle_of_ministry(tx, space.ministry_id, used=size - surplus, reserved=-size)
    return done


async def place_of(conn: Connection, upload: Upload, sender: Asker | None) -> Seen | None:
    """Where it goes, as far as its sender may still write there by what is known of them now; None when not, or when it is gone.

    `sender`: as the door has just found them; None when nobody asks.
    """
    sender = sender or await access.at_work(conn, upload.agent_id, upload.ministry_id)
    need: Action = "create" if upload.file_id is None else "write"
    seen = None if sender is None else await access.see(conn, sender, upload.file_id or upload.parent_id)
    return seen if seen is not None and need in seen.actions and seen.space.frozen_at is None else None


def check_no_trash(seen: Seen | None, upload: Upload) -> None:
    """Raises InTrash, for somebody who can have it restored."""
    if seen is not None and seen.in_trash:
        what = "file" if upload.file_id else "folder"
        raise InTrash(
            f"The {what} that this was for is in the trash: have it restored by {upload.deadline.isoformat(timespec='seconds')} "
            "and complete this then, or abort it and send it elsewhere."
        )


async def _target(tx: Tx, upload: Upload, terms: Terms) -> Item | str | None:
    """The file that gets a version, or the name of a new one; None when its sender may not any more, or its place is gone or trashed.

    Raises Conflict, InTrash.
    """
    conflict = terms.conflict or upload.conflict
    seen = await place_of(tx, upload, terms.sender)
    if terms.sender is not None:
        check_no_trash(seen, upload)
    if seen is None or seen.in_trash:
        return None
    if upload.file_id is not None:
        return seen.item
    if "see" not in seen.actions or conflict == "rename":
        return await free_name(tx, upload.parent_id, upload.name, upload.id.hex[-8:])
    taken = await items.find_named(tx, upload.parent_id, upload.name)
    if taken is None:
        return upload.name
    need: Action = "write"
    if conflict == "version" and taken.is_file and need in seen.actions:
        return taken
    if terms.sender is not None:
        raise Conflict(f"There is a {upload.name} here by now: complete it with `rename` or `version`, or abort it.")
    return await free_name(tx, upload.parent_id, upload.name, upload.id.hex[-8:])


def _say_stored(tx: Tx, done: Upload, space: Space, now: datetime) -> None:
    if done.file_id is None or done.version_id is None:
        raise AssertionError("a committed upload names its file and its version")
    fact = FileStored(
        at=now, about=str(done.file_id), file_id=done.file_id, version_id=done.version_id, space_id=space.id, space_kind=space.kind,
        ministry_id=space.ministry_id, owner_id=space.owner_id, stored_by=done.agent_id, size_bytes=done.size_bytes,
        media_type=done.media_type,
    )  # fmt: skip
    publish(tx, fact)


async def _thin(tx: Tx, file_id: UUID, newest: Version, space: Space, terms: Terms, now: datetime) -> int:
    """The oldest versions go when there are too many; how many bytes that gives back."""
    surplus = await versions.beyond(tx, file_id, terms.versions_max, newest.id)
    freed = sum(one.size_bytes for one in surplus)
    if surplus:
        await remove_versions(tx, space, [(file_id, one) for one in surplus], now)
        await spaces.settle(tx, space.id, used=-freed)
    return freed


async def reject(tx: Tx, upload: Upload, reason: UploadReason, *, now: datetime) -> Upload:
    """What came is not what was declared, or has no place to lie in any more. The row is locked."""
    done = await release(tx, upload, "rejected", now=now, reason=reason)
    publish(
        tx,
        UploadRejected(
            at=now, about=str(upload.id), upload_id=upload.id, space_id=upload.space_id, agent_id=upload.agent_id, reason=reason
        ),
    )
    return done


async def release(
    tx: Tx, upload: Upload, state: Literal["rejected", "expired", "aborted"], *, now: datetime, reason: UploadReason | None = None
) -> Upload:
    """It comes to its end without a file, and its place is given back; what is in the store is an orphan. The row is locked."""
    if upload.state not in OPEN:
        return upload
    done = await uploads.change_upload(tx, upload, now, state=state, reason=reason or "")
    space = await spaces.settle(tx, upload.space_id, reserved=-upload.size_bytes)
    await versions.mark_orphans(tx, [upload.blob_key], now)
    await record(tx, upload.agent_id, f"upload.{state}", upload.id, space, now)
    await spaces.settle_of_ministry(tx, space.ministry_id, reserved=-upload.size_bytes)
    return done
