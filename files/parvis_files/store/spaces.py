"""Spaces, what they and their ministries hold, and the number that each change in a space takes."""

from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert, upsert_by
from parvis_kit.epochs import EPOCH, next_epoch

from parvis_files.rules import Asker, Space
from parvis_files.rules.quotas import Limits, Quota
from parvis_files.store import item, ministry_quota, purged_item, share, space
from parvis_files.store.access import SPACE, held

ONE_SPACE = sa.select(*SPACE).where(space.c.id == sa.bindparam("one"))
PERSONAL = sa.select(*SPACE).where(space.c.owner_id == sa.bindparam("owner"))
LOCKED_SPACE, LOCKED_PERSONAL = ONE_SPACE.with_for_update(), PERSONAL.with_for_update()
_mine = sa.select(share.c.item_id).where(share.c.item_id == space.c.root_id, held(share, space.c.ministry_id))
MINE = (
    sa.select(*SPACE)
    .where(space.c.id > sa.bindparam("after"), sa.or_(space.c.owner_id == sa.bindparam("agent", type_=sa.Uuid), _mine.exists()))
    .order_by(space.c.id)
    .limit(sa.bindparam("limit"))
)
_many = sa.bindparam("many", type_=sa.BigInteger)
NEXT_CHANGE = (
    sa.update(space).where(space.c.id == sa.bindparam("one")).values(change_id=space.c.change_id + _many).returning(space.c.change_id)
)


async def add_space(tx: Tx, one: Space) -> bool:
    """False when the agent has a personal space already."""
    values = {name: getattr(one, name) for name in Space.__slots__}
    row = upsert(tx, space).on_conflict_do_nothing(index_elements=["owner_id"]).returning(space.c.id)
    return (await tx.execute(row, values)).one_or_none() is not None


async def find_space(conn: Connection, space_id: UUID, *, lock: bool = False) -> Space | None:
    row = (await conn.execute(LOCKED_SPACE if lock else ONE_SPACE, {"one": space_id})).one_or_none()
    return Space(*row) if row else None


async def find_personal(conn: Connection, owner_id: UUID, *, lock: bool = False) -> Space | None:
    row = (await conn.execute(LOCKED_PERSONAL if lock else PERSONAL, {"owner": owner_id})).one_or_none()
    return Space(*row) if row else None


async def spaces_of(conn: Connection, asker: Asker, after: UUID, limit: int) -> list[Space]:
    """The asker's own, and those that are shared with them as a whole."""
    found = {"agent": asker.id, "ministry": asker.ministry_id, "after": after, "limit": limit}
    return [Space(*row) for row in await conn.execute(MINE, found)]


async def shared_spaces_of_ministry(conn: Connection, ministry_id: UUID) -> list[UUID]:
    kept = sa.select(space.c.id).where(space.c.ministry_id == ministry_id, space.c.kind == "shared").order_by(space.c.id)
    return list((await conn.execute(kept)).scalars())


async def change_space(tx: Tx, space_id: UUID, **values: Any) -> None:
    await tx.execute(_change(tuple(values)), {"one": space_id, **values})


@cache
def _change(names: tuple[str, ...]) -> sa.Update:
    return sa.update(space).where(space.c.id == sa.bindparam("one")).values({name: sa.bindparam(name) for name in names})


async def next_change(tx: Tx, space_id: UUID, many: int = 1) -> int:
    """The number of the change that this transaction is, the last of as many; until it ends, no other changes the space."""
    return int((await tx.execute(NEXT_CHANGE, {"one": space_id, "many": many})).scalar_one())


async def renew_changes(tx: Tx, now: datetime) -> int:
    """Give every change the same number in an epoch of its own; in how many spaces."""
    newest = (await tx.execute(sa.select(sa.func.coalesce(sa.func.max(space.c.change_id), 0)))).scalar_one()
    first = next_epoch(newest, now) * EPOCH
    for table in (item, purged_item):
        await tx.execute(sa.update(table).values(change_id=table.c.change_id % EPOCH + first))
    return (await tx.execute(sa.update(space).values(change_id=space.c.change_id % EPOCH + first))).rowcount


def _within(table: sa.Table) -> sa.ColumnElement[bool]:
    limit = sa.func.coalesce(table.c.quota_bytes, sa.bindparam("limit", type_=sa.BigInteger))
    return table.c.used_bytes + table.c.reserved_bytes + sa.bindparam("size", type_=sa.BigInteger) <= limit


