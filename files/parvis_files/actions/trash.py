"""The trash: what is put there goes with all that is in it, comes back as it was, or goes for good."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from parvis_contracts.files import FilePurged, FileRestored, FileTrashed
from parvis_kit.background import one_by_one
from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.events import publish
from parvis_kit.problems import Conflict, NotFound

from parvis_files import queries
from parvis_files.actions.common import check_no_root, check_revision, free_name, locked, record, settled
from parvis_files.actions.shares import withdraw_shares
from parvis_files.rules import PURGE_PIECE, Asker, Item, Seen, Space, Version
from parvis_files.rules.quotas import Limits
from parvis_files.rules.rights import HoldsRestricted
from parvis_files.store import access, items, spaces, versions


async def trash_item(tx: Tx, asker: Asker, item_id: UUID, *, if_match: str | None, with_restricted: bool, now: datetime) -> None:
    """One row says it for all that lies below. Raises NotFound, Forbidden, PreconditionFailed, Conflict, HoldsRestricted."""
    seen, change_id = await locked(tx, asker, item_id, "trash")
    if if_match is not None:
        check_revision(seen.item.revision, if_match)
    check_no_root(seen.item, "put into the trash")
    act = "item.trash" + await _through_walls(tx, asker, seen, "trash", with_restricted)
    await items.change_item(tx, seen.item, change_id, trashed_at=now, trashed_by=asker.id)
    await record(tx, asker.id, act, item_id, seen.space, now)
    publish(tx, FileTrashed(at=now, about=str(item_id), file_id=item_id, space_id=seen.space.id, trashed_by=asker.id))


async def _through_walls(tx: Tx, asker: Asker, seen: Seen, need: Literal["trash", "purge"], with_restricted: bool) -> str:
    """What the audit is to say of folders in it that are closed to the asker. Whoever manages the space may go on, and has to say so.

    Raises HoldsRestricted, which names none of them.
    """
    if not await access.holds_walls(tx, asker, seen, need):
        return ""
    root = await access.see(tx, asker, seen.space.root_id)
    if with_restricted and root is not None and "purge" in root.actions:
        return " with-restricted"
    raise HoldsRestricted(
        "In it lies a folder that is restricted, and not shared with you: ask those who put it there to move it out. "
        "Whoever manages the space may send `with_restricted=true`."
    )


async def restore_item(tx: Tx, asker: Asker, item_id: UUID, *, now: datetime) -> UUID:
    """Where it was, under another name if its own is taken; in the root when its folder is in the trash too.

    To put it back needs no right on what is around it, which whoever may trash it need not see. Raises NotFound, Forbidden, Conflict.
    """
    seen, change_id = await locked(tx, asker, item_id, "trash", trash=True)
    if seen.item.trashed_at is None:
        raise Conflict("It lies in a folder that is in the trash: restore that one.")
    parent_id = seen.item.parent_id or seen.space.root_id
    around = await access.see(tx, asker, parent_id)
    if around is None or around.in_trash:
        parent_id = seen.space.root_id
        root = await access.see(tx, asker, parent_id)
        if root is None or "create" not in root.actions:
            raise Conflict("The folder that it was in is in the trash too: have that restored first, by whoever may.")
    name = await free_name(tx, parent_id, seen.item.name, item_id.hex[-8:])
    values = {} if name == seen.item.name else {"name": name}
    await items.change_item(tx, seen.item, change_id, parent_id=parent_id, trashed_at=None, trashed_by=None, **values)
    await record(tx, asker.id, "item.restore", item_id, seen.space, now)
    publish(tx, FileRestored(at=now, about=str(item_id), file_id=item_id, space_id=seen.space.id, restored_by=asker.id))
    return item_id


async def purge_item(tx: Tx, asker: Asker, item_id: UUID, limits: Limits, *, with_restricted: bool, now: datetime) -> None:
    """For good: what is too much for one transaction is gone from sight at once, and goes by and by.

    Raises NotFound, Forbidden, HoldsRestricted, Conflict for what is not in the trash itself.
    """
    seen, _ = await locked(tx, asker, item_id, "purge", trash=True)
    if seen.item.trashed_at is None:
        raise Conflict("It lies in a folder that is in the trash: purge that one, or restore it first.")
    act = "item.purge" + await _through_walls(tx, asker, seen, "purge", with_restricted)
    await record(tx, asker.id, act, item_id, seen.space, now)
    await items.mark_purging(tx, item_id)
    await _purge_piece(tx, seen.item, limits, now)


async def go_on_purging(database: Database, limits: Limits, clock: Clock) -> None:
    """What was left over, a transaction a piece."""
    async with database.read() as conn:
        left = await items.purging(conn)

    async def purge_on(one: Item) -> None:
        more = True
        while more:
            async with database.transaction() as tx:
                await spaces.next_change(tx, one.space_id)
                more = await _purge_piece(tx, one, limits, clock())

    await one_by_one("files.purges", left, purge_on, lambda one: f"item {one.id}")


async def _purge_piece(tx: Tx, top: Item, limits: Limits, now: datetime) -> bool:
    """The space is locked. The deepest first, so that what is left still hangs together; whether something is left."""
    piece = await items.descendants_of(tx, top.id, PURGE_PIECE)
    if not piece:
        return False
    ids = [one.id for one in piece]
    gone = await versions.versions_in(tx, [one.id for one in piece if one.is_file])
    used = sum(one.size_bytes for _, one in gone)
    last_change = await spaces.next_change(tx, top.space_id, len(piece))
    space = await spaces.settle(tx, top.space_id, used=-used)
    await withdraw_shares(tx, ids, space, now=now)
    await remove_versions(tx, space, gone, now)
    await items.remove_items(tx, piece, last_change)
    await settled(tx, space, limits, now)
    await spaces.settle_of_ministry(tx, space.ministry_id, used=-used)
    return len(piece) == PURGE_PIECE


async def remove_versions(tx: Tx, space: Space, gone: Sequence[tuple[UUID, Version]], now: datetime) -> None:
    """Rows and facts; the quota is the caller's."""
    if not gone:
        return
    await versions.remove_versions(tx, [one.id for _, one in gone], now)
    for file_id, one in gone:
        fact = FilePurged(
            at=now, about=str(file_id), file_id=file_id, version_id=one.id, space_id=space.id, space_kind=space.kind,
            ministry_id=space.ministry_id, owner_id=space.owner_id, size_bytes=one.size_bytes,
        )  # fmt: skip
        publish(tx, fact)


