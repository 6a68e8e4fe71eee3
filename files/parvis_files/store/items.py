"""Items: folders and files in one tree, listed, looked up by name and by word, moved by one row."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx
from parvis_kit.text import words_of

from parvis_files.rules import DEPTH_MAX, Asker, Entry, Item
from parvis_files.rules.names import sort_key
from parvis_files.store import item, item_word, purged_item, share
from parvis_files.store.access import ITEM, held

_kind = sa.case((item.c.is_file, "file"), else_="folder").label("kind")
ENTRY = (
    item.c.id, _kind, item.c.name, item.c.size_bytes, item.c.media_type, item.c.restricted, item.c.revision, item.c.change_id,
    item.c.modified_at,
)  # fmt: skip
PURGING_MAX = 100
"""Looked at in one sweep."""
Place = tuple[bool, str, UUID]
"""Where a line stands in its list: folders first, then by name."""
_shared_here = sa.exists().where(
    share.c.item_id == item.c.id, held(share, sa.bindparam("of_ministry", type_=sa.Uuid)), share.c.role != "depositor"
)
_listed = sa.select(*ENTRY).where(
    item.c.parent_id == sa.bindparam("one"),
    item.c.trashed_at.is_(None),
    sa.or_(sa.not_(item.c.restricted), sa.bindparam("owns", type_=sa.Boolean), _shared_here),
)
_order = (item.c.is_file, item.c.sort_key, item.c.id)
FIRST_PAGE = _listed.order_by(*_order).limit(sa.bindparam("limit"))
NEXT_PAGE = (
    _listed.where(
        sa.tuple_(*_order)
        > sa.tuple_(
            sa.bindparam("after_file", type_=sa.Boolean), sa.bindparam("after_key", type_=sa.Text), sa.bindparam("after_id", type_=sa.Uuid)
        )
    )
    .order_by(*_order)
    .limit(sa.bindparam("limit"))
)
NAMED = sa.select(*ITEM).where(item.c.parent_id == sa.bindparam("one"), item.c.name == sa.bindparam("named"), item.c.trashed_at.is_(None))
TAKEN = sa.select(item.c.name).where(
    item.c.parent_id == sa.bindparam("one"), item.c.name.in_(sa.bindparam("names", expanding=True)), item.c.trashed_at.is_(None)
)
FIND = sa.select(*ITEM).where(item.c.id == sa.bindparam("one"))
ADD_WORD = sa.insert(item_word)
ADD_ITEM = sa.insert(item)
_ids: sa.BindParameter[UUID] = sa.bindparam("ids", expanding=True, type_=sa.Uuid)
FORGET_WORDS = sa.delete(item_word).where(item_word.c.item_id.in_(_ids))
REMOVE = sa.delete(item).where(item.c.id.in_(_ids))
ADD_PURGED = sa.insert(purged_item)
MARK_PURGING = sa.update(item).where(item.c.id == sa.bindparam("one")).values(purging=True)
ENTRIES = sa.select(*ENTRY, item.c.space_id).where(item.c.id.in_(_ids))


async def children_of(
    conn: Connection, asker: Asker, folder: Item, ministry_id: UUID, owns: bool, after: Place | None, limit: int
) -> list[Entry]:
    """What is restricted shows to its space's owner, and to those with whom it is shared itself."""
    asked = {"one": folder.id, "agent": asker.id, "ministry": asker.ministry_id, "of_ministry": ministry_id, "owns": owns, "limit": limit}
    if after is None:
        rows = await conn.execute(FIRST_PAGE, asked)
    else:
        is_file, key, last = after
        rows = await conn.execute(NEXT_PAGE, asked | {"after_file": is_file, "after_key": key, "after_id": last})
    return [Entry(*row) for row in rows]


async def find_named(conn: Connection, folder_id: UUID, name: str) -> Item | None:
    row = (await conn.execute(NAMED, {"one": folder_id, "named": name})).one_or_none()
    return Item(*row) if row else None


async def taken_names(conn: Connection, folder_id: UUID, names: Sequence[str]) -> set[str]:
    return set((await conn.execute(TAKEN, {"one": folder_id, "names": list(names)})).scalars())


async def find_item(conn: Connection, item_id: UUID) -> Item | None:
    row = (await conn.execute(FIND, {"one": item_id})).one_or_none()
    return Item(*row) if row else None


async def add_item(tx: Tx, one: Item) -> None:
    """The space is locked."""
    await tx.execute(ADD_ITEM, {name: getattr(one, name) for name in Item.__slots__} | {"sort_key": sort_key(one.name)})
    await _add_words(tx, one)


