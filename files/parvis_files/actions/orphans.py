"""Bytes and rows compared: what nothing refers to is marked, then deleted; what is missing is told."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from parvis_kit.background import one_by_one
from parvis_kit.clock import Clock
from parvis_kit.db import Database

from parvis_files.blobs import Away, Blob, BlobStore
from parvis_files.store import uploads, versions

PAGE = 500
"""Keys compared in one statement."""
FAILED_MAX = 3
"""Then the store is away rather than at odds with one object."""
NAMED_MAX = 20
"""Enough to see whose they are; what is missing by the thousand is a store that was not restored."""


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a walk through the store has found."""

    orphans: int
    """Marked now, or waiting to be deleted."""
    missing: int
    """Versions whose bytes are not there: somebody has to look at once."""


async def take_inventory(database: Database, blobs: BlobStore, grace: timedelta, clock: Clock) -> Inventory:
    """Both sides in order of their keys; what is younger than the grace may still be on its way to its row."""
    missing, after, page = 0, "", list[Blob]()
    async for blob in blobs.keys():
        page.append(blob)
        if len(page) == PAGE:
            missing += await _compare(database, page, after, page[-1].key, clock() - grace, clock())
            after, page = page[-1].key, []
    missing += await _compare(database, page, after, None, clock() - grace, clock())
    async with database.read() as conn:
        return Inventory(await versions.orphans(conn), missing)


async def compare_blobs(database: Database, blobs: BlobStore) -> str:
    """After a restore, of either side: versions whose bytes are not there. Bytes without a version are no fault: they are collected."""
    missing, after, page = list[str](), "", list[str]()

    async def compare(last: str | None) -> None:
        async with database.read() as conn:
            wanted = await versions.keys_between(conn, after, last)
        here = set(page)
        missing.extend(key for key in wanted if key not in here)

    async for blob in blobs.keys():
        page.append(blob.key)
        if len(page) == PAGE:
            await compare(page[-1])
            after, page = page[-1], []
    await compare(None)
    if not missing:
        return ""
    async with database.read() as conn:
        named = [f"{file_id} ({key})" for file_id, key in await versions.files_of(conn, missing[:NAMED_MAX])]
    more = f", and {len(missing) - len(named)} more" if len(missing) > len(named) else ""
    return f"{len(missing)} versions have no bytes: bring them back from the store's backup. Files, and keys: {', '.join(named)}{more}"


async def _compare(database: Database, page: list[Blob], after: str, last: str | None, before: datetime, now: datetime) -> int:
    async with database.transaction() as tx:
        kept = await versions.referred_to(tx, [blob.key for blob in page])
        lost = [blob.key for blob in page if blob.key not in kept and blob.stored_at <= before]
        await versions.mark_orphans(tx, lost, now)
        here = {blob.key for blob in page}
        return sum(key not in here for key in await versions.keys_between(tx, after, last))


async def delete_orphans(database: Database, blobs: BlobStore, grace: timedelta, clock: Clock) -> None:
    """What was marked long enough ago and is still not referred to. What the store fails at waits for another grace, and nobody behind
    it. Raises Away when it fails at several."""
    failed: list[str] = []
    while True:
        async with database.read() as conn:
            due = await versions.orphans_due(conn, clock() - grace, PAGE)
            kept = await versions.referred_to(conn, due)
        done = [key for key in due if key in kept]
        for key in due:
            if key in kept:
                continue
            try:
                await blobs.delete(key)
                done.append(key)
            except Away as error:
                log.warning("the orphan %s cannot be deleted yet: %s", key, error)
                failed.append(key)
                if len(failed) == FAILED_MAX:
                    break
        async with database.transaction() as tx:
            await versions.forget_orphans(tx, done + failed)
            await versions.mark_orphans(tx, failed, clock())
        if len(failed) == FAILED_MAX:
            raise Away(f"{failed[0]} and {FAILED_MAX - 1} more cannot be deleted: the store is away, or see that it lets this key delete")
        if len(due) < PAGE:
            return


async def abort_forgotten(database: Database, blobs: BlobStore, grace: timedelta, clock: Clock) -> None:
    """Multipart uploads of the store that no upload of ours knows."""
    found = [one async for one in blobs.multiparts() if one.begun_at <= clock() - grace]
    async with database.read() as conn:
        known = await versions.references(conn)
    forgotten = [one for one in found if one.reference not in known]
    await one_by_one("files.multiparts", forgotten, lambda one: blobs.abort_multipart(one.key, one.reference), lambda one: one.key)


async def states(database: Database) -> dict[str, int]:
    """How many uploads stand in each state that is not the end."""
    async with database.read() as conn:
        return await uploads.states(conn)
