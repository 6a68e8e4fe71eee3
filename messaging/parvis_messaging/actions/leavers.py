"""Agents who leave, and who come back."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.messaging import LeaverSettled
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_messaging.actions.rooms import Author, append, member_content
from parvis_messaging.homeserver import Home
from parvis_messaging.store import accounts, events


async def settle_leaver(tx: Tx, home: Home, agent_id: UUID, left_at: datetime, *, now: datetime) -> None:
    """Their sessions end and their rooms are left; what they wrote stays with those they wrote to. Done twice, it is done once."""
    await events.take_positions(tx, 0)
    account = await accounts.account_of(tx, agent_id)
    done = []
    if account is not None:
        await accounts.change_account(tx, account.user_id, closed_at=now)
        if ended := await accounts.remove_devices(tx, account.user_id):
            done.append(f"{ended} Matrix sessions ended")
        left = await leave_all(tx, home, account.user_id, now=now)
        done += [f"{left} rooms left"] if left else []
        done.append("Matrix account closed")
        tx.after_commit.append(lambda: home.waiters.wake(0, account.user_id))
    publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=left_at, done=tuple(done)))


async def leave_all(tx: Tx, home: Home, user_id: str, *, now: datetime) -> int:
    """How many rooms there were, invitations among them."""
    rooms = [room_id for room_id, membership, _ in await events.memberships_of(tx, user_id) if membership in ("join", "invite")]
    content = await member_content(tx, user_id, "leave")
    for room_id in rooms:
        await append(tx, home, room_id, Author(user_id), "m.room.member", content, state_key=user_id, now=now)
    return len(rooms)


async def welcome_back(tx: Tx, agent_id: UUID) -> None:
    """The departure was a mistake: the account is theirs again, and they sign in anew."""
    account = await accounts.account_of(tx, agent_id)
    if account is not None:
        await accounts.change_account(tx, account.user_id, closed_at=None)


async def forget_account(tx: Tx, home: Home, agent_id: UUID, *, now: datetime) -> None:
    """Directory has erased the agent: their name goes, and the account stays closed under its id."""
    await events.take_positions(tx, 0)
    account = await accounts.account_of(tx, agent_id)
    if account is None:
        return
    await accounts.remove_devices(tx, account.user_id)
    await accounts.change_account(tx, account.user_id, display_name="", avatar_url=None, closed_at=now)
    await leave_all(tx, home, account.user_id, now=now)
    tx.after_commit.append(lambda: home.waiters.wake(0, account.user_id))
