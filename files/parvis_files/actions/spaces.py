"""Spaces: each agent's own, and those that agents and teams share."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.files import SpaceCreated
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id

from parvis_files import queries
from parvis_files.actions.common import record
from parvis_files.actions.shares import grant
from parvis_files.rules import Asker, Item, Space
from parvis_files.rules.names import checked_name
from parvis_files.store import items, spaces

HOME = "Home"
"""What the root of a personal space is called, where a name must stand; clients show their own word."""


async def open_personal_space(tx: Tx, agent_id: UUID, ministry_id: UUID, *, now: datetime) -> Space:
    """Done twice, it is done once."""
    found = await spaces.find_personal(tx, agent_id)
    if found is not None:
        return found
    made = _new_space("personal", ministry_id, agent_id, HOME, now)
    if not await _begin(tx, made, None, now):
        found = await spaces.find_personal(tx, agent_id)  # a twin was quicker
        return found or made
    return made


async def create_space(tx: Tx, asker: Asker, name: str, team_id: UUID | None, *, now: datetime) -> UUID:
    """Its maker manages it; a team that is named may change what is in it. Raises Invalid."""
    made = _new_space("shared", asker.ministry_id, None, checked_name(name), now)
    await _begin(tx, made, asker.id, now)
    root = await items.find_item(tx, made.root_id)
    if root is not None:
        await grant(tx, asker, root, made, "agent", asker.id, "manager", now=now)
        if team_id is not None:
            await grant(tx, asker, root, made, "team", team_id, "editor", now=now)
    return made.id


async def change_space(tx: Tx, asker: Asker, space_id: UUID, name: str) -> UUID:
    """Give a space another name. Raises NotFound, Forbidden, Invalid."""
    seen = await queries.space_for(tx, asker, space_id, "share")
    await spaces.next_change(tx, seen.space.id)
    await spaces.change_space(tx, seen.space.id, name=checked_name(name))
    return seen.space.id


async def follow_agent(tx: Tx, agent_id: UUID, ministry_id: UUID, *, now: datetime) -> None:
    """An agent's personal space is their ministry's, and so is what it holds; done twice, it is done once."""
    await open_personal_space(tx, agent_id, ministry_id, now=now)
    found = await spaces.find_personal(tx, agent_id, lock=True)
    if found is not None:
        await _hand_over(tx, found, ministry_id, now)


async def follow_ministry(tx: Tx, ministry_id: UUID, into_id: UUID, *, now: datetime) -> None:
    """The shared spaces of a ministry that has merged into another; personal ones go with their agents."""
    for space_id in await spaces.shared_spaces_of_ministry(tx, ministry_id):
        found = await spaces.find_space(tx, space_id, lock=True)
        if found is not None:
            await _hand_over(tx, found, into_id, now)


async def _hand_over(tx: Tx, one: Space, ministry_id: UUID, now: datetime) -> None:
    """Its row is locked. Two ministries' rows are always taken in the same order."""
    if one.ministry_id == ministry_id:
        return
    await spaces.change_space(tx, one.id, ministry_id=ministry_id)
    signs = {one.ministry_id: -1, ministry_id: 1}
    for concerned in sorted(signs):
        used, reserved = one.used_bytes * signs[concerned], one.reserved_bytes * signs[concerned]
        await spaces.settle_of_ministry(tx, concerned, used=used, reserved=reserved)
    await record(tx, "files", "space.move", one.id, one, now)


def _new_space(kind: str, ministry_id: UUID, owner_id: UUID | None, name: str, now: datetime) -> Space:
    return Space(new_id(), kind, ministry_id, owner_id, name, new_id(), None, 0, 0, 0, 1, None, now)  # type: ignore[arg-type]


async def _begin(tx: Tx, made: Space, created_by: UUID | None, now: datetime) -> bool:
    """The space and its root; False when the agent has one already."""
    if not await spaces.add_space(tx, made):
        return False
    root = Item(made.root_id, made.id, None, False, made.name, False, None, None, None, 1, 1, now, created_by, now, created_by, None, None)
    await items.add_item(tx, root)
    await record(tx, created_by or "files", "space.create", made.id, made, now)
    fact = SpaceCreated(
        at=now, about=str(made.id), space_id=made.id, kind=made.kind, ministry_id=made.ministry_id, owner_id=made.owner_id,
        created_by=created_by,
    )  # fmt: skip
    publish(tx, fact)
    return True
