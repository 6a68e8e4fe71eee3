"""Events of rooms, their state and their members, in the one order of the stream."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert_by
from parvis_kit.epochs import EPOCH, next_epoch

from parvis_messaging.rules import Event, JsonObject
from parvis_messaging.store import event, member, room, room_alias, room_state, stream_head

EVENT = tuple(event.c[name] for name in Event.__slots__)
STATE = sa.select(*EVENT).join_from(room_state, event, event.c.stream == room_state.c.stream)
TAKE = sa.update(stream_head).values(position=stream_head.c.position + sa.bindparam("count")).returning(stream_head.c.position)
HEAD = sa.select(stream_head.c.position)
ADD = sa.insert(event)
_room_id: sa.BindParameter[str] = sa.bindparam("room_id")
_standing = room_state.c
STATE_EVENT = STATE.where(
    _standing.room_id == _room_id, _standing.type == sa.bindparam("kind"), _standing.state_key == sa.bindparam("state_key")
)
STATE_OF = STATE.where(_standing.room_id.in_(sa.bindparam("room_ids", expanding=True))).order_by(event.c.stream)
STATE_OF_KINDS = STATE_OF.where(_standing.type.in_(sa.bindparam("kinds", expanding=True)))
MEMBERSHIP = sa.select(member.c.membership).where(member.c.room_id == _room_id, member.c.user_id == sa.bindparam("user_id"))
MEMBERS = (
    sa.select(member.c.user_id)
    .where(member.c.room_id == _room_id, member.c.membership.in_(sa.bindparam("memberships", expanding=True)))
    .order_by(member.c.user_id)
)
SENT = sa.select(event.c.event_id).where(
    event.c.sender == sa.bindparam("sender"),
    event.c.device_id == sa.bindparam("device_id"),
    event.c.txn_id == sa.bindparam("txn_id"),
    event.c.room_id == _room_id,
)
BY_ID = sa.select(*EVENT).where(event.c.event_id == sa.bindparam("event_id"), event.c.room_id == _room_id)
_inside = event.c.stream > sa.bindparam("after"), event.c.stream <= sa.bindparam("until")
_number = sa.func.row_number().over(partition_by=event.c.room_id, order_by=event.c.stream.desc()).label("number")
_ranked = sa.select(event.c.stream, _number).where(event.c.room_id.in_(sa.bindparam("room_ids", expanding=True)), *_inside).subquery()
LATEST = (
    sa.select(*EVENT)
    .join(_ranked, _ranked.c.stream == event.c.stream)
    .where(_ranked.c.number <= sa.bindparam("each"))
    .order_by(event.c.stream)
)
BUNDLES = (
    sa.select(event.c.relates_to, event.c.rel_type, sa.func.max(event.c.stream), sa.func.count())
    .where(event.c.relates_to.in_(sa.bindparam("event_ids", expanding=True)), event.c.rel_type.in_(("m.thread", "m.replace")))
    .group_by(event.c.relates_to, event.c.rel_type)
)
MINE = sa.select(member.c.room_id, member.c.membership, member.c.stream).where(member.c.user_id == sa.bindparam("user_id"))


async def take_positions(tx: Tx, count: int) -> int:
    """The last of so many new ones. Whoever has them is alone until the transaction ends."""
    last: int = (await tx.execute(TAKE, {"count": count})).scalar_one()
    return last


async def head(conn: Connection) -> int:
    position: int = (await conn.execute(HEAD)).scalar_one()
    return position


async def renew_positions(tx: Tx, now: datetime) -> int:
    """Go on in an epoch of its own: what was given out before is known by its number."""
    position = await head(tx)
    await tx.execute(sa.update(stream_head).values(position=next_epoch(position, now) * EPOCH))
    return 1


async def add_room(tx: Tx, room_id: str, creator: str, now: datetime) -> None:
    await tx.execute(sa.insert(room), {"room_id": room_id, "creator": creator, "created_at": now})


async def add_event(tx: Tx, one: Event) -> None:
    await tx.execute(ADD, {name: getattr(one, name) for name in Event.__slots__})
    if one.state_key is not None:
        key = {"room_id": one.room_id, "type": one.type, "state_key": one.state_key}
        await tx.execute(upsert_by(tx, room_state, tuple(key), ("stream",)), key | {"stream": one.stream})


async def put_member(tx: Tx, room_id: str, user_id: str, membership: str, stream: int) -> None:
    put = upsert_by(tx, member, ("room_id", "user_id"), ("membership", "stream"))
    await tx.execute(put, {"room_id": room_id, "user_id": user_id, "membership": membership, "stream": stream})


async def find_sent(conn: Connection, sender: str, device_id: str, txn_id: str, room_id: str) -> str | None:
    """The event that this device made by this transaction id already."""
    by = {"sender": sender, "device_id": device_id, "txn_id": txn_id, "room_id": room_id}
    found: str | None = (await conn.execute(SENT, by)).scalar()
    return found


async def find_event(conn: Connection, room_id: str, event_id: str) -> Event | None:
    row = (await conn.execute(BY_ID, {"event_id": event_id, "room_id": room_id})).one_or_none()
    return Event(*row) if row is not None else None


async def redact(tx: Tx, event_id: str, content: JsonObject, because: str) -> None:
    """What it said is gone from the database, not only from sight."""
    values = {"content": content, "redacted_because": because, "relates_to": None, "rel_type": None}
    await tx.execute(sa.update(event).where(event.c.event_id == event_id).values(**values))


async def state_event(conn: Connection, room_id: str, kind: str, state_key: str) -> Event | None:
    row = (await conn.execute(STATE_EVENT, {"room_id": room_id, "kind": kind, "state_key": state_key})).one_or_none()
    return Event(*row) if row is not None else None


async def state_of(conn: Connection, room_ids: Collection[str], kinds: Collection[str] | None = None) -> list[Event]:
    """Of these rooms, in the order of the stream."""
    if not room_ids:
        return []
    rooms: dict[str, Any] = {"room_ids": list(room_ids)}
    rows = await (conn.execute(STATE_OF, rooms) if kinds is None else conn.execute(STATE_OF_KINDS, rooms | {"kinds": list(kinds)}))
    return [Event(*row) for row in rows]


async def membership_of(conn: Connection, room_id: str, user_id: str) -> str | None:
    found: str | None = (await conn.execute(MEMBERSHIP, {"room_id": room_id, "user_id": user_id})).scalar()
    return found


async def memberships_of(conn: Connection, user_id: str) -> list[tuple[str, str, int]]:
    """Room, membership, and the position of the last change of it."""
    return [(row[0], row[1], row[2]) for row in await conn.execute(MINE, {"user_id": user_id})]


async def members_of(conn: Connection, room_id: str, memberships: Collection[str] = ("join",)) -> list[str]:
    return [row[0] for row in await conn.execute(MEMBERS, {"room_id": room_id, "memberships": list(memberships)})]


async def count_rooms(conn: Connection, user_id: str) -> int:
    count: int = (
        await conn.execute(
            sa.select(sa.func.count()).select_from(member).where(member.c.user_id == user_id, member.c.membership != "leave")
        )
    ).scalar_one()
    return count


async def is_room(conn: Connection, room_id: str) -> bool:
    return (await conn.execute(sa.select(room.c.room_id).where(room.c.room_id == room_id))).first() is not None


async def room_of_alias(conn: Connection, alias: str) -> tuple[str, str] | None:
    """The room, and who gave it the alias."""
    row = (await conn.execute(sa.select(room_alias.c.room_id, room_alias.c.creator).where(room_alias.c.alias == alias))).one_or_none()
    return (row[0], row[1]) if row is not None else None


async def aliases_of(conn: Connection, room_id: str) -> list[str]:
    wanted = sa.select(room_alias.c.alias).where(room_alias.c.room_id == room_id).order_by(room_alias.c.alias)
    return [row[0] for row in await conn.execute(wanted)]


async def add_alias(tx: Tx, alias: str, room_id: str, creator: str) -> bool:
    """False when it is taken."""
    put = upsert_by(tx, room_alias, ("alias",))
    return (await tx.execute(put, {"alias": alias, "room_id": room_id, "creator": creator})).rowcount == 1


async def remove_alias(tx: Tx, alias: str) -> None:
    await tx.execute(sa.delete(room_alias).where(room_alias.c.alias == alias))


async def page(conn: Connection, room_id: str, *, after: int, before: int, backwards: bool, limit: int) -> list[Event]:
    """Events with positions in (after, before], the nearest to where one begins first."""
    columns = event.c
    wanted = sa.select(*EVENT).where(columns.room_id == room_id, columns.stream > after, columns.stream <= before)
    order = columns.stream.desc() if backwards else columns.stream.asc()
    return [Event(*row) for row in await conn.execute(wanted.order_by(order).limit(limit))]


async def latest(conn: Connection, room_ids: Sequence[str], *, after: int, until: int, each: int) -> list[Event]:
    """The last `each` events of each of these rooms with positions in (after, until], oldest first."""
    if not room_ids:
        return []
    asked = {"room_ids": list(room_ids), "after": after, "until": until, "each": each}
    return [Event(*row) for row in await conn.execute(LATEST, asked)]


async def related(
    conn: Connection, event_id: str, rel_type: str | None, kind: str | None, *, after: int, before: int, backwards: bool, limit: int
) -> list[Event]:
    columns = event.c
    wanted = sa.select(*EVENT).where(columns.relates_to == event_id, columns.stream > after, columns.stream <= before)
    if rel_type is not None:
        wanted = wanted.where(columns.rel_type == rel_type)
    if kind is not None:
        wanted = wanted.where(columns.type == kind)
    order = columns.stream.desc() if backwards else columns.stream.asc()
    return [Event(*row) for row in await conn.execute(wanted.order_by(order).limit(limit))]


async def bundles(conn: Connection, event_ids: Collection[str]) -> list[tuple[str, str, int, int]]:
    """For each that others relate to: event, how, the position of the last one, how many."""
    if not event_ids:
        return []
    return [(row[0], row[1], row[2], row[3]) for row in await conn.execute(BUNDLES, {"event_ids": list(event_ids)})]


async def events_at(conn: Connection, positions: Collection[int]) -> dict[int, Event]:
    if not positions:
        return {}
    found = await conn.execute(sa.select(*EVENT).where(event.c.stream.in_(list(positions))))
    return {one.stream: one for one in (Event(*row) for row in found)}


async def took_part(conn: Connection, roots: Collection[str], user_id: str) -> set[str]:
    """In which of these threads somebody has written."""
    if not roots:
        return set()
    columns = event.c
    wanted = sa.select(columns.relates_to).where(columns.relates_to.in_(list(roots)), columns.rel_type == "m.thread")
    return {row[0] for row in await conn.execute(wanted.where(columns.sender == user_id).distinct())}


async def thread_roots(conn: Connection, room_id: str, *, before: int, limit: int) -> list[tuple[Event, int]]:
    """Threads of a room, the one that was written in last first, with the position of its last event."""
    reply, root = event.alias("reply"), event
    last = (
        sa.select(reply.c.relates_to, sa.func.max(reply.c.stream).label("last"))
        .where(reply.c.room_id == room_id, reply.c.rel_type == "m.thread", reply.c.relates_to.is_not(None))
        .group_by(reply.c.relates_to)
        .subquery()
    )
    wanted = sa.select(*EVENT, last.c.last).join_from(root, last, last.c.relates_to == root.c.event_id).where(last.c.last <= before)
    rows: Sequence[Any] = (await conn.execute(wanted.order_by(last.c.last.desc()).limit(limit))).all()
    return [(Event(*row[:-1]), row[-1]) for row in rows]