async def restore_version(tx: Tx, asker: Asker, file_id: UUID, version_id: UUID, *, now: datetime) -> UUID:
    """An older version is what is read from now on; the newer ones stay. Raises NotFound, Forbidden, Conflict."""
    await queries.file_for(tx, asker, file_id, "write")
    seen, change_id = await locked(tx, asker, file_id, "write")
    found = await versions.find_version(tx, file_id, version_id)
    if found is None:
        raise NotFound(f"File {file_id} has no version {version_id}.")
    one = found[0]
    values = {"version_id": one.id, "size_bytes": one.size_bytes, "media_type": one.media_type}
    await items.change_item(tx, seen.item, change_id, modified_at=now, modified_by=asker.id, **values)
    await record(tx, asker.id, "version.restore", file_id, seen.space, now)
    return file_id


async def purge_version(tx: Tx, asker: Asker, file_id: UUID, version_id: UUID, limits: Limits, *, now: datetime) -> None:
    """Raises NotFound, Forbidden, Conflict for the one that is read."""
    await queries.file_for(tx, asker, file_id, "purge")
    seen, _ = await locked(tx, asker, file_id, "purge")
    found = await versions.find_version(tx, file_id, version_id)
    if found is None:
        raise NotFound(f"File {file_id} has no version {version_id}.")
    if seen.item.version_id == version_id:
        raise Conflict("This is the version that is read: restore another one first.")
    space = await spaces.settle(tx, seen.space.id, used=-found[0].size_bytes)
    await remove_versions(tx, space, [(file_id, found[0])], now)
    await record(tx, asker.id, "version.purge", file_id, space, now)
    await settled(tx, space, limits, now)
    await spaces.settle_of_ministry(tx, space.ministry_id, used=-found[0].size_bytes)
