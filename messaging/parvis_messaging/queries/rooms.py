"""What may be read in rooms: their state, their events, what relates to them; to those who are in them alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from parvis_kit.db import Connection

from parvis_messaging.rules import Event, JsonObject, Session
from parvis_messaging.rules.matrix import Refused, forbidden, invalid, not_found
from parvis_messaging.store import events
from parvis_messaging.store.accounts import Account

NOT_THERE = "You are not in this room."
PAGE_MAX = 200
NEWEST = 2**62
"""Beyond any position of the stream."""
STRIPPED = frozenset(f"m.room.{one}" for one in ("create", "name", "avatar", "topic", "join_rules", "canonical_alias"))
"""What somebody who is invited sees of a room."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A page of events; `end` is where the next one begins, None when there is none."""

    events: list[JsonObject]
    start: str
    end: str | None


def token_of(position: int) -> str:
    return f"s{position}"


def position_in(token: str | None, default: int) -> int:
    """Raises Refused."""
    if not token:
        return default
    digits = token[1:]
    if token[:1] != "s" or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise invalid("This is no token of this homeserver.")
    return int(digits)


async def check_joined(conn: Connection, room_id: str, user_id: str) -> None:
    """Raises Refused: of a room one is not in, nothing is told."""
    if await events.membership_of(conn, room_id, user_id) != "join":
        raise forbidden(NOT_THERE)


def shown(one: Event, session: Session | None = None) -> JsonObject:
    """As clients get it, without its room."""
    unsigned: JsonObject = {}
    if one.txn_id is not None and session is not None and (one.sender, one.device_id) == (session.user_id, session.device_id):
        unsigned["transaction_id"] = one.txn_id
    if one.redacted_because is not None:
        unsigned["redacted_because"] = {"event_id": one.redacted_because, "type": "m.room.redaction", "redacts": one.event_id,
            "sender": one.sender, "content": {}, "origin_server_ts": one.at_ms}  # fmt: skip
    found: JsonObject = {
        "type": one.type, "event_id": one.event_id, "sender": one.sender, "origin_server_ts": one.at_ms, "content": one.content,
        "unsigned": unsigned,
    }  # fmt: skip
    if one.state_key is not None:
        found["state_key"] = one.state_key
    if one.redacts is not None:
        found["redacts"] = one.redacts
    return found


def whole(one: Event, session: Session) -> JsonObject:
    """With its room."""
    return {**shown(one, session), "room_id": one.room_id}


async def with_relations(conn: Connection, found: Sequence[Event], session: Session, *, room: bool = True) -> list[JsonObject]:
    """With what others have added to them: the last edit, the thread that they began."""
    answers = {one.event_id: (whole if room else shown)(one, session) for one in found}
    bundles = await events.bundles(conn, answers)
    if bundles:
        last = await events.events_at(conn, [position for _, _, position, _ in bundles])
        mine = await events.took_part(conn, [target for target, how, _, _ in bundles if how == "m.thread"], session.user_id)
        senders = {one.event_id: one.sender for one in found}
        for target, how, position, count in bundles:
            newest = whole(last[position], session)
            if how == "m.thread":
                part = target in mine or senders[target] == session.user_id
                bundle: JsonObject = {"latest_event": newest, "count": count, "current_user_participated": part}
            elif last[position].sender == senders[target]:
                bundle = newest
            else:
                continue  # an edit by somebody else is none
            answers[target]["unsigned"].setdefault("m.relations", {})[how] = bundle
    return list(answers.values())


async def state_for(conn: Connection, session: Session, room_id: str) -> list[JsonObject]:
    await check_joined(conn, room_id, session.user_id)
    return [whole(one, session) for one in await events.state_of(conn, [room_id])]


async def state_event_for(conn: Connection, session: Session, room_id: str, kind: str, state_key: str) -> Event:
    """Raises Refused."""
    await check_joined(conn, room_id, session.user_id)
    found = await events.state_event(conn, room_id, kind, state_key)
    if found is None:
        raise not_found("This room has no such state.")
    return found


async def event_for(conn: Connection, session: Session, room_id: str, event_id: str) -> JsonObject:
    """Raises Refused."""
    await check_joined(conn, room_id, session.user_id)
    found = await events.find_event(conn, room_id, event_id)
    if found is None:
        raise not_found("There is no such event in this room.")
    return (await with_relations(conn, [found], session))[0]


async def joined_members(conn: Connection, session: Session, room_id: str) -> dict[str, JsonObject]:
    await check_joined(conn, room_id, session.user_id)
    found = {}
    for one in await events.state_of(conn, [room_id], ["m.room.member"]):
        if one.content.get("membership") == "join" and one.state_key is not None:
            found[one.state_key] = {"display_name": one.content.get("displayname"), "avatar_url": one.content.get("avatar_url")}
    return found


async def members_for(
    conn: Connection, session: Session, room_id: str, membership: str | None, not_membership: str | None
) -> list[JsonObject]:
    await check_joined(conn, room_id, session.user_id)
    found = await events.state_of(conn, [room_id], ["m.room.member"])
    return [
        whole(one, session)
        for one in found
        if membership in (None, one.content.get("membership")) and one.content.get("membership") != not_membership
    ]


