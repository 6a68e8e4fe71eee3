"""Shares of an item, and what is shared with oneself."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.http import Page
from parvis_kit.problems import NotFound

from parvis_files.queries.items import item_for
from parvis_files.rules import Asker, Entry, GranteeKind, Share
from parvis_files.rules.rights import Role
from parvis_files.store import access, items, shares


@dataclass(slots=True)
class SharedItem:
    """What somebody has shared with one."""

    share_id: UUID
    role: Role
    grantee_kind: GranteeKind
    shared_by: UUID
    shared_at: datetime
    space_id: UUID
    item: Entry


async def shares_for(conn: Connection, asker: Asker, item_id: UUID) -> list[Share]:
    """On the item itself. Raises NotFound, Forbidden."""
    await item_for(conn, asker, item_id, "share")
    return await shares.shares_of(conn, item_id)


async def shared_with(conn: Connection, asker: Asker, after: UUID | None, limit: int) -> Page[SharedItem]:
    """Items, by oneself or through a team; whole spaces are in the list of spaces."""
    found = await shares.shares_with(conn, asker, after or UUID(int=0), limit)
    shown = await access.visible(conn, asker, {one.item_id for one in found}, in_trash=False, need=None)
    lines = await items.entries_of(conn, shown)
    page = [
        SharedItem(one.id, one.role, one.grantee_kind, one.created_by, one.created_at, lines[one.item_id][1], lines[one.item_id][0])
        for one in found
        if one.item_id in lines
    ]
    return Page(page, str(found[-1].id) if len(found) == limit else None)


async def share_for(conn: Connection, asker: Asker, item_id: UUID, share_id: UUID) -> Share:
    """Raises NotFound, Forbidden."""
    found = next((one for one in await shares_for(conn, asker, item_id) if one.id == share_id), None)
    if found is None:
        raise NotFound(f"There is no share {share_id} of this item any more.")
    return found