RESERVE = (
    sa.update(space)
    .where(space.c.id == sa.bindparam("one"), space.c.frozen_at.is_(None), _within(space))
    .values(reserved_bytes=space.c.reserved_bytes + sa.bindparam("size", type_=sa.BigInteger))
    .returning(space.c.id)
)
RESERVE_OF_MINISTRY = (
    sa.update(ministry_quota)
    .where(ministry_quota.c.ministry_id == sa.bindparam("one"), _within(ministry_quota))
    .values(reserved_bytes=ministry_quota.c.reserved_bytes + sa.bindparam("size", type_=sa.BigInteger))
    .returning(ministry_quota.c.ministry_id)
)


def _moved(table: sa.Table, key: sa.Column[Any]) -> sa.Update:
    used, reserved = (sa.bindparam(name, type_=sa.BigInteger) for name in ("used", "reserved"))
    return (
        sa.update(table)
        .where(key == sa.bindparam("one"))
        .values(used_bytes=table.c.used_bytes + used, reserved_bytes=table.c.reserved_bytes + reserved)
    )


SETTLE = _moved(space, space.c.id).returning(*SPACE)
SETTLE_AS_CHANGE = SETTLE.values(change_id=space.c.change_id + 1)
SETTLE_OF_MINISTRY = _moved(ministry_quota, ministry_quota.c.ministry_id)


async def reserve(tx: Tx, space_id: UUID, size_bytes: int, limit_bytes: int) -> bool:
    """Only if it fits, and all at once: no two reservations see the same free place."""
    asked = {"one": space_id, "size": size_bytes, "limit": limit_bytes}
    return (await tx.execute(RESERVE, asked)).one_or_none() is not None


async def reserve_of_ministry(tx: Tx, ministry_id: UUID, size_bytes: int, limit_bytes: int) -> bool:
    """The last statement before the commit: all of a ministry's uploads meet at this row."""
    asked = {"one": ministry_id, "size": size_bytes, "limit": limit_bytes}
    if (await tx.execute(RESERVE_OF_MINISTRY, asked)).one_or_none() is not None:
        return True
    await _begin_ministry(tx, ministry_id)
    return (await tx.execute(RESERVE_OF_MINISTRY, asked)).one_or_none() is not None


async def settle(tx: Tx, space_id: UUID, *, used: int = 0, reserved: int = 0, is_change: bool = False) -> Space:
    """Add to what the space holds, or take from it; the space as it is then, locked."""
    statement = SETTLE_AS_CHANGE if is_change else SETTLE
    return Space(*(await tx.execute(statement, {"one": space_id, "used": used, "reserved": reserved})).one())


async def settle_of_ministry(tx: Tx, ministry_id: UUID, *, used: int = 0, reserved: int = 0) -> None:
    asked = {"one": ministry_id, "used": used, "reserved": reserved}
    if not (await tx.execute(SETTLE_OF_MINISTRY, asked)).rowcount:
        await _begin_ministry(tx, ministry_id)
        await tx.execute(SETTLE_OF_MINISTRY, asked)


async def _begin_ministry(tx: Tx, ministry_id: UUID) -> None:
    row = {"ministry_id": ministry_id, "quota_bytes": None, "used_bytes": 0, "reserved_bytes": 0}
    await tx.execute(upsert_by(tx, ministry_quota, ("ministry_id",)), row)


QUOTA_OF_MINISTRY = sa.select(ministry_quota.c.used_bytes, ministry_quota.c.reserved_bytes, ministry_quota.c.quota_bytes).where(
    ministry_quota.c.ministry_id == sa.bindparam("one")
)


async def quota_of_ministry(conn: Connection, ministry_id: UUID, limits: Limits) -> Quota:
    row = (await conn.execute(QUOTA_OF_MINISTRY, {"one": ministry_id})).one_or_none()
    if row is None:
        return Quota(0, 0, limits.ministry_bytes)
    return Quota(row[0], row[1], limits.ministry_bytes if row[2] is None else row[2])


async def freeze(tx: Tx, space_id: UUID, frozen_at: datetime | None) -> None:
    await change_space(tx, space_id, frozen_at=frozen_at)
