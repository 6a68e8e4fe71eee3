"""Shares: who holds which role on which item."""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx
from parvis_roster.tables import tables_of

from parvis_files.rules import Asker, GranteeKind, Share
from parvis_files.store import item, share, space
from parvis_files.store.access import held

SHARE = tuple(share.c[name] for name in Share.__slots__)
_tables = tables_of("files")
GRANTEES = {kind: sa.select(_tables[kind].c.ministry_id).where(_tables[kind].c.id == sa.bindparam("one")) for kind in ("agent", "team")}
WITH_ME = (
    sa.select(*SHARE)
    .join_from(share, item, item.c.id == share.c.item_id)
    .join(space, space.c.id == item.c.space_id)
    .where(held(share, space.c.ministry_id), share.c.id > sa.bindparam("after"), item.c.parent_id.is_not(None), item.c.trashed_at.is_(None))
    .order_by(share.c.id)
    .limit(sa.bindparam("limit"))
)
ADD = sa.insert(share)
OF_ITEM = sa.select(*SHARE).where(share.c.item_id == sa.bindparam("one")).order_by(share.c.id)
_ids: sa.BindParameter[UUID] = sa.bindparam("ids", expanding=True, type_=sa.Uuid)
OF_ITEMS = sa.select(*SHARE).where(share.c.item_id.in_(_ids)).order_by(share.c.id)
REMOVE = sa.delete(share).where(share.c.id.in_(_ids))


async def add_share(tx: Tx, one: Share) -> None:
    await tx.execute(ADD, {name: getattr(one, name) for name in Share.__slots__})


async def shares_of(conn: Connection, item_id: UUID) -> list[Share]:
    return [Share(*row) for row in await conn.execute(OF_ITEM, {"one": item_id})]


async def remove_shares(tx: Tx, share_ids: Collection[UUID]) -> None:
    await tx.execute(REMOVE, {"ids": list(share_ids)})


async def shares_in(conn: Connection, item_ids: Collection[UUID]) -> list[Share]:
    return [Share(*row) for row in await conn.execute(OF_ITEMS, {"ids": list(item_ids)})]


async def ministry_of(conn: Connection, kind: GranteeKind, grantee_id: UUID) -> UUID | None:
    """As far as the copy of the directory knows."""
    found: UUID | None = (await conn.execute(GRANTEES[kind], {"one": grantee_id})).scalar()
    return found


async def shares_with(conn: Connection, asker: Asker, after: UUID, limit: int) -> list[Share]:
    """With the asker or a team of theirs; whole spaces apart."""
    asked = {"agent": asker.id, "ministry": asker.ministry_id, "after": after, "limit": limit}
    return [Share(*row) for row in await conn.execute(WITH_ME, asked)]
