"""What has happened since: the answer to a sync, whole or since a position."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from parvis_kit.db import Connection
from parvis_kit.epochs import epoch_of

from parvis_messaging.queries.rooms import position_in, shown, stripped, token_of, with_relations
from parvis_messaging.rules import Event, JsonObject, Session
from parvis_messaging.store import accounts, events

TIMELINE = 20
TIMELINE_MAX = 100
"""Events of a room in one sync; older ones are paged."""
UNREAD_MAX = 100
FULL_ROOMS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client's filter says, as far as it is heeded."""

    timeline: int = TIMELINE
    full_state: bool = False
    rooms: frozenset[str] | None = None
    lazy: bool = False
    """Members only where they speak (lazy_load_members)."""


@dataclass(frozen=True, slots=True)
class Synced:
    answer: JsonObject
    has_news: bool


async def rooms_of(conn: Connection, session: Session) -> list[tuple[str, str, int]]:
    return await events.memberships_of(conn, session.user_id)


async def sync(
    conn: Connection, session: Session, since: str | None, wanted: Wanted, memberships: Sequence[tuple[str, str, int]]
) -> Synced:
    """All that lies after `since` and before now. Raises Refused for a token of somebody else's."""
    now = await events.head(conn)
    after = min(position_in(since, 0), now)
    if since is not None and epoch_of(after) != epoch_of(now):
        since, after = None, 0  # it is of before a restore, and remembers what never happened: all is told anew
    memberships = [one for one in memberships if wanted.rooms is None or one[0] in wanted.rooms]
    joined = {room_id: stream for room_id, membership, stream in memberships if membership == "join"}
    invited = [room_id for room_id, membership, stream in memberships if membership == "invite" and stream > after]
    gone = {room_id: stream for room_id, membership, stream in memberships if membership in ("leave", "ban") and stream > after}
    first = since is None or wanted.full_state
    data = await accounts.account_data_since(conn, session.user_id, 0 if first else after, now)
    rooms: JsonObject = {}
    if join := await joined_part(conn, session, joined, data, wanted, after=after, until=now, first=first):
        rooms["join"] = join
    if invited:
        rooms["invite"] = await invited_part(conn, session, invited)
    if gone and since is not None:
        rooms["leave"] = await left_part(conn, session, gone)
    own = [{"type": kind, "content": content} for room_id, kind, content in data if not room_id]
    if since is None:
        own.append({"type": "m.push_rules", "content": {"global": PUSH_RULES}})
    answer: JsonObject = {
        "next_batch": token_of(now), "device_one_time_keys_count": {"signed_curve25519": 0}, "device_unused_fallback_key_types": [],
    }  # fmt: skip
    if own:
        answer["account_data"] = {"events": own}
    if rooms:
        answer["rooms"] = rooms
    return Synced(answer, bool(own or rooms))


async def joined_part(
    conn: Connection, session: Session, joined: Mapping[str, int], data: Sequence[tuple[str, str, JsonObject]], wanted: Wanted,
    *, after: int, until: int, first: bool,
) -> JsonObject:  # fmt: skip
    """Rooms that one is in, of which there is something to tell."""
    whole = [room_id for room_id, stream in joined.items() if first or stream > after][:FULL_ROOMS_MAX]
    rest = [room_id for room_id in joined if room_id not in set(whole)]
    each = wanted.timeline + 1
    begin = 0 if after == 0 else after
    found = [*await events.latest(conn, rest, after=begin, until=until, each=each)]
    found += await events.latest(conn, whole, after=after if wanted.full_state and after else 0, until=until, each=each)
    timelines: dict[str, list[Event]] = defaultdict(list)
    for one in found:
        timelines[one.room_id].append(one)
    changed = [room_id for room_id in rest if len(timelines[room_id]) > wanted.timeline]
    states: dict[str, list[Event]] = defaultdict(list)
    for one in await events.state_of(conn, [*whole, *changed]):
        if one.room_id in whole or one.stream > after:
            states[one.room_id].append(one)
    receipts: dict[str, JsonObject] = defaultdict(dict)
    for room_id, user_id, event_id, at_ms in await accounts.receipts_since(conn, list(joined), 0 if first else after, until):
        receipts[room_id].setdefault(event_id, {}).setdefault("m.read", {})[user_id] = {"ts": at_ms}
    kept: dict[str, list[JsonObject]] = defaultdict(list)
    for room_id, kind, content in data:
        if room_id in joined:
            kept[room_id].append({"type": kind, "content": content})
    told = [room_id for room_id in joined if room_id in whole or timelines.get(room_id) or room_id in receipts or room_id in kept]
    unread = await accounts.unread_of(conn, session.user_id, told, UNREAD_MAX)
    lasts = {room_id: timelines[room_id][-wanted.timeline :] for room_id in told if room_id in timelines}
    shows = await shown_by_room(conn, session, lasts)
    counts = await members_by_room(conn, whole)
    answer = {}
    for room_id in told:
        last = lasts.get(room_id, [])
        limited = len(timelines.get(room_id, ())) > len(last)
        state = state_before(states.get(room_id, ()), last, session, wanted)
        start = last[0].stream - 1 if last else until
        part: JsonObject = {
            "timeline": {"events": shows.get(room_id, []), "limited": limited, "prev_batch": token_of(start)},
            "state": {"events": state},
            "ephemeral": {"events": [{"type": "m.receipt", "content": receipts[room_id]}] if room_id in receipts else []},
            "account_data": {"events": kept.get(room_id, [])},
            "unread_notifications": {"notification_count": unread.get(room_id, 0), "highlight_count": 0},
        }
        if room_id in counts:
            part["summary"] = counts[room_id]
        answer[room_id] = part
    return answer


