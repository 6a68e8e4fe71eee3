"""Rooms: made, entered, left, written in, and what was written taken back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from parvis_kit.db import Tx

from parvis_messaging.actions import inbounds
from parvis_messaging.homeserver import Home
from parvis_messaging.rules import Event, JsonObject, Session, milliseconds
from parvis_messaging.rules.matrix import (
    EVENT_BYTES_MAX,
    ROOM_VERSION,
    Refused,
    bad_json,
    forbidden,
    invalid,
    new_event_id,
    new_room_id,
    not_found,
    redacted,
    relation_of,
    too_large,
)
from parvis_messaging.rules.power import check_new_levels, check_power, first_levels, level_of, needed, needed_for
from parvis_messaging.store import accounts, events
from parvis_messaging.store.accounts import Account

ROOMS_MAX = 1000
"""Of an account, those it is invited to among them."""
MEMBERS_MAX = 2000
"""Of a room: a state event each, in every first sync."""
INVITED_MAX = 100
"""At once, when a room is made."""
STATE_MAX = 50
"""Events of `initial_state`."""
MANAGED = frozenset({"m.room.create", "m.room.member"})
"""State that has doors of its own."""
ENCRYPTION = "m.room.encryption"
OPEN = ("join", "invite")


@dataclass(frozen=True, slots=True)
class Author:
    """Who does it, and by which request of theirs."""

    user_id: str
    device_id: str | None = None
    txn_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewRoom:
    """What a room is to be like."""

    name: str = ""
    topic: str = ""
    alias: str = ""
    """Whole, as `#team:server`; none when empty."""
    invite: Sequence[str] = ()
    is_direct: bool = False
    public: bool = False
    trusted: bool = False
    """The invited have the creator's power level."""
    levels: JsonObject = field(default_factory=dict)
    state: Sequence[JsonObject] = ()
    creation: JsonObject = field(default_factory=dict)


def author_of(session: Session, txn_id: str | None = None) -> Author:
    return Author(session.user_id, session.device_id, txn_id)


async def append(
    tx: Tx, home: Home, room_id: str, author: Author, kind: str, content: JsonObject, *, state_key: str | None = None,
    redacts: str | None = None, now: datetime,
) -> Event:  # fmt: skip
    """Written, whoever may: the rules have been looked at."""
    position = await events.take_positions(tx, 1)
    relates_to, rel_type = (None, None) if state_key is not None else relation_of(content)
    one = Event(
        position, new_event_id(), room_id, kind, state_key, author.user_id, content, milliseconds(now), author.device_id, author.txn_id,
        relates_to, rel_type, redacts, None,
    )  # fmt: skip
    await events.add_event(tx, one)
    woken = [room_id]
    if kind == "m.room.member" and state_key is not None:
        await events.put_member(tx, room_id, state_key, content["membership"], position)
        woken.append(state_key)
    tx.after_commit.append(lambda: home.waiters.wake(position, *woken))
    return one


