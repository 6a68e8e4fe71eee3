"""Versions of files, and the keys of their bytes."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert_by
from parvis_kit.db.driven import Driven

from parvis_files.rules import Version
from parvis_files.rules.uploads import OPEN
from parvis_files.store import orphan, upload, version

VERSION = tuple(version.c[name] for name in Version.__slots__)
ADD = Driven(lambda _: sa.insert(version), ["item_id", "blob_key", *Version.__slots__])
ONE_VERSION = sa.select(*VERSION, version.c.blob_key).where(version.c.item_id == sa.bindparam("one"), version.c.id == sa.bindparam("which"))
REMOVED_MAX = 500
_this = version.c.item_id == sa.bindparam("one")
LAST_NUMBER = sa.select(sa.func.max(version.c.number)).where(_this)
NEWEST_FIRST = sa.select(*VERSION).where(_this).order_by(version.c.number.desc()).limit(sa.bindparam("limit"))
OLDER = NEWEST_FIRST.where(version.c.number < sa.bindparam("before"))
BEYOND = (
    sa.select(*VERSION)
    .where(_this, version.c.id != sa.bindparam("but"))
    .order_by(version.c.number.desc())
    .offset(sa.bindparam("passed"))
    .limit(REMOVED_MAX)
)
_ids: sa.BindParameter[UUID] = sa.bindparam("ids", expanding=True, type_=sa.Uuid)
OF_FILES = sa.select(version.c.item_id, *VERSION).where(version.c.item_id.in_(_ids))
REMOVE = sa.delete(version).where(version.c.id.in_(_ids)).returning(version.c.blob_key)


async def add_version(tx: Tx, file_id: UUID, one: Version, blob_key: str) -> None:
    await ADD.run(tx, {name: getattr(one, name) for name in Version.__slots__} | {"item_id": file_id, "blob_key": blob_key})


async def last_number(conn: Connection, file_id: UUID) -> int:
    return int((await conn.execute(LAST_NUMBER, {"one": file_id})).scalar() or 0)


async def versions_of(conn: Connection, file_id: UUID, before: int | None, limit: int) -> list[Version]:
    """The newest first."""
    asked: dict[str, Any] = {"one": file_id, "limit": limit}
    rows = await (conn.execute(NEWEST_FIRST, asked) if before is None else conn.execute(OLDER, asked | {"before": before}))
    return [Version(*row) for row in rows]


async def find_version(conn: Connection, file_id: UUID, version_id: UUID) -> tuple[Version, str] | None:
    """And the key of its bytes."""
    row = (await conn.execute(ONE_VERSION, {"one": file_id, "which": version_id})).one_or_none()
    return (Version(*row[:-1]), row[-1]) if row else None


async def beyond(conn: Connection, file_id: UUID, kept: int, but: UUID) -> list[Version]:
    """The oldest of more than are kept; never the one that is read."""
    return [Version(*row) for row in await conn.execute(BEYOND, {"one": file_id, "but": but, "passed": kept - 1})]


async def versions_in(conn: Connection, file_ids: Collection[UUID]) -> list[tuple[UUID, Version]]:
    return [(row[0], Version(*row[1:])) for row in await conn.execute(OF_FILES, {"ids": list(file_ids)})]


async def remove_versions(tx: Tx, version_ids: Sequence[UUID], now: datetime) -> None:
    """Their bytes are marked, to be deleted when nobody reads them any more."""
    gone = (await tx.execute(REMOVE, {"ids": list(version_ids)})).scalars()
    await mark_orphans(tx, list(gone), now)


async def mark_orphans(tx: Tx, keys: Collection[str], now: datetime) -> None:
    if keys:
        rows = [{"blob_key": key, "marked_at": now} for key in keys]
        await tx.execute(upsert_by(tx, orphan, ("blob_key",)), rows)


async def orphans_due(conn: Connection, before: datetime, limit: int) -> list[str]:
    """Marked long enough ago."""
    due = sa.select(orphan.c.blob_key).where(orphan.c.marked_at <= before).order_by(orphan.c.marked_at).limit(limit)
    return list((await conn.execute(due)).scalars())


async def forget_orphans(tx: Tx, keys: Collection[str]) -> None:
    await tx.execute(sa.delete(orphan).where(orphan.c.blob_key.in_(list(keys))))


async def orphans(conn: Connection) -> int:
    return int((await conn.execute(sa.select(sa.func.count()).select_from(orphan))).scalar_one())


async def referred_to(conn: Connection, keys: Collection[str]) -> set[str]:
    """Those that a version or an upload still needs."""
    some = list(keys)
    kept = sa.select(version.c.blob_key).where(version.c.blob_key.in_(some))
    coming = sa.select(upload.c.blob_key).where(upload.c.blob_key.in_(some), upload.c.state.in_(OPEN))
    return set((await conn.execute(sa.union_all(kept, coming))).scalars())


async def keys_between(conn: Connection, after: str, last: str | None) -> list[str]:
    """Of the versions' bytes, in order; to the end without `last`."""
    found = sa.select(version.c.blob_key).where(version.c.blob_key > after)
    found = found if last is None else found.where(version.c.blob_key <= last)
    return list((await conn.execute(found.order_by(version.c.blob_key))).scalars())


async def files_of(conn: Connection, keys: Collection[str]) -> list[tuple[UUID, str]]:
    """Whose bytes these are."""
    found = sa.select(version.c.item_id, version.c.blob_key).where(version.c.blob_key.in_(list(keys))).order_by(version.c.blob_key)
    return [(row[0], row[1]) for row in await conn.execute(found)]


async def references(conn: Connection) -> set[str]:
    """Of the multipart uploads that are going on."""
    going = sa.select(upload.c.reference).where(upload.c.reference.is_not(None), upload.c.state.in_(OPEN))
    return set((await conn.execute(going)).scalars())
