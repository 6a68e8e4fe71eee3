"""Items, their versions, the trash, what was found and what has changed: each as far as the asker may see it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.epochs import epoch_of
from parvis_kit.http import Page
from parvis_kit.problems import Conflict, Invalid, NotFound, Outdated
from parvis_kit.text import words_of

from parvis_files.rules import Asker, Entry, Item, Seen, Version
from parvis_files.rules.cursors import place_of, read_place
from parvis_files.rules.names import sort_key
from parvis_files.rules.rights import Action, check_may
from parvis_files.store import access, items, versions

LOOKED_AT_MAX = 500
"""Hits whose rights are looked up for one search."""


@dataclass(slots=True)
class Change:
    """What has changed, newest number last; what is gone for good, or out of sight, has no item."""

    change_id: int
    item_id: UUID
    parent_id: UUID | None
    """The folder that it lies in, where that may be seen too."""
    item: Entry | None
    in_trash: bool


@dataclass(slots=True)
class Hit:
    """What a search has found."""

    item: Entry
    space_id: UUID


async def item_for(conn: Connection, asker: Asker, item_id: UUID, need: Action = "see", *, trash: bool | None = False) -> Seen:
    """The only way to an item. `trash`: whether it is to be in the trash; None for either.

    Raises NotFound, for another ministry's as for none; Forbidden for who may do something else with it.
    """
    seen = await access.see(conn, asker, item_id)
    if seen is None or (trash is not None and seen.in_trash != trash):
        raise NotFound(f"There is no item {item_id}.")
    check_may(seen.actions, need, f"item {item_id}")
    return seen


async def folder_for(conn: Connection, asker: Asker, folder_id: UUID, need: Action = "see", *, trash: bool | None = False) -> Seen:
    """Raises NotFound, Forbidden, Conflict for a file."""
    seen = await item_for(conn, asker, folder_id, need, trash=trash)
    if seen.item.is_file:
        raise Conflict("This is a file: only a folder holds others.")
    return seen


async def file_for(conn: Connection, asker: Asker, file_id: UUID, need: Action = "see", *, trash: bool | None = False) -> Seen:
    """Raises NotFound, Forbidden, Conflict for a folder."""
    seen = await item_for(conn, asker, file_id, need, trash=trash)
    if not seen.item.is_file:
        raise Conflict("This is a folder: it has no content of its own, and no versions.")
    return seen


async def items_in(conn: Connection, asker: Asker, folder_id: UUID, after: str | None, limit: int) -> Page[Entry]:
    """Folders first, then by name. Raises NotFound, Forbidden, Conflict, Invalid for a cursor of another making."""
    seen = await folder_for(conn, asker, folder_id)
    place = read_place(after) if after else None
    owns = seen.space.owner_id == asker.id
    found = await items.children_of(conn, asker, seen.item, seen.space.ministry_id, owns, place, limit)
    last = found[-1] if len(found) == limit else None
    return Page(found, place_of(last.kind == "file", sort_key(last.name), last.id) if last else None)


async def version_for(conn: Connection, asker: Asker, file_id: UUID, version_id: UUID | None) -> tuple[Seen, Version, str]:
    """To be read: the one that is named, or the newest, and the key of its bytes. Raises NotFound, Forbidden, Conflict."""
    seen = await file_for(conn, asker, file_id, "read")
    wanted = version_id or seen.item.version_id
    found = None if wanted is None else await versions.find_version(conn, file_id, wanted)
    if found is None:
        raise NotFound(f"File {file_id} has no version {wanted}.")
    return seen, *found


async def versions_for(conn: Connection, asker: Asker, file_id: UUID, before: int | None, limit: int) -> tuple[Seen, Page[Version]]:
    """Raises NotFound, Forbidden, Conflict."""
    seen = await file_for(conn, asker, file_id)
    found = await versions.versions_of(conn, file_id, before, limit)
    return seen, Page(found, str(found[-1].number) if len(found) == limit else None)


async def trash_in(
    conn: Connection, asker: Asker, root_id: UUID, before: UUID | None, limit: int
) -> Page[tuple[Item, frozenset[Action], bool]]:
    """What somebody has put there, as far as the asker may see it, and whether they see its folder too. Raises NotFound, Forbidden."""
    seen = await folder_for(conn, asker, root_id)
    found = await items.trashed_in(conn, seen.space.id, before, limit)
    shown = await access.visible(conn, asker, {one.id for one in found} | parents_of(found), in_trash=None)
    lines = [(one, shown[one.id], one.parent_id in shown) for one in found if one.id in shown]
    return Page(lines, str(found[-1].id) if len(found) == limit else None)


def parents_of(found: Iterable[Item]) -> set[UUID]:
    return {one.parent_id for one in found if one.parent_id is not None}


async def search_in(conn: Connection, asker: Asker, root_id: UUID, text: str, limit: int) -> list[Hit]:
    """Items of a space by the beginnings of the words of their names. Raises NotFound, Forbidden, Invalid."""
    seen = await folder_for(conn, asker, root_id)
    words: Sequence[str] = words_of(text)
    if not words:
        raise Invalid("Search for a word: letters or digits, as they begin a word of the name.")
    words, kept = await items.rarest_first(conn, seen.space.id, words), dict[UUID, Hit]()
    piece = min(LOOKED_AT_MAX, 4 * limit)
    for passed in range(0, LOOKED_AT_MAX, piece):  # what is closed to the asker must not use up the places of what is not
        found = await items.search(conn, seen.space.id, words, passed, min(piece, LOOKED_AT_MAX - passed))
        shown = await access.visible(conn, asker, [one.id for one in found], in_trash=False)
        kept |= {one.id: Hit(one, seen.space.id) for one in found if one.id in shown}
        if len(kept) >= limit or len(found) < piece:
            break
    return list(kept.values())[:limit]


async def changes_for(conn: Connection, asker: Asker, root_id: UUID, since: int, limit: int) -> tuple[list[Change], int, bool]:
    """What has changed in a space after a number, up to which number that reaches, and whether there is more. Raises Outdated."""
    seen = await folder_for(conn, asker, root_id)
    reached = seen.space.change_id  # read first: what is committed after it has a higher number, and waits for the next page
    if since and (since > reached or epoch_of(since) != epoch_of(reached)):
        raise Outdated("This number is of before a restore, or was never given out: ask from 0, and forget what does not come.")
    changed = {one.change_id: one for one in await items.changed_since(conn, seen.space.id, since, limit)}
    purged = dict(await items.purged_since(conn, seen.space.id, since, limit))
    numbers = sorted(number for number in {*changed, *purged} if number <= reached)
    page = numbers[:limit]
    ids = {changed[number].id for number in page if number in changed}
    shown = await access.visible(conn, asker, ids | parents_of(changed[number] for number in page if number in changed), in_trash=None)
    kept = await access.visible(conn, asker, ids, in_trash=False)
    lines = await items.entries_of(conn, kept)
    found = []
    for number in page:
        if (one := changed.get(number)) is None:
            found.append(Change(number, purged[number], None, None, False))
        else:
            line = lines[one.id][0] if one.id in lines else None
            is_shown = one.id in shown
            parent_id = one.parent_id if is_shown and one.parent_id in shown else None
            found.append(Change(number, one.id, parent_id, line, is_shown and one.id not in kept))
    is_cut = len(numbers) > limit or len(page) == limit
    return found, page[-1] if is_cut else max(reached, since), is_cut