async def create_room(tx: Tx, home: Home, author: Author, new: NewRoom, *, now: datetime) -> str:
    """Raises Refused."""
    await events.take_positions(tx, 0)
    await check_rooms(tx, author.user_id)
    invited = list(dict.fromkeys(one for one in new.invite if one != author.user_id))
    await check_accounts(tx, invited)
    room_id = new_room_id(home.server)
    if new.alias and not await events.add_alias(tx, new.alias, room_id, author.user_id):
        raise Refused(400, "M_ROOM_IN_USE", f"There is a room {new.alias} already.")
    await events.add_room(tx, room_id, author.user_id, now)
    quiet = Author(author.user_id)

    async def put(kind: str, content: JsonObject, state_key: str = "") -> None:
        await append(tx, home, room_id, quiet, kind, content, state_key=state_key, now=now)

    await put("m.room.create", {**new.creation, "creator": author.user_id, "room_version": ROOM_VERSION})
    await put("m.room.member", await member_content(tx, author.user_id, "join"), author.user_id)
    trusted: dict[str, int] = dict.fromkeys(invited, 100) if new.trusted else {}
    await put("m.room.power_levels", {**first_levels(author.user_id, trusted), **new.levels})
    await put("m.room.join_rules", {"join_rule": "public" if new.public else "invite"})
    await put("m.room.history_visibility", {"history_visibility": "shared"})
    await put("m.room.guest_access", {"guest_access": "forbidden"})
    if new.alias:
        await put("m.room.canonical_alias", {"alias": new.alias})
    for one in new.state:
        await put(one["type"], one["content"], one.get("state_key", ""))
    if new.name:
        await put("m.room.name", {"name": new.name})
    if new.topic:
        await put("m.room.topic", {"topic": new.topic})
    for user_id in invited:
        content = await member_content(tx, user_id, "invite")
        await put("m.room.member", {**content, **({"is_direct": True} if new.is_direct else {})}, user_id)
    return room_id


async def send(tx: Tx, home: Home, room_id: str, author: Author, kind: str, content: JsonObject, *, now: datetime) -> str:
    """The event's id; the same again for the same transaction id. Raises Refused."""
    await events.take_positions(tx, 0)
    if (sent := await sent_before(tx, author, room_id)) is not None:
        return sent
    levels = await levels_for(tx, room_id, author.user_id)
    check_power(levels, author.user_id, needed_for(levels, kind, state=False), "send this")
    check_size(content)
    if kind == "m.room.redaction":
        raise bad_json("A redaction is asked for by PUT …/redact/{eventId}/{txnId}.")
    if kind == "m.room.encrypted":
        raise forbidden(NO_ENCRYPTION)
    one = await append(tx, home, room_id, author, kind, content, now=now)
    if await inbounds.note(tx, one, now=now):
        tx.after_commit.append(home.noted.set)
    return one.event_id


NO_ENCRYPTION = "This homeserver offers no end-to-end encryption: messages are encrypted on their way, and readable to the suite."


async def set_state(
    tx: Tx, home: Home, room_id: str, author: Author, kind: str, state_key: str, content: JsonObject, *, now: datetime
) -> str:
    """The event's id; that of the standing one when nothing changes. Raises Refused."""
    await events.take_positions(tx, 0)
    levels = await levels_for(tx, room_id, author.user_id)
    if kind == "m.room.member":
        return await change_membership(tx, home, room_id, author, state_key, str(content.get("membership")), content, now=now)
    check_state(kind, content)
    check_power(levels, author.user_id, needed_for(levels, kind, state=True), "change this")
    if state_key.startswith("@") and state_key != author.user_id:
        raise forbidden("A state key that is a user id belongs to that user.")
    if kind == "m.room.power_levels":
        check_new_levels(levels, content, author.user_id)
    standing = await events.state_event(tx, room_id, kind, state_key)
    if standing is not None and standing.content == content:
        return standing.event_id
    return (await append(tx, home, room_id, author, kind, content, state_key=state_key, now=now)).event_id


def check_state(kind: str, content: JsonObject) -> None:
    """Raises Refused."""
    check_size(content)
    if kind in MANAGED:
        raise forbidden(f"{kind} cannot be set like this.")
    if kind == ENCRYPTION:
        raise forbidden(NO_ENCRYPTION)


