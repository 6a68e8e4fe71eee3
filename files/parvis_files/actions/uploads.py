"""Uploads begin: what is coming is declared and its place reserved, before the store is told and any address is given out."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.failpoints import reach
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict

from parvis_files import queries, rules
from parvis_files.actions.commits import check_no_trash, place_of, release
from parvis_files.actions.common import unless_away
from parvis_files.blobs import Away, BlobStore, Part, PartsMissing, Signed, new_key
from parvis_files.rules import Asker, Seen
from parvis_files.rules.names import checked_media_type, checked_name
from parvis_files.rules.quotas import Limits, QuotaExceeded
from parvis_files.rules.uploads import (
    INTENT_LIFE,
    URL_LIFE,
    Declared,
    State,
    Upload,
    check_declared,
    check_going_on,
    part_bytes_of,
    size_of_part,
)
from parvis_files.store import items, spaces, uploads


@dataclass(frozen=True, slots=True)
class Opened:
    """An upload, and where its bytes go when they go in one PUT."""

    upload: Upload
    put: Signed | None


async def declare_upload(
    tx: Tx, asker: Asker, folder_id: UUID, declared: Declared, limits: Limits, *, bytes_max: int, life: timedelta, now: datetime
) -> Upload:
    """Into a folder. Raises NotFound, Forbidden, Invalid, Conflict, QuotaExceeded."""
    check_declared(declared, bytes_max)
    name, media_type = checked_name(declared.name), checked_media_type(declared.media_type)
    seen = await queries.folder_for(tx, asker, folder_id, "create")
    rules.check_thawed(seen.space)
    conflict = declared.conflict if "see" in seen.actions else "rename"  # or a depositor would learn what is there
    if conflict != "rename" and (taken := await items.find_named(tx, folder_id, name)) is not None:
        if conflict == "fail":
            raise Conflict(f"There is a {name} here already: ask for `rename` or `version`, or choose another name.")
        if not taken.is_file:
            raise Conflict(f"{name} is a folder here: choose another name.")
        await queries.file_for(tx, asker, taken.id, "write")
    clean = Declared(name, declared.size_bytes, declared.sha256, media_type, conflict)
    return await _reserve(tx, asker, seen, None, clean, limits, life, now)


async def declare_version(
    tx: Tx, asker: Asker, file_id: UUID, declared: Declared, limits: Limits, *, bytes_max: int, life: timedelta, now: datetime
) -> Upload:
    """Of a file, wherever it lies by then. Raises NotFound, Forbidden, Invalid, Conflict, QuotaExceeded."""
    check_declared(declared, bytes_max)
    seen = await queries.file_for(tx, asker, file_id, "write")
    rules.check_thawed(seen.space)
    clean = Declared(seen.item.name, declared.size_bytes, declared.sha256, checked_media_type(declared.media_type), "version")
    return await _reserve(tx, asker, seen, file_id, clean, limits, life, now)


async def _reserve(
    tx: Tx, asker: Asker, seen: Seen, file_id: UUID | None, declared: Declared, limits: Limits, life: timedelta, now: datetime
) -> Upload:
    size, space = declared.size_bytes, seen.space
    if not await spaces.reserve(tx, space.id, size, limits.of(space.kind)):
        quota = queries.quota_of(space, limits)
        free = max(0, quota.limit_bytes - quota.used_bytes - quota.reserved_bytes)
        raise QuotaExceeded(f"This space has room for {free} bytes more of its {quota.limit_bytes}, and {size} were asked for.")
    part_bytes = part_bytes_of(size)
    state: State = "uploading" if part_bytes is None else "intent"  # of one PUT the store need not be told
    deadline = now + (INTENT_LIFE if part_bytes else min(life, URL_LIFE))
    parent_id = (seen.item.parent_id if file_id else seen.item.id) or space.root_id
    made = Upload(
        new_id(), space.id, parent_id, file_id, None, asker.id, asker.ministry_id, state, "", deadline, declared.name, size,
        declared.sha256, declared.media_type, declared.conflict, new_key(), None, part_bytes, now, now,
    )  # fmt: skip
    await uploads.add_upload(tx, made)
    if not await spaces.reserve_of_ministry(tx, space.ministry_id, size, limits.ministry_bytes):
        raise QuotaExceeded("The ministry has no room left: its administrators see what it holds.")
    return made


async def open_upload(database: Database, blobs: BlobStore, upload: Upload, *, life: timedelta, clock: Clock) -> Opened:
    """Give out the address of what has just been declared, and its row committed; tell the store first of what comes in parts."""
    await reach("files.declared")
    if upload.state != "intent":
        return _addressed(blobs, upload, life, clock)
    with unless_away():
        reference = await blobs.begin_multipart(upload.blob_key)
    await reach("files.begun")
    async with database.transaction() as tx:
        now = clock()
        opened = await uploads.mark_uploading(tx, upload.id, reference, now + life, now)
    if opened is None:  # a twin was quicker, or the clock
        with suppress(Away):
            await blobs.abort_multipart(upload.blob_key, reference)
        async with database.read() as conn:
            opened = await uploads.find_upload(conn, upload.id)
    check_going_on(opened or upload)
    return Opened(opened or upload, None)


async def open_again(database: Database, blobs: BlobStore, asker: Asker, upload_id: UUID, *, life: timedelta, clock: Clock) -> Opened:
    """Asked again, it gives out another address, and time to use it. Raises NotFound, Conflict, Away."""
    async with database.transaction() as tx:
        found = await queries.upload_for(tx, asker, upload_id, lock=True)
        check_going_on(found)
        if found.state == "uploading":
            await _check_may_go_on(tx, found, asker)
            await uploads.keep(tx, upload_id, max(found.deadline, clock() + min(life, URL_LIFE)))
    return await open_upload(database, blobs, found, life=life, clock=clock)


async def _check_may_go_on(tx: Tx, upload: Upload, asker: Asker) -> None:
    """Nobody gets more time, or addresses, for what could not be committed. Raises Conflict, InTrash."""
    seen = await place_of(tx, upload, asker)
    check_no_trash(seen, upload)
    if seen is None:
        raise Conflict("You may not write there any more, or it is gone: abort this upload, and send it to where you may.")


def _addressed(blobs: BlobStore, upload: Upload, life: timedelta, clock: Clock) -> Opened:
    if upload.is_multipart or upload.state != "uploading":
        return Opened(upload, None)
    size, digest = upload.size_bytes, upload.sha256 or ""
    return Opened(upload, blobs.sign_put(upload.blob_key, size_bytes=size, sha256=digest, now=clock(), life=min(life, URL_LIFE)))


@dataclass(frozen=True, slots=True)
class Parts:
    """Addresses for those that were asked for, and what the store has already."""

    signed: list[tuple[int, int, Signed]]
    """Number, size, where it goes."""
    stored: list[Part]


async def sign_parts(
    database: Database, blobs: BlobStore, asker: Asker, upload_id: UUID, asked: list[tuple[int, str]], *, life: timedelta, clock: Clock
) -> Parts:
    """Each with the checksum that the store will insist on. Raises NotFound, Conflict, Invalid, Away."""
    async with database.transaction() as tx:
        found = await queries.upload_for(tx, asker, upload_id)
        check_going_on(found)
        sizes = [size_of_part(found, number) for number, _ in asked]
        if found.state != "uploading" or found.reference is None:
            raise Conflict("No part can be sent: the upload is complete, or has no address yet.")
        await _check_may_go_on(tx, found, asker)
        await uploads.keep(tx, upload_id, clock() + life)
    try:
        with unless_away():
            stored = await blobs.parts(found.blob_key, found.reference)
    except PartsMissing:
        raise Conflict("The parts are one object already: complete the upload.") from None
    signed = [
        (
            number,
            size,
            blobs.sign_part(
                found.blob_key, found.reference, number=number, size_bytes=size, crc64nvme=checksum, now=clock(), life=min(life, URL_LIFE)
            ),
        )
        for (number, checksum), size in zip(asked, sizes, strict=True)
    ]
    return Parts(signed, list(stored))


async def abort_upload(database: Database, blobs: BlobStore, asker: Asker, upload_id: UUID, *, clock: Clock) -> None:
    """Its place is given back at once; done twice, it is done once. Raises NotFound, Conflict when it is a file already."""
    async with database.transaction() as tx:
        found = await queries.upload_for(tx, asker, upload_id, lock=True)
        if found.state == "committed":
            raise Conflict("This upload is a file already: put it into the trash.")
        await release(tx, found, "aborted", now=clock())
    if found.reference is not None:
        with suppress(Away):  # what is left of it is found by the sweep
            await blobs.abort_multipart(found.blob_key, found.reference)