async def _add_words(tx: Tx, one: Item) -> None:
    if one.parent_id is not None and (words := words_of(one.name)):
        await tx.execute(ADD_WORD, [{"space_id": one.space_id, "word": word, "item_id": one.id} for word in words])


async def change_item(tx: Tx, one: Item, change_id: int, **values: Any) -> Item:
    """The space is locked."""
    if "name" in values:
        values["sort_key"] = sort_key(values["name"])
    values |= {"change_id": change_id, "revision": one.revision + 1}
    changed = Item(*(await tx.execute(_change(tuple(values)), {"one": one.id, **values})).one())
    if "name" in values:
        await tx.execute(FORGET_WORDS, {"ids": [one.id]})
        await _add_words(tx, changed)
    return changed


@cache
def _change(names: tuple[str, ...]) -> sa.Executable:
    changed = sa.update(item).where(item.c.id == sa.bindparam("one")).values({name: sa.bindparam(name) for name in names})
    return changed.returning(*ITEM)


def _lies_under() -> sa.Select[Any]:
    start = sa.select(item.c.id, item.c.parent_id).where(item.c.id == sa.bindparam("one")).cte("up", recursive=True)
    up = start.union_all(sa.select(item.c.id, item.c.parent_id).join_from(start, item, item.c.id == start.c.parent_id))
    return sa.select(up.c.id).where(up.c.id == sa.bindparam("above")).limit(1)


def _height() -> sa.Select[Any]:
    start = sa.select(item.c.id, sa.literal(0).label("level")).where(item.c.id == sa.bindparam("one")).cte("down", recursive=True)
    below = sa.select(item.c.id, start.c.level + 1).join_from(start, item, item.c.parent_id == start.c.id)
    down = start.union_all(below.where(sa.not_(item.c.is_file), start.c.level <= DEPTH_MAX))
    return sa.select(sa.func.max(down.c.level))


def _descendants() -> sa.Select[Any]:
    start = sa.select(item.c.id, sa.literal(0).label("level")).where(item.c.id == sa.bindparam("one")).cte("down", recursive=True)
    down = start.union_all(sa.select(item.c.id, start.c.level + 1).join_from(start, item, item.c.parent_id == start.c.id))
    found = sa.select(*ITEM).join_from(down, item, item.c.id == down.c.id).order_by(down.c.level.desc(), item.c.id)
    return found.limit(sa.bindparam("limit"))


LIES_UNDER, HEIGHT, DESCENDANTS = _lies_under(), _height(), _descendants()


async def lies_under(conn: Connection, item_id: UUID, above_id: UUID) -> bool:
    """Whether one is the other, or lies in it."""
    return (await conn.execute(LIES_UNDER, {"one": item_id, "above": above_id})).one_or_none() is not None


async def height_of(conn: Connection, folder_id: UUID) -> int:
    """How many folders lie one in the other below it."""
    return int((await conn.execute(HEIGHT, {"one": folder_id})).scalar_one())


async def descendants_of(conn: Connection, item_id: UUID, limit: int) -> list[Item]:
    """The item and what lies in it, the deepest first, as far as one transaction goes."""
    return [Item(*row) for row in await conn.execute(DESCENDANTS, {"one": item_id, "limit": limit})]


async def remove_items(tx: Tx, items: Sequence[Item], last_change: int) -> None:
    """The space is locked, and nothing refers to them any more; each takes a number of its own, up to the last."""
    ids = {"ids": [one.id for one in items]}
    await tx.execute(FORGET_WORDS, ids)
    await tx.execute(REMOVE, ids)
    gone = [{"space_id": one.space_id, "change_id": last_change - number, "item_id": one.id} for number, one in enumerate(items)]
    await tx.execute(ADD_PURGED, gone)


TRASHED = (
    sa.select(*ITEM)
    .where(item.c.space_id == sa.bindparam("one"), item.c.trashed_at.is_not(None), sa.not_(item.c.purging))
    .order_by(item.c.id.desc())
    .limit(sa.bindparam("limit"))
)
TRASHED_BEFORE = TRASHED.where(item.c.id < sa.bindparam("before"))


async def trashed_in(conn: Connection, space_id: UUID, before: UUID | None, limit: int) -> list[Item]:
    """The newest first by id; what was trashed itself, not what lies in it."""
    asked: dict[str, Any] = {"one": space_id, "limit": limit}
    rows = await (conn.execute(TRASHED, asked) if before is None else conn.execute(TRASHED_BEFORE, asked | {"before": before}))
    return [Item(*row) for row in rows]


async def mark_purging(tx: Tx, item_id: UUID) -> None:
    await tx.execute(MARK_PURGING, {"one": item_id})