async def change_membership(
    tx: Tx, home: Home, room_id: str, author: Author, user_id: str, membership: str, content: JsonObject | None = None, *, now: datetime
) -> str:
    """Join, leave, invite, kick, ban, unban. Raises Refused."""
    await events.take_positions(tx, 0)
    if not await events.is_room(tx, room_id):
        raise not_found(NO_ROOM)
    before, mine = await events.membership_of(tx, room_id, user_id), await events.membership_of(tx, room_id, author.user_id)
    power = await events.state_event(tx, room_id, "m.room.power_levels", "")
    levels: JsonObject = power.content if power is not None else {}
    own = user_id == author.user_id
    match membership:
        case "join" if own:
            await check_may_join(tx, room_id, before)
        case "leave" if own:
            if before not in (*OPEN, "leave"):
                raise forbidden(NOT_THERE)
        case "invite" if not own and mine == "join":
            check_power(levels, author.user_id, needed(levels, "invite"), "invite")
            if before in ("join", "ban"):
                raise forbidden("They are in the room already." if before == "join" else "They are banned from the room.")
            await check_accounts(tx, [user_id])
            await check_members(tx, room_id)
        case "leave" | "ban" if not own and mine == "join":
            act = "ban" if membership == "ban" or before == "ban" else "kick"
            check_power(levels, author.user_id, needed(levels, act), act)
            if membership == "leave" and before in (None, "leave"):
                raise forbidden("They are not in the room.")
            if level_of(levels, user_id) >= level_of(levels, author.user_id):
                raise forbidden("Their power level is not below yours.")
        case "join" | "leave" | "invite" | "ban":
            raise forbidden(NOT_THERE)
        case _:
            raise bad_json("membership is join, leave, invite or ban.")
    standing = await events.state_event(tx, room_id, "m.room.member", user_id)
    told: JsonObject = {name: content[name] for name in ("reason", "is_direct") if content and name in content}
    new: JsonObject = {**await member_content(tx, user_id, membership), **told}
    if standing is not None and before == membership and {**standing.content, "reason": None} == {**new, "reason": None}:
        return standing.event_id
    return (await append(tx, home, room_id, author, "m.room.member", new, state_key=user_id, now=now)).event_id


async def check_may_join(tx: Tx, room_id: str, before: str | None) -> None:
    rule = await events.state_event(tx, room_id, "m.room.join_rules", "")
    public = rule is not None and rule.content.get("join_rule") == "public"
    if before == "ban" or (before not in OPEN and not public):
        raise forbidden("You are not invited to this room.")
    if before != "join":
        await check_members(tx, room_id)


async def redact(tx: Tx, home: Home, room_id: str, author: Author, event_id: str, reason: str | None, *, now: datetime) -> str:
    """One's own, or another's with the power for it. Raises Refused."""
    await events.take_positions(tx, 0)
    if (sent := await sent_before(tx, author, room_id)) is not None:
        return sent
    levels = await levels_for(tx, room_id, author.user_id)
    found = await events.find_event(tx, room_id, event_id)
    if found is None:
        raise not_found("There is no such event in this room.")
    if found.type == "m.room.create":
        raise forbidden("The creation of a room cannot be taken back.")
    if found.sender != author.user_id:
        check_power(levels, author.user_id, needed(levels, "redact"), "take back what others wrote")
    content: JsonObject = {"redacts": event_id, **({"reason": reason} if reason else {})}
    one = await append(tx, home, room_id, author, "m.room.redaction", content, redacts=event_id, now=now)
    await events.redact(tx, event_id, redacted(found.type, found.content), one.event_id)
    return one.event_id


async def put_alias(tx: Tx, room_id: str, author: Author, alias: str) -> None:
    """Raises Refused."""
    levels = await levels_for(tx, room_id, author.user_id)
    check_power(levels, author.user_id, needed_for(levels, "m.room.canonical_alias", state=True), "give the room an alias")
    if not await events.add_alias(tx, alias, room_id, author.user_id):
        raise Refused(409, "M_UNKNOWN", f"There is a room {alias} already.")


async def remove_alias(tx: Tx, author: Author, alias: str) -> None:
    """Raises Refused."""
    found = await events.room_of_alias(tx, alias)
    if found is None:
        raise not_found("There is no such alias.")
    if found[1] != author.user_id:
        levels = await levels_for(tx, found[0], author.user_id)
        check_power(levels, author.user_id, needed_for(levels, "m.room.canonical_alias", state=True), "take an alias away")
    await events.remove_alias(tx, alias)


