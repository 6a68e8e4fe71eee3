"""Accounts, the devices that they are signed in on, and what clients keep for themselves."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert, upsert_by
from parvis_roster import tables_of

from parvis_messaging.rules import JsonObject, Session
from parvis_messaging.store import account, account_data, device, event, member, receipt, sync_filter

_agent, _credential = tables_of("messaging")["agent"], tables_of("messaging")["credential"]
STANDS = sa.and_(
    _credential.c.state == "active",
    sa.or_(_credential.c.expires_at.is_(None), _credential.c.expires_at > sa.bindparam("now")),
    _agent.c.state.not_in(("suspended", "left")),
    sa.or_(_agent.c.expires_at.is_(None), _agent.c.expires_at > sa.bindparam("now")),
    account.c.closed_at.is_(None),
)
_SIGNED_IN = (
    sa.join(device, _credential, _credential.c.id == device.c.credential_id)
    .join(_agent, _agent.c.id == device.c.agent_id)
    .join(account, account.c.user_id == device.c.user_id)
)
BY_TOKEN = (
    sa.select(device.c.user_id, device.c.device_id, device.c.agent_id, device.c.credential_id, _agent.c.ministry_id, _credential.c.scopes)
    .select_from(_SIGNED_IN)
    .where(device.c.token_digest == sa.bindparam("digest"), STANDS)
)
BY_AGENT = sa.select(account.c.user_id).where(account.c.agent_id == sa.bindparam("agent_id"))


@dataclass(frozen=True, slots=True)
class Account:
    user_id: str
    agent_id: UUID | None
    display_name: str
    avatar_url: str | None
    closed_at: datetime | None = None
    ready_at: datetime | None = None
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Device:
    device_id: str
    display_name: str
    created_at: datetime


ACCOUNT = tuple(account.c[name] for name in Account.__slots__)
DEVICE = tuple(device.c[name] for name in Device.__slots__)


async def session_of(conn: Connection, digest: str, now: datetime) -> tuple[Session, frozenset[str]] | None:
    """Whose token this is, and what the app password behind it may; None when either no longer stands."""
    row = (await conn.execute(BY_TOKEN, {"digest": digest, "now": now})).one_or_none()
    return (Session(*row[:5]), frozenset(row[5])) if row is not None else None


async def standing_of(conn: Connection, digests: Collection[str], now: datetime) -> set[str]:
    """Those of these tokens that still let somebody in."""
    wanted = sa.select(device.c.token_digest).select_from(_SIGNED_IN).where(device.c.token_digest.in_(list(digests)), STANDS)
    return {row[0] for row in await conn.execute(wanted, {"now": now})}


async def put_device(tx: Tx, digest: str, one: Session, display_name: str, now: datetime) -> None:
    """Signed in again on the same device, its last token is none any more."""
    values: dict[str, Any] = {
        "token_digest": digest,
        "agent_id": one.agent_id,
        "credential_id": one.credential_id,
        "display_name": display_name,
        "created_at": now,
    }
    put = upsert_by(tx, device, ("user_id", "device_id"), tuple(values))
    await tx.execute(put, {"user_id": one.user_id, "device_id": one.device_id, **values})


async def devices_of(conn: Connection, user_id: str) -> list[Device]:
    wanted = sa.select(*DEVICE).where(device.c.user_id == user_id).order_by(device.c.created_at.desc(), device.c.device_id)
    return [Device(*row) for row in await conn.execute(wanted)]


async def rename_device(tx: Tx, user_id: str, device_id: str, display_name: str) -> bool:
    change = sa.update(device).where(device.c.user_id == user_id, device.c.device_id == device_id).values(display_name=display_name)
    return (await tx.execute(change)).rowcount == 1


async def remove_devices(tx: Tx, user_id: str, device_ids: Collection[str] | None = None) -> int:
    """These, or all. How many there were."""
    gone = sa.delete(device).where(device.c.user_id == user_id)
    if device_ids is not None:
        gone = gone.where(device.c.device_id.in_(list(device_ids)))
    return (await tx.execute(gone)).rowcount


FALLEN = (
    sa.select(device.c.user_id, device.c.device_id)
    .select_from(
        device.outerjoin(_credential, _credential.c.id == device.c.credential_id)
        .outerjoin(_agent, _agent.c.id == device.c.agent_id)
        .outerjoin(account, account.c.user_id == device.c.user_id)
    )
    .where(sa.not_(sa.func.coalesce(STANDS, sa.false())))
    .order_by(sa.func.random())
    .limit(sa.bindparam("most"))
)


async def fallen_of(conn: Connection, now: datetime, limit: int) -> list[tuple[str, str]]:
    """User and device of sessions that let nobody in any more: left, suspended, revoked, expired or closed. In any order: what the
    homeserver fails at does not stand before the others for ever."""
    return [(row[0], row[1]) for row in await conn.execute(FALLEN, {"now": now, "most": limit})]


async def settled(conn: Connection) -> list[tuple[str, str, bool, list[str]]]:
    """User id, name, whether it is closed, and the devices signed in, of all that were once on the homeserver."""
    columns = account.c
    devices: dict[str, list[str]] = {}
    for row in await conn.execute(sa.select(device.c.user_id, device.c.device_id)):
        devices.setdefault(row[0], []).append(row[1])
    wanted = sa.select(columns.user_id, columns.display_name, columns.closed_at.is_not(None)).where(columns.ready_at.is_not(None))
    rows = await conn.execute(wanted.where(columns.agent_id.is_not(None)).order_by(columns.user_id))
    return [(row[0], row[1], bool(row[2]), devices.get(row[0], [])) for row in rows]


BY_USER_ID = sa.select(*ACCOUNT).where(account.c.user_id == sa.bindparam("user_id"))
OF_AGENT = sa.select(*ACCOUNT).where(account.c.agent_id == sa.bindparam("agent_id"))


async def find_account(conn: Connection, user_id: str) -> Account | None:
    row = (await conn.execute(BY_USER_ID, {"user_id": user_id})).one_or_none()
    return Account(*row) if row is not None else None


async def account_of(conn: Connection, agent_id: UUID) -> Account | None:
    row = (await conn.execute(OF_AGENT, {"agent_id": agent_id})).one_or_none()
    return Account(*row) if row is not None else None


async def accounts_of(conn: Connection, agent_ids: Collection[UUID]) -> dict[UUID, str]:
    """Agent → user id, of those who have an account."""
    if not agent_ids:
        return {}
    wanted = sa.select(account.c.agent_id, account.c.user_id).where(account.c.agent_id.in_(list(agent_ids)))
    return {row[0]: row[1] for row in await conn.execute(wanted)}


async def are_accounts(conn: Connection, user_ids: Collection[str]) -> set[str]:
    wanted = sa.select(account.c.user_id).where(account.c.user_id.in_(list(user_ids)), account.c.closed_at.is_(None))
    return {row[0] for row in await conn.execute(wanted)}


async def agent_of_email(conn: Connection, email: str) -> UUID | None:
    found: UUID | None = (await conn.execute(sa.select(_agent.c.id).where(_agent.c.email == email))).scalar()
    return found


async def add_account(tx: Tx, one: Account, now: datetime) -> bool:
    """False when the user id is taken."""
    values = {name: getattr(one, name) for name in Account.__slots__}
    put = upsert(tx, account).values(**values, created_at=now).on_conflict_do_nothing()
    return (await tx.execute(put)).rowcount == 1


async def change_account(tx: Tx, user_id: str, **values: Any) -> None:
    await tx.execute(sa.update(account).where(account.c.user_id == user_id).values(**values))


async def lock(tx: Tx, user_id: str) -> None:
    """Until the transaction ends."""
    await tx.execute(sa.update(account).where(account.c.user_id == user_id).values(user_id=account.c.user_id))


async def search_accounts(conn: Connection, ministry_id: UUID, start: str, limit: int) -> list[Account]:
    """Colleagues of a ministry whose user id or name begins like this."""
    pattern = start.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").casefold()
    named = sa.func.lower(account.c.display_name)
    wanted = (
        sa.select(*ACCOUNT)
        .join_from(account, _agent, _agent.c.id == account.c.agent_id)
        .where(
            _agent.c.ministry_id == ministry_id,
            account.c.closed_at.is_(None),
            sa.or_(
                account.c.user_id.like(f"@{pattern}%", escape="\\"),
                named.like(f"{pattern}%", escape="\\"),
                named.like(f"% {pattern}%", escape="\\"),
            ),
        )
        .order_by(account.c.user_id)
        .limit(limit)
    )
    return [Account(*row) for row in await conn.execute(wanted)]


async def put_account_data(tx: Tx, user_id: str, room_id: str, kind: str, content: JsonObject, stream: int) -> None:
    put = upsert_by(tx, account_data, ("user_id", "room_id", "type"), ("content", "stream"))
    await tx.execute(put, {"user_id": user_id, "room_id": room_id, "type": kind, "content": content, "stream": stream})


async def count_account_data(conn: Connection, user_id: str) -> int:
    count: int = (
        await conn.execute(sa.select(sa.func.count()).select_from(account_data).where(account_data.c.user_id == user_id))
    ).scalar_one()
    return count


async def find_account_data(conn: Connection, user_id: str, room_id: str, kind: str) -> JsonObject | None:
    columns = account_data.c
    wanted = sa.select(columns.content).where(columns.user_id == user_id, columns.room_id == room_id, columns.type == kind)
    found: JsonObject | None = (await conn.execute(wanted)).scalar()
    return found


_after: sa.BindParameter[int] = sa.bindparam("after")
_until: sa.BindParameter[int] = sa.bindparam("until")
DATA_SINCE = sa.select(account_data.c.room_id, account_data.c.type, account_data.c.content).where(
    account_data.c.user_id == sa.bindparam("user_id"), account_data.c.stream > _after, account_data.c.stream <= _until
)
RECEIPTS_SINCE = sa.select(receipt.c.room_id, receipt.c.user_id, receipt.c.event_id, receipt.c.at_ms).where(
    receipt.c.room_id.in_(sa.bindparam("room_ids", expanding=True)), receipt.c.stream > _after, receipt.c.stream <= _until
)


async def account_data_since(conn: Connection, user_id: str, after: int, until: int) -> list[tuple[str, str, JsonObject]]:
    """Room (empty for the account as a whole), kind, content."""
    rows = await conn.execute(DATA_SINCE, {"user_id": user_id, "after": after, "until": until})
    return [(row[0], row[1], row[2]) for row in rows]


async def put_receipt(tx: Tx, room_id: str, user_id: str, event_id: str, at_ms: int, stream: int) -> None:
    put = upsert_by(tx, receipt, ("room_id", "user_id"), ("event_id", "at_ms", "stream"))
    await tx.execute(put, {"room_id": room_id, "user_id": user_id, "event_id": event_id, "at_ms": at_ms, "stream": stream})


async def receipts_since(conn: Connection, room_ids: Collection[str], after: int, until: int) -> list[tuple[str, str, str, int]]:
    """Room, user, event, when."""
    if not room_ids:
        return []
    rows = await conn.execute(RECEIPTS_SINCE, {"room_ids": list(room_ids), "after": after, "until": until})
    return [(row[0], row[1], row[2], row[3]) for row in rows]


_reads = sa.select(event.c.stream).where(event.c.event_id == receipt.c.event_id).scalar_subquery()
_mine = (
    sa.select(member.c.room_id, sa.func.coalesce(_reads, member.c.stream).label("read"))
    .outerjoin(receipt, sa.and_(receipt.c.room_id == member.c.room_id, receipt.c.user_id == member.c.user_id))
    .where(member.c.user_id == sa.bindparam("user_id"), member.c.room_id.in_(sa.bindparam("room_ids", expanding=True)))
    .subquery()
)
UNREAD = (
    sa.select(_mine.c.room_id, sa.func.count())
    .join(event, sa.and_(event.c.room_id == _mine.c.room_id, event.c.stream > _mine.c.read))
    .where(event.c.type == "m.room.message", event.c.sender != sa.bindparam("user_id"))
    .group_by(_mine.c.room_id)
)


async def unread_of(conn: Connection, user_id: str, room_ids: Collection[str], most: int) -> dict[str, int]:
    """How many messages of others lie beyond what the account has read, by room."""
    if not room_ids:
        return {}
    rows = await conn.execute(UNREAD, {"user_id": user_id, "room_ids": list(room_ids)})
    return {row[0]: min(row[1], most) for row in rows}


async def add_filter(tx: Tx, user_id: str, body: JsonObject) -> str:
    made = secrets.token_hex(6)
    await tx.execute(sa.insert(sync_filter), {"id": made, "user_id": user_id, "body": body})
    return made


async def count_filters(conn: Connection, user_id: str) -> int:
    count: int = (
        await conn.execute(sa.select(sa.func.count()).select_from(sync_filter).where(sync_filter.c.user_id == user_id))
    ).scalar_one()
    return count


async def find_filter(conn: Connection, user_id: str, filter_id: str) -> JsonObject | None:
    wanted = sa.select(sync_filter.c.body).where(sync_filter.c.user_id == user_id, sync_filter.c.id == filter_id)
    found: JsonObject | None = (await conn.execute(wanted)).scalar()
    return found