def state_before(state: Sequence[Event], timeline: Sequence[Event], session: Session, wanted: Wanted) -> list[JsonObject]:
    """What stood before the timeline begins: what is in the timeline says itself."""
    inside = {one.event_id for one in timeline}
    found = [one for one in state if one.event_id not in inside]
    if wanted.lazy:
        speak = {one.sender for one in timeline} | {session.user_id}
        found = [one for one in found if one.type != "m.room.member" or one.state_key in speak]
    return [shown(one, session) for one in found]


async def shown_by_room(conn: Connection, session: Session, timelines: Mapping[str, Sequence[Event]]) -> dict[str, list[JsonObject]]:
    flat = [one for timeline in timelines.values() for one in timeline]
    places = {one.event_id: one.room_id for one in flat}
    answer: dict[str, list[JsonObject]] = defaultdict(list)
    for one in await with_relations(conn, flat, session, room=False):
        answer[places[one["event_id"]]].append(one)
    return answer


async def members_by_room(conn: Connection, room_ids: Sequence[str]) -> dict[str, JsonObject]:
    """How many there are, and a few of them by whom a room without a name is called."""
    joined: dict[str, list[str]] = defaultdict(list)
    invited: dict[str, int] = defaultdict(int)
    for one in await events.state_of(conn, room_ids, ["m.room.member"]):
        if one.content.get("membership") == "join":
            joined[one.room_id].append(str(one.state_key))
        elif one.content.get("membership") == "invite":
            invited[one.room_id] += 1
    return {
        room_id: {
            "m.joined_member_count": len(joined[room_id]),
            "m.invited_member_count": invited[room_id],
            "m.heroes": joined[room_id][:5],
        }
        for room_id in room_ids
    }


async def invited_part(conn: Connection, session: Session, room_ids: Collection[str]) -> JsonObject:
    states: dict[str, list[Event]] = defaultdict(list)
    for one in await events.state_of(conn, room_ids):
        states[one.room_id].append(one)
    return {room_id: {"invite_state": {"events": stripped(states[room_id], session.user_id)}} for room_id in room_ids}


async def left_part(conn: Connection, session: Session, gone: Mapping[str, int]) -> JsonObject:
    """The event by which one left; nothing that came after it."""
    found = await events.events_at(conn, list(gone.values()))
    answer = {}
    for room_id, stream in gone.items():
        last = [shown(found[stream], session)] if stream in found else []
        answer[room_id] = {"timeline": {"events": last, "limited": False, "prev_batch": token_of(stream - 1)}, "state": {"events": []}}
    return answer


def rule(rule_id: str, conditions: list[JsonObject], *actions: object) -> JsonObject:
    return {"rule_id": rule_id, "default": True, "enabled": True, "conditions": conditions, "actions": list(actions)}


MESSAGE = {"kind": "event_match", "key": "type", "pattern": "m.room.message"}
PUSH_RULES: JsonObject = {
    "override": [{"rule_id": ".m.rule.master", "default": True, "enabled": False, "conditions": [], "actions": []}],
    "content": [],
    "room": [],
    "sender": [],
    "underride": [
        rule(
            ".m.rule.room_one_to_one",
            [{"kind": "room_member_count", "is": "2"}, MESSAGE],
            "notify",
            {"set_tweak": "sound", "value": "default"},
        ),
        rule(".m.rule.message", [MESSAGE], "notify"),
    ],
}
"""What every client rings for; there is no push beside sync."""
