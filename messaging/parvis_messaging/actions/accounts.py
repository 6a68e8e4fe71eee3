"""Accounts of agents, and the devices that they sign in on."""

from datetime import datetime
from secrets import token_hex, token_urlsafe
from uuid import UUID

from parvis_kit.db import Tx

from parvis_messaging.actions import links
from parvis_messaging.actions.bridging import Bridge
from parvis_messaging.homeserver import Home
from parvis_messaging.queries.sessions import digest_of
from parvis_messaging.rules import BOT, JsonObject, Session
from parvis_messaging.rules.matrix import check_text, forbidden, invalid, localpart_of, not_found
from parvis_messaging.store import accounts, events
from parvis_messaging.store.accounts import Account

NAMESAKES_MAX = 200
"""`jean.martin2` to `jean.martin200`; then a name that nobody can have."""
DEVICES_MAX = 20
"""Of an account; the one that signed in longest ago gives way."""
ACCOUNT_DATA_MAX = 500
FILTERS_MAX = 100
TOKEN_PREFIX = "pvm_"  # noqa: S105 (what secret scanners look for)


async def ensure_account(tx: Tx, home: Home, agent_id: UUID, given_name: str, family_name: str, *, now: datetime) -> tuple[str, bool, bool]:
    """The user id, whether it is new, and whether it has another name now. A namesake is numbered; who changes their name keeps the id."""
    display_name = f"{given_name} {family_name}".strip()[:200]
    if (kept := await accounts.account_of(tx, agent_id)) is not None:
        if kept.display_name != display_name:
            await accounts.change_account(tx, kept.user_id, display_name=display_name)
        return kept.user_id, False, kept.display_name != display_name
    base = localpart_of(given_name, family_name)
    base = f"{base}-1" if base == BOT else base
    names = (base, *(f"{base}{number}" for number in range(2, NAMESAKES_MAX + 1)), f"{base}-{agent_id}")
    for name in names:
        user_id = home.user_id(name)
        if await accounts.add_account(tx, Account(user_id, agent_id, display_name, None), now):
            return user_id, True, False
    raise RuntimeError(f"{agent_id} has no user id, though the last one tried holds their own id")


async def keep_account(tx: Tx, home: Home, bridge: Bridge, agent_id: UUID, given_name: str, family_name: str, *, now: datetime) -> None:
    """An agent's, as directory knows them. A new one is brought into the rooms that wait for it."""
    _, is_new, is_renamed = await ensure_account(tx, home, agent_id, given_name, family_name, now=now)
    if is_new:
        await links.bring_in(tx, bridge, agent_id)
    elif is_renamed:
        await links.settle_later(tx, bridge, await links.open_direct_room(tx, bridge, agent_id))


async def ensure_bot(tx: Tx, home: Home, *, now: datetime) -> str:
    user_id = home.user_id(BOT)
    await accounts.add_account(tx, Account(user_id, None, "Parvis", None), now)
    return user_id


async def sign_in(
    tx: Tx, home: Home, agent_id: UUID, credential_id: UUID, device_id: str | None, display_name: str, *, now: datetime
) -> tuple[Session, str]:
    """A session and its token, which is shown once. Raises Refused for an agent without an account."""
    account = await accounts.account_of(tx, agent_id)
    if account is None:
        raise forbidden("Your account is being made: try again in a moment.")
    if account.closed_at is not None:
        raise forbidden("This account is closed.")
    check_text(device_id or "")
    session = Session(account.user_id, device_id or token_hex(5).upper(), agent_id, credential_id)
    token = f"{TOKEN_PREFIX}{token_urlsafe(32)}"
    kept = [one.device_id for one in await accounts.devices_of(tx, account.user_id) if one.device_id != session.device_id]
    if len(kept) >= DEVICES_MAX:
        await accounts.remove_devices(tx, account.user_id, kept[DEVICES_MAX - 1 :])
    await accounts.put_device(tx, digest_of(token), session, check_text(display_name), now)
    return session, token


async def note_session(tx: Tx, user_id: str, device_id: str, credential_id: UUID, *, now: datetime) -> list[str]:
    """Somebody has signed in elsewhere. The devices that give way to this one. Raises Refused for whom nobody knows."""
    account = await accounts.find_account(tx, user_id)
    if account is None or account.agent_id is None:
        raise not_found("There is no such account.")
    session = Session(user_id, check_text(device_id), account.agent_id, credential_id)
    await accounts.put_device(tx, digest_of(f"{user_id} {device_id}"), session, "", now)
    kept = [one.device_id for one in await accounts.devices_of(tx, user_id) if one.device_id != device_id]
    surplus = kept[DEVICES_MAX - 1 :]
    if surplus:
        await accounts.remove_devices(tx, user_id, surplus)
    return surplus


async def sign_out(tx: Tx, home: Home, session: Session, *, everywhere: bool = False) -> None:
    await accounts.remove_devices(tx, session.user_id, None if everywhere else [session.device_id])
    tx.after_commit.append(lambda: home.waiters.wake(0, session.user_id))


async def remove_devices(tx: Tx, home: Home, session: Session, device_ids: list[str]) -> None:
    await accounts.remove_devices(tx, session.user_id, device_ids)
    tx.after_commit.append(lambda: home.waiters.wake(0, session.user_id))


async def rename_device(tx: Tx, session: Session, device_id: str, display_name: str) -> None:
    """Raises Refused."""
    if not await accounts.rename_device(tx, session.user_id, device_id, display_name):
        raise not_found("There is no such device of yours.")


async def put_account_data(tx: Tx, home: Home, session: Session, room_id: str, kind: str, content: JsonObject) -> None:
    """What a client keeps for itself. Raises Refused when there is too much of it."""
    position = await events.take_positions(tx, 1)
    if await accounts.find_account_data(tx, session.user_id, room_id, kind) is None:
        if await accounts.count_account_data(tx, session.user_id) >= ACCOUNT_DATA_MAX:
            raise invalid(f"An account keeps at most {ACCOUNT_DATA_MAX} entries of account data.")
    await accounts.put_account_data(tx, session.user_id, room_id, kind, content, position)
    tx.after_commit.append(lambda: home.waiters.wake(position, session.user_id))


async def add_filter(tx: Tx, session: Session, body: JsonObject) -> str:
    if await accounts.count_filters(tx, session.user_id) >= FILTERS_MAX:
        raise invalid(f"An account keeps at most {FILTERS_MAX} filters.")
    return await accounts.add_filter(tx, session.user_id, body)
