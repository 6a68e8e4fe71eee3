"""An agent's account as it is to be: on the homeserver, or closed there."""

from uuid import UUID

from parvis_contracts.messaging import AccountReady, LeaverSettled
from parvis_kit.db import Database, Tx
from parvis_kit.events import publish

from parvis_messaging.actions.bridging import Bridge
from parvis_messaging.store import accounts
from parvis_messaging.store.accounts import Account


async def user_of(database: Database, bridge: Bridge, agent_id: UUID) -> str | None:
    """The account of an agent; None while there is none, or when it is closed. Raises Failed."""
    async with database.read() as conn:
        account = await accounts.account_of(conn, agent_id)
    if account is None or account.closed_at is not None:
        return None
    if account.ready_at is None:
        await settle_account(database, bridge, agent_id)
    return account.user_id


async def settle_account(database: Database, bridge: Bridge, agent_id: UUID) -> None:
    """Done twice, it is done once. Raises Failed."""
    async with database.read() as conn:
        account = await accounts.account_of(conn, agent_id)
    if account is None:
        return
    rooms = 0
    if account.closed_at is None:
        await bridge.server.keep_account(account.user_id, account.display_name)
    elif account.ready_at is not None:
        rooms = await bridge.server.close_account(account.user_id)
    async with database.transaction() as tx:
        await accounts.lock(tx, account.user_id)
        now = await accounts.account_of(tx, agent_id)
        if now is None or (now.closed_at, now.left_at) != (account.closed_at, account.left_at):
            return  # what was asked for meanwhile has its own turn
        await say_so(tx, bridge, agent_id, now, rooms)


async def say_so(tx: Tx, bridge: Bridge, agent_id: UUID, account: Account, rooms: int) -> None:
    now = bridge.clock()
    if account.closed_at is None and account.ready_at is None:
        await accounts.change_account(tx, account.user_id, ready_at=now)
        publish(tx, AccountReady(at=now, about=str(agent_id), agent_id=agent_id))
    ended = await accounts.remove_devices(tx, account.user_id) if account.closed_at is not None else 0
    if account.left_at is not None:
        await accounts.change_account(tx, account.user_id, left_at=None)
        done = [f"{ended} Matrix sessions ended"] if ended else []
        done += [f"{rooms} rooms left"] if rooms else []
        done += ["Matrix account closed"] if account.closed_at is not None else []
        publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=account.left_at, done=tuple(done)))
