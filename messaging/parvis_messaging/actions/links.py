"""Rooms that follow the directory: a team's has its members, and each agent has one with Parvis."""

from collections.abc import Collection
from uuid import UUID

from parvis_kit.db import Tx

from parvis_messaging.actions.bridging import Bridge, enqueue
from parvis_messaging.store import deliveries, links, notices

DIRECT_NAME = "Parvis"


async def follow_team(tx: Tx, bridge: Bridge, team_id: UUID, name: str, members: Collection[UUID]) -> None:
    """The room of the team is to be called so, and to have these members."""
    lane = await links.ensure_link(tx, "team", team_id, name)
    known = await links.members_of(tx, lane)
    changed = {one: (True, known.get(one, (False, False))[1]) for one in members if not known.get(one, (False, False))[0]}
    changed |= {one: (False, there) for one, (wanted, there) in known.items() if wanted and one not in members}
    await links.put_members(tx, lane, changed)
    await settle_later(tx, bridge, lane)


async def close_team(tx: Tx, bridge: Bridge, team_id: UUID) -> None:
    """The team is no more: its members leave the room, which stays for whoever has to look something up."""
    lane = await links.ensure_link(tx, "team", team_id)
    known = await links.members_of(tx, lane)
    await links.put_members(tx, lane, {one: (False, there) for one, (_, there) in known.items()})
    await settle_later(tx, bridge, lane)


async def open_direct_room(tx: Tx, bridge: Bridge, agent_id: UUID) -> str:
    """The lane of the room in which Parvis talks to an agent."""
    lane = await links.ensure_link(tx, "direct", agent_id, DIRECT_NAME)
    if not (await links.members_of(tx, lane)).get(agent_id, (False, False))[0]:
        await links.put_members(tx, lane, {agent_id: (True, False)})
        await settle_later(tx, bridge, lane)
    return lane


async def bring_in(tx: Tx, bridge: Bridge, agent_id: UUID) -> None:
    """Their account is there, for the first time or again: into all rooms that wait for them."""
    await open_direct_room(tx, bridge, agent_id)
    for lane in await links.lanes_of(tx, agent_id):
        await links.lock_link(tx, lane)
        await links.hurry(tx, lane)
        await settle_later(tx, bridge, lane)


async def note_departure(tx: Tx, agent_id: UUID) -> None:
    """They have left all rooms; should they come back, they are brought in again."""
    await links.mark_absent(tx, agent_id)


async def forget_agent(tx: Tx, agent_id: UUID) -> None:
    """What was told to somebody whom directory has erased."""
    await notices.forget_agent(tx, agent_id)


async def settle_later(tx: Tx, bridge: Bridge, lane: str) -> None:
    """Have the room made what it is to be. One that waits already will do; the link is locked, so none begins meanwhile."""
    if not await deliveries.has_waiting_room_act(tx, lane):
        await enqueue(tx, bridge, lane, "room")