async def purging(conn: Connection) -> list[Item]:
    """What somebody has purged that was too much for one transaction."""
    return [Item(*row) for row in await conn.execute(sa.select(*ITEM).where(item.c.purging).order_by(item.c.id).limit(PURGING_MAX))]


def _search(words: int) -> sa.Select[Any]:
    """By the beginning of a word, the others beside it."""
    first = item_word.c
    found = sa.select(*ENTRY).join_from(item_word, item, item.c.id == first.item_id)
    found = found.where(
        first.space_id == sa.bindparam("one"),
        first.word >= sa.bindparam("from0"),
        first.word < sa.bindparam("to0"),
        item.c.trashed_at.is_(None),
    )
    for number in range(1, words):
        other = item_word.alias(f"word{number}")
        found = found.where(
            sa.exists().where(
                other.c.item_id == first.item_id,  # not its space too: SQLite would go through all that have the word, each time
                other.c.word >= sa.bindparam(f"from{number}"), other.c.word < sa.bindparam(f"to{number}"),
            )
        )  # fmt: skip
    return found.order_by(first.word, first.item_id).offset(sa.bindparam("passed")).limit(sa.bindparam("limit"))


def _count(words: int) -> sa.Select[Any]:
    """How many items have each, as far as is worth counting."""
    counts = []
    for number in range(words):
        one = item_word.alias(f"word{number}")
        begins = (one.c.word >= sa.bindparam(f"from{number}"), one.c.word < sa.bindparam(f"to{number}"))
        few = sa.select(sa.literal(1)).where(one.c.space_id == sa.bindparam("one"), *begins).limit(COUNTED_MAX).subquery()
        counts.append(sa.select(sa.func.count()).select_from(few).scalar_subquery())
    return sa.select(*counts)


WORDS_SOUGHT_MAX = 4
COUNTED_MAX = 1_000
"""Items of a word that are counted before a search: of words that more have, either is as good to begin with."""
SEARCH = {number: _search(number) for number in range(1, WORDS_SOUGHT_MAX + 1)}
COUNT = {number: _count(number) for number in range(2, WORDS_SOUGHT_MAX + 1)}
LAST = "\U0010ffff"
"""Sorts behind every letter, in both databases."""


async def search(conn: Connection, space_id: UUID, words: Sequence[str], passed: int, limit: int) -> list[Entry]:
    """The rarest word first, as `rarest_first` says. An item whose words begin alike may come more than once."""
    asked = {"one": space_id, "passed": passed, "limit": limit, **_bounds(words)}
    return [Entry(*row) for row in await conn.execute(SEARCH[len(words)], asked)]


async def rarest_first(conn: Connection, space_id: UUID, words: Sequence[str]) -> Sequence[str]:
    """Those that are searched for, in the order in which it costs least: the others are looked up for each item that has the first."""
    words = words[:WORDS_SOUGHT_MAX]
    if len(words) == 1:
        return words
    counts = (await conn.execute(COUNT[len(words)], {"one": space_id, **_bounds(words)})).one()
    return [word for _, word in sorted(zip(counts, words, strict=True), key=lambda one: one[0])]


def _bounds(words: Sequence[str]) -> dict[str, str]:
    """Where the beginnings of words begin and end."""
    return {name: bound for number, word in enumerate(words) for name, bound in ((f"from{number}", word), (f"to{number}", word + LAST))}


CHANGED = (
    sa.select(*ITEM)
    .where(item.c.space_id == sa.bindparam("one"), item.c.change_id > sa.bindparam("since"))
    .order_by(item.c.change_id, item.c.id)
    .limit(sa.bindparam("limit"))
)
PURGED = (
    sa.select(purged_item.c.change_id, purged_item.c.item_id)
    .where(purged_item.c.space_id == sa.bindparam("one"), purged_item.c.change_id > sa.bindparam("since"))
    .order_by(purged_item.c.change_id, purged_item.c.item_id)
    .limit(sa.bindparam("limit"))
)


async def changed_since(conn: Connection, space_id: UUID, since: int, limit: int) -> list[Item]:
    return [Item(*row) for row in await conn.execute(CHANGED, {"one": space_id, "since": since, "limit": limit})]


async def purged_since(conn: Connection, space_id: UUID, since: int, limit: int) -> list[tuple[int, UUID]]:
    rows = await conn.execute(PURGED, {"one": space_id, "since": since, "limit": limit})
    return [(row[0], row[1]) for row in rows]


async def entries_of(conn: Connection, item_ids: Collection[UUID]) -> dict[UUID, tuple[Entry, UUID]]:
    """Lines and their spaces, by id."""
    return {row[0]: (Entry(*row[:-1]), row[-1]) for row in await conn.execute(ENTRIES, {"ids": list(item_ids)})}
