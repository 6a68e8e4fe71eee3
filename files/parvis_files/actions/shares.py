"""Shares: an agent or a team gets a role on an item, and loses it again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from parvis_contracts.files import FileShared, ShareRevoked
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict, Invalid, NotFound

from parvis_files import rules
from parvis_files.actions.common import locked, record
from parvis_files.rules import Asker, GranteeKind, Item, Share, Space
from parvis_files.rules.rights import Role
from parvis_files.store import shares


async def share_item(tx: Tx, asker: Asker, item_id: UUID, kind: GranteeKind, grantee_id: UUID, role: Role, *, now: datetime) -> UUID:
    """With somebody who has a share of it already, this role replaces the other. Raises NotFound, Forbidden, Conflict, Invalid."""
    seen, _ = await locked(tx, asker, item_id, "share")
    if role == "depositor" and seen.item.is_file:
        raise Conflict("Only into a folder can be deposited.")
    return (await grant(tx, asker, seen.item, seen.space, kind, grantee_id, role, now=now)).id


async def grant(tx: Tx, asker: Asker, item: Item, space: Space, kind: GranteeKind, grantee_id: UUID, role: Role, *, now: datetime) -> Share:
    """The space is locked, and the asker may. Raises Conflict, Invalid."""
    if grantee_id != asker.id and await shares.ministry_of(tx, kind, grantee_id) != space.ministry_id:
        raise Invalid(f"There is no {kind} {grantee_id} in the space's ministry: share with agents and teams of it.")
    kept = await shares.shares_of(tx, item.id)
    before = next((one for one in kept if (one.grantee_kind, one.grantee_id) == (kind, grantee_id)), None)
    if before is not None and before.role == role:
        return before
    if len(kept) >= rules.SHARES_MAX:
        raise Conflict(f"An item is shared {rules.SHARES_MAX} times at the most: make a team.")
    if before is not None:
        check_manager_stays(item, space, kept, before, role)
        await _take_back(tx, [before], space, asker.id, now)
    one = Share(new_id(), item.id, kind, grantee_id, role, now, asker.id)
    await shares.add_share(tx, one)
    await record(tx, asker.id, f"share.{role}", one.id, space, now)
    fact = FileShared(
        at=now, about=str(one.id), share_id=one.id, file_id=item.id, space_id=space.id, grantee_kind=kind, grantee_id=grantee_id, role=role,
        shared_by=asker.id, name=space.name if item.parent_id is None else item.name,
    )  # fmt: skip
    publish(tx, fact)
    return one


async def revoke_share(tx: Tx, asker: Asker, item_id: UUID, share_id: UUID, *, now: datetime) -> None:
    """Raises NotFound, Forbidden, Conflict when nobody would manage it any more."""
    seen, _ = await locked(tx, asker, item_id, "share")
    kept = await shares.shares_of(tx, item_id)
    found = next((one for one in kept if one.id == share_id), None)
    if found is None:
        raise NotFound(f"There is no share {share_id} of this item.")
    check_manager_stays(seen.item, seen.space, kept, found, None)
    await _take_back(tx, [found], seen.space, asker.id, now)


def check_manager_stays(item: Item, space: Space, kept: Sequence[Share], leaving: Share, role: Role | None) -> None:
    """Where nothing is inherited, one manager at least holds the key. Raises Conflict."""
    alone = item.restricted or item.parent_id is None
    others = [one for one in kept if one.role == "manager" and one.id != leaving.id]
    if alone and space.owner_id is None and leaving.role == "manager" and role != "manager" and not others:
        raise Conflict("This is its last manager: make somebody else one first.")


async def withdraw_shares(tx: Tx, item_ids: Sequence[UUID], space: Space, *, now: datetime) -> None:
    """Of items that go for good: nobody asked."""
    await _take_back(tx, await shares.shares_in(tx, item_ids), space, None, now)


async def _take_back(tx: Tx, gone: Sequence[Share], space: Space, by: UUID | None, now: datetime) -> None:
    if not gone:
        return
    await shares.remove_shares(tx, [one.id for one in gone])
    for one in gone:
        await record(tx, by or "files", "share.revoke", one.id, space, now)
        fact = ShareRevoked(
            at=now, about=str(one.id), share_id=one.id, file_id=one.item_id, space_id=space.id, grantee_kind=one.grantee_kind,
            grantee_id=one.grantee_id, revoked_by=by,
        )  # fmt: skip
        publish(tx, fact)