async def put_receipt(tx: Tx, home: Home, session: Session, room_id: str, event_id: str, *, now: datetime) -> None:
    """How far somebody has read. Raises Refused."""
    position = await events.take_positions(tx, 1)
    await levels_for(tx, room_id, session.user_id)
    if await events.find_event(tx, room_id, event_id) is None:
        raise not_found("There is no such event in this room.")
    await accounts.put_receipt(tx, room_id, session.user_id, event_id, milliseconds(now), position)
    tx.after_commit.append(lambda: home.waiters.wake(position, room_id))


async def forget(tx: Tx, room_id: str, session: Session) -> None:
    """Raises Refused while one is in the room."""
    if await events.membership_of(tx, room_id, session.user_id) in OPEN:
        raise Refused(400, "M_UNKNOWN", "Leave the room first.")


async def rename(tx: Tx, home: Home, author: Author, values: JsonObject, *, now: datetime) -> None:
    """Another picture; every room of theirs shows it."""
    await events.take_positions(tx, 0)
    await accounts.change_account(tx, author.user_id, **values)
    content = await member_content(tx, author.user_id, "join")
    for room_id, membership, _ in await events.memberships_of(tx, author.user_id):
        if membership == "join":
            await append(tx, home, room_id, author, "m.room.member", content, state_key=author.user_id, now=now)


async def leave_all(tx: Tx, home: Home, user_id: str, *, now: datetime) -> int:
    """How many rooms there were, invitations among them."""
    left = [room_id for room_id, membership, _ in await events.memberships_of(tx, user_id) if membership in OPEN]
    content = await member_content(tx, user_id, "leave")
    for room_id in left:
        await append(tx, home, room_id, Author(user_id), "m.room.member", content, state_key=user_id, now=now)
    return len(left)


NO_ROOM = "There is no such room, or it is not yours to see."
NOT_THERE = "You are not in this room."


async def levels_for(tx: Tx, room_id: str, user_id: str) -> JsonObject:
    """The power levels of a room that one is in. Raises Refused: of a room one is not in, nothing is told."""
    if await events.membership_of(tx, room_id, user_id) != "join":
        raise forbidden(NOT_THERE)
    power = await events.state_event(tx, room_id, "m.room.power_levels", "")
    return power.content if power is not None else {}


async def sent_before(tx: Tx, author: Author, room_id: str) -> str | None:
    if author.txn_id is None or author.device_id is None:
        return None
    return await events.find_sent(tx, author.user_id, author.device_id, author.txn_id, room_id)


async def member_content(tx: Tx, user_id: str, membership: str) -> JsonObject:
    account: Account | None = await accounts.find_account(tx, user_id)
    content: JsonObject = {"membership": membership}
    if account is not None:
        content["displayname"] = account.display_name
        if account.avatar_url:
            content["avatar_url"] = account.avatar_url
    return content


async def check_accounts(tx: Tx, user_ids: Sequence[str]) -> None:
    if user_ids and (unknown := set(user_ids) - await accounts.are_accounts(tx, user_ids)):
        raise not_found(f"There is no account {sorted(unknown)[0]} on this homeserver, which talks to no other.")


async def check_rooms(tx: Tx, user_id: str) -> None:
    if await events.count_rooms(tx, user_id) >= ROOMS_MAX:
        raise invalid(f"An account is in at most {ROOMS_MAX} rooms: leave some first.")


async def check_members(tx: Tx, room_id: str) -> None:
    if len(await events.members_of(tx, room_id, OPEN)) >= MEMBERS_MAX:
        raise invalid(f"A room has at most {MEMBERS_MAX} members.")


def check_size(content: JsonObject) -> None:
    if len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()) > EVENT_BYTES_MAX:
        raise too_large(f"The content of an event has at most {EVENT_BYTES_MAX} bytes.")
