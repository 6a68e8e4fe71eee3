"""Uploads go on: when their sender says that all is sent, and when the clock finds one that lies still."""

import asyncio
import logging
from hashlib import sha256
from uuid import UUID

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.failpoints import reach
from parvis_kit.problems import Conflict, Unavailable

from parvis_files import queries
from parvis_files.actions.commits import Terms, commit, receive, reject, release
from parvis_files.actions.common import unless_away
from parvis_files.blobs import Away, Blob, BlobStore, Different, Missing, PartsMissing
from parvis_files.rules import Asker
from parvis_files.rules.uploads import LEASE, RECEIPTS_KEPT, Upload, check_going_on
from parvis_files.store import uploads

DRIVEN_MAX = 4
"""Read at once in one process: more would only share the same line to the store."""
KEEP_BYTES = 64 * 2**20
"""Read between two signs of life: seconds, well below the lease."""

log = logging.getLogger(__name__)


async def complete_upload(database: Database, blobs: BlobStore, asker: Asker, upload_id: UUID, terms: Terms, *, clock: Clock) -> Upload:
    """All is sent: a file, or on its way to be one; said twice, it is answered twice the same.

    Raises NotFound, Conflict when something is missing, the upload was given up, or its name is taken.
    """
    async with database.read() as conn:
        found = await queries.upload_for(conn, asker, upload_id)
    check_going_on(found)
    if found.state == "intent":
        raise Conflict("Nothing can have been sent: declare it again with the same Idempotency-Key for its address.")
    if found.state != "uploading":
        return found
    with unless_away():
        blob = await _received(blobs, found)
    if blob is None:
        raise Conflict("The store has not got it: send all of it to the address that was given, then complete it.")
    await reach("files.received")
    async with database.transaction() as tx:
        locked = await queries.upload_for(tx, asker, upload_id, lock=True)
        done = await receive(tx, locked, blob.size_bytes, terms, now=clock())
        await reach("files.committing")
    check_going_on(done)
    return done


async def _received(blobs: BlobStore, upload: Upload) -> Blob | None:
    """What the store has under the key, put together first if it came in parts. Raises Conflict when parts are missing."""
    found = await blobs.look(upload.blob_key)
    if found is not None or upload.reference is None:
        return found
    try:
        parts = await blobs.parts(upload.blob_key, upload.reference)
        if sum(part.size_bytes for part in parts) != upload.size_bytes:
            raise PartsMissing
        await blobs.complete_multipart(upload.blob_key, upload.reference, parts)
    except (PartsMissing, Different):  # Different: a part was sent anew meanwhile
        if (by_twin := await blobs.look(upload.blob_key)) is not None:
            return by_twin
        raise Conflict("Parts are missing: ask for the addresses of parts again, the answer lists what is stored.") from None
    await reach("files.put_together")
    return await blobs.look(upload.blob_key)


async def drive_uploads(database: Database, blobs: BlobStore, terms: Terms, clock: Clock) -> None:
    """Every upload whose time is over goes on, or comes to its end."""
    turns = asyncio.Semaphore(DRIVEN_MAX)

    async def drive(one: Upload) -> None:
        async with turns:
            try:
                await drive_on(database, blobs, one, terms, clock)
            except (Away, Unavailable) as error:
                log.warning("upload %s waits for its next turn: %s", one.id, error or type(error).__name__)

    while True:
        async with database.read() as conn:
            if not await uploads.is_any_due(conn, clock()):
                return
        async with database.transaction() as tx:
            now = clock()
            claimed = await uploads.claim_due(tx, now, now + LEASE)
        if not claimed:
            return
        failed = [one for one in await asyncio.gather(*map(drive, claimed), return_exceptions=True) if isinstance(one, Exception)]
        if failed:
            raise ExceptionGroup("uploads that could not be driven on; the others were", failed)


async def drive_on(database: Database, blobs: BlobStore, claimed: Upload, terms: Terms, clock: Clock) -> None:
    """One whose lease is ours; what happened to it meanwhile is seen under its lock."""
    match claimed.state:
        case "intent":
            await _give_up(database, claimed, clock)
        case "uploading":
            blob = await blobs.look(claimed.blob_key)
            if blob is not None:
                async with database.transaction() as tx:
                    if (found := await uploads.find_upload(tx, claimed.id, lock=True)) is not None:
                        await receive(tx, found, blob.size_bytes, terms, now=clock())
                return
            await _give_up(database, claimed, clock)
            if claimed.reference is not None:
                await blobs.abort_multipart(claimed.blob_key, claimed.reference)
        case "received" | "scanning":
            await _scan(database, blobs, claimed, terms, clock)


async def _give_up(database: Database, claimed: Upload, clock: Clock) -> None:
    async with database.transaction() as tx:
        found = await uploads.find_upload(tx, claimed.id, lock=True)
        if found is not None and found.state == claimed.state and found.deadline == claimed.deadline:  # no sign of life meanwhile
            await release(tx, found, "expired", now=clock())


async def _scan(database: Database, blobs: BlobStore, claimed: Upload, terms: Terms, clock: Clock) -> None:
    """One pass over all bytes, then the commit or the refusal."""
    async with database.transaction() as tx:
        found = await uploads.find_upload(tx, claimed.id, lock=True)
        if found is None or found.state not in ("received", "scanning"):
            return
        await uploads.change_upload(tx, found, clock(), state="scanning", deadline=clock() + LEASE)
    await reach("files.scanning")
    try:
        digest = await _digest(database, blobs, claimed, clock)
    except Missing:
        digest = None
    async with database.transaction() as tx:
        found = await uploads.find_upload(tx, claimed.id, lock=True)
        if found is None or found.state != "scanning":
            return
        if digest is None:
            await reject(tx, found, "gone", now=clock())
        elif found.sha256 is not None and digest != found.sha256:
            await reject(tx, found, "checksum", now=clock())
        else:
            await commit(tx, found, terms, now=clock())


async def _digest(database: Database, blobs: BlobStore, upload: Upload, clock: Clock) -> str:
    """In pieces, in a thread: it keeps neither memory nor the loop busy. Raises Missing, Away."""
    seen, since = sha256(), 0
    async for chunk in blobs.read(upload.blob_key):
        await asyncio.to_thread(seen.update, chunk)
        since += len(chunk)
        if since >= KEEP_BYTES:
            since = 0
            async with database.transaction() as tx:
                await uploads.keep(tx, upload.id, clock() + LEASE)
    return seen.hexdigest()


async def forget_receipts(database: Database, clock: Clock) -> None:
    """Of uploads that came to their end long ago."""
    while True:
        async with database.transaction() as tx:
            if not await uploads.forget_done(tx, clock() - RECEIPTS_KEPT):
                return