async def joined_rooms(conn: Connection, session: Session) -> list[str]:
    return sorted(room_id for room_id, membership, _ in await events.memberships_of(conn, session.user_id) if membership == "join")


async def messages_for(
    conn: Connection, session: Session, room_id: str, start: str | None, end: str | None, *, backwards: bool, limit: int
) -> Slice:
    """A page, the nearest to `start` first. Raises Refused."""
    await check_joined(conn, room_id, session.user_id)
    limit = max(1, min(limit, PAGE_MAX))
    if backwards:
        before, after = position_in(start, await events.head(conn)), position_in(end, 0)
    else:
        after, before = position_in(start, 0), position_in(end, NEWEST)
    found = await events.page(conn, room_id, after=after, before=before, backwards=backwards, limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    begin = token_of(before if backwards else after)
    last = None
    if more:
        last = token_of(found[-1].stream - 1 if backwards else found[-1].stream)
    elif not backwards:
        last = token_of(found[-1].stream) if found else None
    return Slice(await with_relations(conn, found, session), begin, last)


async def context_for(conn: Connection, session: Session, room_id: str, event_id: str, limit: int) -> JsonObject:
    """An event, with what was said around it. Raises Refused."""
    await check_joined(conn, room_id, session.user_id)
    one = await events.find_event(conn, room_id, event_id)
    if one is None:
        raise not_found("There is no such event in this room.")
    half = max(0, min(limit, PAGE_MAX)) // 2
    before = await events.page(conn, room_id, after=0, before=one.stream - 1, backwards=True, limit=half) if half else []
    after = await events.page(conn, room_id, after=one.stream, before=NEWEST, backwards=False, limit=half) if half else []
    state = await events.state_of(conn, [room_id])
    return {
        "event": (await with_relations(conn, [one], session))[0],
        "events_before": await with_relations(conn, before, session),
        "events_after": await with_relations(conn, after, session),
        "start": token_of((before[-1] if before else one).stream - 1),
        "end": token_of((after[-1] if after else one).stream),
        "state": [whole(found, session) for found in state],
    }


async def relations_for(
    conn: Connection, session: Session, room_id: str, event_id: str, rel_type: str | None, kind: str | None, start: str | None,
    *, backwards: bool, limit: int,
) -> Slice:  # fmt: skip
    """What relates to an event: its thread, its reactions, its edits. Raises Refused."""
    await check_joined(conn, room_id, session.user_id)
    if await events.find_event(conn, room_id, event_id) is None:
        raise not_found("There is no such event in this room.")
    limit = max(1, min(limit, PAGE_MAX))
    before = position_in(start, NEWEST) if backwards else NEWEST
    after = 0 if backwards else position_in(start, 0)
    found = await events.related(conn, event_id, rel_type, kind, after=after, before=before, backwards=backwards, limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    last = token_of(found[-1].stream - 1 if backwards else found[-1].stream) if more else None
    return Slice(await with_relations(conn, found, session), start or token_of(0), last)


async def threads_for(conn: Connection, session: Session, room_id: str, start: str | None, limit: int) -> Slice:
    """Raises Refused."""
    await check_joined(conn, room_id, session.user_id)
    limit = max(1, min(limit, PAGE_MAX))
    found = await events.thread_roots(conn, room_id, before=position_in(start, NEWEST), limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    roots = await with_relations(conn, [one for one, _ in found], session)
    return Slice(roots, start or token_of(0), token_of(found[-1][1] - 1) if more else None)


async def alias_for(conn: Connection, alias: str) -> str:
    """Its room. Raises Refused."""
    found = await events.room_of_alias(conn, alias)
    if found is None:
        raise not_found("There is no room of this name.")
    return found[0]


async def aliases_for(conn: Connection, session: Session, room_id: str) -> list[str]:
    await check_joined(conn, room_id, session.user_id)
    return await events.aliases_of(conn, room_id)


def stripped(state: Collection[Event], user_id: str) -> list[JsonObject]:
    """Of a room that one is invited to: what it is, and who asks."""
    invitation = next((one for one in state if one.type == "m.room.member" and one.state_key == user_id), None)
    wanted = [one for one in state if one.type in STRIPPED]
    if invitation is not None:
        wanted += [one for one in state if one.type == "m.room.member" and one.state_key == invitation.sender]
        wanted.append(invitation)
    return [
        {"type": one.type, "state_key": one.state_key, "content": one.content, "sender": one.sender, "event_id": one.event_id,
            "origin_server_ts": one.at_ms}
        for one in wanted
    ]  # fmt: skip


def profile_of(account: Account | None) -> JsonObject:
    """Raises Refused."""
    if account is None:
        raise Refused(404, "M_NOT_FOUND", "There is no such account here.")
    return {"displayname": account.display_name} | ({"avatar_url": account.avatar_url} if account.avatar_url else {})
