"""Agents who leave, and who come back."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.messaging import LeaverSettled
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_messaging.actions.bridging import Bridge
from parvis_messaging.actions.links import open_direct_room, settle_later
from parvis_messaging.homeserver import Home
from parvis_messaging.store import accounts


async def settle_leaver(tx: Tx, home: Home, bridge: Bridge, agent_id: UUID, left_at: datetime, *, now: datetime) -> None:
    """Nobody signs in any more from here on; sessions and rooms end on the homeserver, and it is said when they have."""
    if not await close(tx, home, bridge, agent_id, closed_at=now, left_at=left_at):
        publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=left_at, done=()))


async def welcome_back(tx: Tx, agent_id: UUID) -> None:
    """The departure was a mistake: the account is theirs again, and they sign in anew."""
    account = await accounts.account_of(tx, agent_id)
    if account is not None:
        await accounts.change_account(tx, account.user_id, closed_at=None)


async def forget_account(tx: Tx, home: Home, bridge: Bridge, agent_id: UUID, *, now: datetime) -> None:
    """Directory has erased the agent: their name goes, and the account stays closed under its id."""
    await close(tx, home, bridge, agent_id, closed_at=now, display_name="", avatar_url=None)


async def close(tx: Tx, home: Home, bridge: Bridge, agent_id: UUID, **values: object) -> bool:
    """False when there is no account."""
    account = await accounts.account_of(tx, agent_id)
    if account is None:
        return False
    await accounts.change_account(tx, account.user_id, **values)
    tx.after_commit.append(lambda: home.waiters.wake(0, account.user_id))
    await settle_later(tx, bridge, await open_direct_room(tx, bridge, agent_id))
    return True
