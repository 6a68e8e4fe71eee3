"""Who a token lets in, and who they are."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID

from parvis_kit.db import Connection

from parvis_messaging.homeserver import Home
from parvis_messaging.rules import JsonObject, Session
from parvis_messaging.rules.matrix import Refused
from parvis_messaging.store import accounts, events, medias
from parvis_messaging.store.accounts import Account, Device
from parvis_messaging.store.medias import Media

SCOPE = "matrix"
TOKEN_CHARACTERS_MAX = 200
DIGESTS_AT_ONCE = 500


def digest_of(token: str) -> str:
    """256 random bits: a fast digest is enough."""
    return sha256(token.encode()).hexdigest()


async def session_for(conn: Connection, digest: str, now: datetime) -> Session:
    """Raises Refused when the token, the app password behind it or its agent no longer stands."""
    found = await accounts.session_of(conn, digest, now)
    if found is None or SCOPE not in found[1]:
        raise Refused(401, "M_UNKNOWN_TOKEN", "This session has been ended: sign in again.", soft_logout=False)
    return found[0]


async def standing(conn: Connection, digests: list[str], now: datetime) -> set[str]:
    """Those of these tokens that still let somebody in."""
    found: set[str] = set()
    for begin in range(0, len(digests), DIGESTS_AT_ONCE):
        found |= await accounts.standing_of(conn, digests[begin : begin + DIGESTS_AT_ONCE], now)
    return found


async def head(conn: Connection) -> int:
    return await events.head(conn)


async def agent_named(conn: Connection, home: Home, name: str) -> UUID | None:
    """By user id, localpart or e-mail."""
    if "@" in name and not name.startswith("@"):
        return await accounts.agent_of_email(conn, name.strip().casefold())
    local, _, server = name.removeprefix("@").partition(":")
    account = await accounts.find_account(conn, f"@{local.casefold()}:{server or home.server}")
    return account.agent_id if account is not None else None


async def account_of(conn: Connection, agent_id: UUID) -> Account | None:
    return await accounts.account_of(conn, agent_id)


async def find_account(conn: Connection, user_id: str) -> Account | None:
    return await accounts.find_account(conn, user_id)


async def devices_for(conn: Connection, session: Session) -> list[Device]:
    return await accounts.devices_of(conn, session.user_id)


async def colleagues_for(conn: Connection, session: Session, start: str, limit: int) -> list[Account]:
    """Of one's own ministry; others are found by their whole user id."""
    if start.startswith("@") and ":" in start:
        found = await accounts.find_account(conn, start)
        return [found] if found is not None else []
    if session.ministry_id is None or not start.strip():
        return []
    return await accounts.search_accounts(conn, session.ministry_id, start.strip().removeprefix("@"), limit)


async def filter_for(conn: Connection, session: Session, filter_id: str) -> JsonObject:
    """Raises Refused."""
    found = await accounts.find_filter(conn, session.user_id, filter_id)
    if found is None:
        raise Refused(404, "M_NOT_FOUND", "There is no such filter of yours.")
    return found


async def account_data_for(conn: Connection, session: Session, room_id: str, kind: str) -> JsonObject:
    """Raises Refused."""
    found = await accounts.find_account_data(conn, session.user_id, room_id, kind)
    if found is None:
        raise Refused(404, "M_NOT_FOUND", "There is no such account data.")
    return found


async def media_for(conn: Connection, home: Home, server: str, media_id: str) -> Media:
    """Raises Refused."""
    found = await medias.find_media(conn, media_id) if server == home.server else None
    if found is None:
        raise Refused(404, "M_NOT_FOUND", "There is no such media here.")
    return found
