"""Spaces: each agent's own, and those that agents and teams share."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from parvis_contracts.files import SpaceCreated
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id

from parvis_files import queries
from parvis_files.actions.common import record
from parvis_files.actions.shares import grant
from parvis_files.rules import Asker, Item, Space, check_thawed
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


async def change_space(tx: Tx, asker: Asker, space_id: UUID, name: str, *, now: datetime) -> None:
    """Give a space another name. Raises NotFound, Forbidden, Invalid, Conflict."""
    seen = await queries.space_for(tx, asker, space_id, "share")
    check_thawed(seen.space)
    await spaces.change_space(tx, seen.space.id, name=checked_name(name))
    await record(tx, asker.id, "space.rename", seen.space.id, seen.space, now)


async def follow_agents(tx: Tx, moves: Mapping[UUID, UUID], *, now: datetime) -> None:
    """Agents' personal spaces are their ministries', and so is what they hold; done twice, it is done once. Agent → ministry."""
    homes = [await open_personal_space(tx, agent_id, ministry_id, now=now) for agent_id, ministry_id in moves.items()]
    await _hand_over(tx, {home.id: moves[home.owner_id] for home in homes if home.owner_id}, now)


async def renew_changes(tx: Tx, now: datetime) -> int:
    """After a restore of the database: whoever follows the changes of a space is told to begin again."""
    return await spaces.renew_changes(tx, now)


async def follow_ministry(tx: Tx, ministry_id: UUID, into_id: UUID, *, now: datetime) -> None:
    """The shared spaces of a ministry that has merged into another; personal ones go with their agents."""
    found = await spaces.shared_spaces_of_ministry(tx, ministry_id)
    await _hand_over(tx, dict.fromkeys(found, into_id), now)


async def _hand_over(tx: Tx, to: Mapping[UUID, UUID], now: datetime) -> None:
    """Space → ministry. All spaces first, then the ministries, each kind in order: uploads take their locks in the same way."""
    used, reserved = Counter[UUID](), Counter[UUID]()
    for space_id in sorted(to):
        one = await spaces.find_space(tx, space_id, lock=True)
        if one is None or one.ministry_id == to[space_id]:
            continue
        await spaces.change_space(tx, one.id, ministry_id=to[space_id])
        await record(tx, "files", "space.move", one.id, one, now)
        for concerned, sign in ((one.ministry_id, -1), (to[space_id], 1)):
            used[concerned] += sign * one.used_bytes
            reserved[concerned] += sign * one.reserved_bytes
    for concerned in sorted(used):
        await spaces.settle_of_ministry(tx, concerned, used=used[concerned], reserved=reserved[concerned])


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
