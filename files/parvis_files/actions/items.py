"""Folders are made; folders and files get other names, other places, and walls around them."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.files import FileMoved, FileRenamed
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict

from parvis_files import queries
from parvis_files.actions.common import check_no_root, check_revision, free_name, locked, record
from parvis_files.actions.shares import grant
from parvis_files.rules import DEPTH_MAX, Asker, Item, Seen
from parvis_files.rules.names import checked_name
from parvis_files.rules.uploads import ConflictRule
from parvis_files.store import items, shares


async def make_folder(tx: Tx, asker: Asker, parent_id: UUID, name: str, conflict: ConflictRule, *, now: datetime) -> UUID:
    """Raises NotFound, Forbidden, Conflict, Invalid."""
    name = checked_name(name)
    await queries.folder_for(tx, asker, parent_id)  # who may only deposit makes no folders
    seen, change_id = await locked(tx, asker, parent_id, "create")
    if seen.depth + 1 >= DEPTH_MAX:
        raise Conflict(f"Folders lie in each other {DEPTH_MAX} deep at the most.")
    folder_id = new_id()
    name = await _name_in(tx, parent_id, name, conflict, folder_id)
    made = Item(
        folder_id, seen.space.id, parent_id, False, name, False, None, None, None, 1, change_id, now, asker.id, now, asker.id, None, None
    )
    await items.add_item(tx, made)
    await record(tx, asker.id, "folder.create", folder_id, seen.space, now)
    return folder_id


async def _name_in(tx: Tx, folder_id: UUID, name: str, conflict: ConflictRule, mark: UUID) -> str:
    """Raises Conflict unless another name will do. A folder has no versions, so `version` refuses as `fail` does."""
    if conflict == "rename":
        return await free_name(tx, folder_id, name, mark.hex[-8:])
    if await items.taken_names(tx, folder_id, [name]):
        raise Conflict(f"There is a {name} here already: choose another name, or ask for `rename`.")
    return name


async def change_item(
    tx: Tx,
    asker: Asker,
    item_id: UUID,
    *,
    name: str | None,
    parent_id: UUID | None,
    restricted: bool | None,
    conflict: ConflictRule,
    if_match: str,
    now: datetime,
) -> UUID:
    """Rename, move, restrict; what is None stays. Raises NotFound, Forbidden, PreconditionFailed, Conflict, Invalid."""
    seen, change_id = await locked(tx, asker, item_id, "share" if restricted is not None else "write")
    check_revision(seen.item.revision, if_match)
    check_no_root(seen.item, "renamed, moved or restricted")
    kept = seen.item.name if name is None or name == seen.item.name else checked_name(name)  # its name from before it keeps
    moved = parent_id is not None and parent_id != seen.item.parent_id
    if moved and parent_id is not None:
        await _check_may_lie(tx, asker, seen, parent_id)
    place = parent_id or seen.item.parent_id
    if place is not None and (moved or kept != seen.item.name):
        kept = await _name_in(tx, place, kept, conflict, item_id)
    renamed = kept != seen.item.name
    values = {"parent_id": place} if moved else {}
    changed = await items.change_item(
        tx, seen.item, change_id, modified_at=now, modified_by=asker.id, **values, **({"name": kept} if renamed else {})
    )
    if restricted is not None and restricted != seen.item.restricted:
        await _restrict(tx, asker, seen, changed, restricted, change_id, now)
    _say(tx, asker, seen, changed, now)
    acts = {"rename": renamed, "move": moved, "restrict": restricted is True, "open": restricted is False}
    await record(tx, asker.id, "item." + (" ".join(act for act, done in acts.items() if done) or "change"), item_id, seen.space, now)
    return item_id


async def _check_may_lie(tx: Tx, asker: Asker, seen: Seen, folder_id: UUID) -> None:
    """Raises NotFound, Forbidden, Conflict."""
    target = await queries.folder_for(tx, asker, folder_id, "create")
    if target.space.id != seen.space.id:
        raise Conflict("It lies in another space: download it and upload it there.")
    if seen.item.is_file:
        return
    if await items.lies_under(tx, folder_id, seen.item.id):
        raise Conflict("A folder cannot lie in itself.")
    if target.depth + 1 + await items.height_of(tx, seen.item.id) >= DEPTH_MAX:
        raise Conflict(f"Folders lie in each other {DEPTH_MAX} deep at the most.")


async def _restrict(tx: Tx, asker: Asker, seen: Seen, changed: Item, restricted: bool, change_id: int, now: datetime) -> None:
    """Whoever closes a folder keeps the key: somebody has to be able to open it again. Raises Conflict."""
    if changed.is_file:
        raise Conflict("Only a folder can be restricted: put the file into one.")
    kept = await shares.shares_of(tx, changed.id)
    if restricted and seen.space.owner_id != asker.id and not any(one.role == "manager" for one in kept):
        await grant(tx, asker, changed, seen.space, "agent", asker.id, "manager", now=now)
    await items.change_item(tx, changed, change_id, restricted=restricted)


def _say(tx: Tx, asker: Asker, seen: Seen, changed: Item, now: datetime) -> None:
    about, was = str(changed.id), seen.item
    if changed.name != was.name:
        publish(tx, FileRenamed(at=now, about=about, file_id=changed.id, space_id=was.space_id, renamed_by=asker.id))
    if changed.parent_id != was.parent_id and changed.parent_id is not None and was.parent_id is not None:
        fact = FileMoved(
            at=now, about=about, file_id=changed.id, space_id=was.space_id, from_folder_id=was.parent_id, to_folder_id=changed.parent_id,
            moved_by=asker.id,
        )  # fmt: skip
        publish(tx, fact)
