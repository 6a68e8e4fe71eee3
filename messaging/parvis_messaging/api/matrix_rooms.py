"""Rooms: made, entered and left, and what stands in them."""

from typing import Any

from parvis_kit.http import DB

from parvis_messaging import actions
from parvis_messaging.actions.rooms import INVITED_MAX, STATE_MAX, check_state
from parvis_messaging.api.matrix_common import Call, Doors
from parvis_messaging.queries import rooms
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import (
    ALIAS_LOCALPART,
    ROOM_VERSION,
    Refused,
    bad_json,
    forbidden,
    invalid,
    list_in,
    number_in,
    object_in,
    text_in,
)
from parvis_messaging.rules.power import check_new_levels

DOORS = Doors()
ROUTES = DOORS.routes
PAGE = 10
NAME_CHARACTERS_MAX = 255
TOPIC_CHARACTERS_MAX = 2000
PRESETS = {"private_chat": (False, False), "trusted_private_chat": (False, True), "public_chat": (True, False)}
"""Whether anybody may enter, and whether the invited have the power of who made it."""


@DOORS.open("POST", "/createRoom")
async def create_room(call: Call) -> JsonObject:
    new = new_room(call, await call.body())
    async with call.request[DB].transaction() as tx:
        return {"room_id": await actions.create_room(tx, call.home, actions.author_of(call.session), new, now=call.now)}


def new_room(call: Call, body: JsonObject) -> actions.NewRoom:
    """Raises Refused."""
    version = text_in(body, "room_version", ROOM_VERSION)
    if version != ROOM_VERSION:
        raise Refused(400, "M_UNSUPPORTED_ROOM_VERSION", f"Rooms here are of version {ROOM_VERSION}.")
    visible = text_in(body, "visibility", "private")
    preset = text_in(body, "preset", "public_chat" if visible == "public" else "private_chat")
    if preset not in PRESETS:
        raise invalid(f"preset is one of {', '.join(PRESETS)}.")
    local = text_in(body, "room_alias_name", "")
    if local and (ALIAS_LOCALPART.fullmatch(local) is None or local.startswith("_parvis_")):
        raise invalid("This cannot be the name of a room: no space, no colon, and none that begins with _parvis_.")
    invite = list_in(body, "invite", INVITED_MAX)
    if not all(isinstance(one, str) for one in invite):
        raise bad_json("invite is a list of user ids.")
    if list_in(body, "invite_3pid", INVITED_MAX):
        raise forbidden("Invite by user id: nobody is written to from here.")
    public, trusted = PRESETS[preset]
    levels = object_in(body, "power_level_content_override")
    check_new_levels({"users": {call.session.user_id: 100}}, levels, call.session.user_id)
    creation = object_in(body, "creation_content")
    return actions.NewRoom(
        name=text_in(body, "name", "", NAME_CHARACTERS_MAX), topic=text_in(body, "topic", "", TOPIC_CHARACTERS_MAX),
        alias=call.home.alias(local) if local else "", invite=invite, is_direct=body.get("is_direct") is True, public=public,
        trusted=trusted, levels=levels, state=[first_state(one) for one in list_in(body, "initial_state", STATE_MAX)],
        creation={name: value for name, value in creation.items() if name in ("type", "m.federate", "predecessor")},
    )  # fmt: skip


def first_state(one: Any) -> JsonObject:
    """Raises Refused."""
    if not isinstance(one, dict):
        raise bad_json("initial_state is a list of events.")
    kind, content = text_in(one, "type"), object_in(one, "content")
    check_state(kind, content)
    if kind == "m.room.power_levels":
        raise bad_json("Power levels go into power_level_content_override.")
    return {"type": kind, "content": content, "state_key": text_in(one, "state_key", "")}


@DOORS.open("POST", "/rooms/{room_id}/join")
async def join(call: Call) -> JsonObject:
    await call.body()
    room_id = call.path("room_id")
    await _change(call, room_id, call.session.user_id, "join", {})
    return {"room_id": room_id}


@DOORS.open("POST", "/join/{room}")
async def join_by_name(call: Call) -> JsonObject:
    await call.body()
    room_id = call.path("room")
    if room_id.startswith("#"):
        async with call.request[DB].read() as conn:
            room_id = await rooms.alias_for(conn, room_id)
    await _change(call, room_id, call.session.user_id, "join", {})
    return {"room_id": room_id}


@DOORS.open("POST", "/rooms/{room_id}/leave")
async def leave(call: Call) -> JsonObject:
    await _change(call, call.path("room_id"), call.session.user_id, "leave", await call.body())
    return {}


@DOORS.open("POST", "/rooms/{room_id}/forget")
async def forget(call: Call) -> JsonObject:
    async with call.request[DB].transaction() as tx:
        await actions.forget(tx, call.path("room_id"), call.session)
    return {}


@DOORS.open("POST", "/rooms/{room_id}/invite")
async def invite(call: Call) -> JsonObject:
    return await _change_other(call, "invite")


@DOORS.open("POST", "/rooms/{room_id}/kick")
@DOORS.open("POST", "/rooms/{room_id}/unban")
async def kick(call: Call) -> JsonObject:
    return await _change_other(call, "leave")


@DOORS.open("POST", "/rooms/{room_id}/ban")
async def ban(call: Call) -> JsonObject:
    return await _change_other(call, "ban")


async def _change_other(call: Call, membership: str) -> JsonObject:
    body = await call.body()
    user_id = text_in(body, "user_id")
    if user_id == call.session.user_id:
        raise forbidden("This is done to others.")
    await _change(call, call.path("room_id"), user_id, membership, body)
    return {}


async def _change(call: Call, room_id: str, user_id: str, membership: str, body: JsonObject) -> None:
    content: JsonObject = {"reason": text_in(body, "reason", "", TOPIC_CHARACTERS_MAX)} if body.get("reason") else {}
    author = actions.author_of(call.session)
    async with call.request[DB].transaction() as tx:
        await actions.change_membership(tx, call.home, room_id, author, user_id, membership, content, now=call.now)


@DOORS.open("GET", "/joined_rooms")
async def joined_rooms(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        return {"joined_rooms": await rooms.joined_rooms(conn, call.session)}


@DOORS.open("GET", "/rooms/{room_id}/joined_members")
async def joined_members(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        return {"joined": await rooms.joined_members(conn, call.session, call.path("room_id"))}


@DOORS.open("GET", "/rooms/{room_id}/members")
async def members(call: Call) -> JsonObject:
    wanted = call.query("membership"), call.query("not_membership")
    async with call.request[DB].read() as conn:
        return {"chunk": await rooms.members_for(conn, call.session, call.path("room_id"), *wanted)}


@DOORS.open("GET", "/rooms/{room_id}/state")
async def state(call: Call) -> Any:
    async with call.request[DB].read() as conn:
        return await rooms.state_for(conn, call.session, call.path("room_id"))


@DOORS.open("GET", "/rooms/{room_id}/state/{type}")
@DOORS.open("GET", "/rooms/{room_id}/state/{type}/{state_key:.*}")
async def state_event(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        found = await rooms.state_event_for(conn, call.session, call.path("room_id"), call.path("type"), call.path("state_key"))
    return rooms.whole(found, call.session) if call.query("format") == "event" else found.content


@DOORS.open("PUT", "/rooms/{room_id}/state/{type}")
@DOORS.open("PUT", "/rooms/{room_id}/state/{type}/{state_key:.*}")
async def set_state(call: Call) -> JsonObject:
    kind, key, content = call.path("type"), call.path("state_key"), await call.body()
    author = actions.author_of(call.session)
    async with call.request[DB].transaction() as tx:
        sent = await actions.set_state(tx, call.home, call.path("room_id"), author, kind, key, content, now=call.now)
    return {"event_id": sent}


@DOORS.open("GET", "/rooms/{room_id}/aliases")
async def aliases(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        return {"aliases": await rooms.aliases_for(conn, call.session, call.path("room_id"))}


@DOORS.open("GET", "/directory/room/{alias}")
async def resolve_alias(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        return {"room_id": await rooms.alias_for(conn, call.path("alias")), "servers": [call.home.server]}


@DOORS.open("PUT", "/directory/room/{alias}")
async def put_alias(call: Call) -> JsonObject:
    alias, room_id = call.path("alias"), text_in(await call.body(), "room_id")
    local, _, server = alias.removeprefix("#").partition(":")
    if not alias.startswith("#") or server != call.home.server or ALIAS_LOCALPART.fullmatch(local) is None or local.startswith("_parvis_"):
        raise invalid(f"An alias here is #name:{call.home.server}.")
    async with call.request[DB].transaction() as tx:
        await actions.put_alias(tx, room_id, actions.author_of(call.session), alias)
    return {}


@DOORS.open("DELETE", "/directory/room/{alias}")
async def remove_alias(call: Call) -> JsonObject:
    async with call.request[DB].transaction() as tx:
        await actions.remove_alias(tx, actions.author_of(call.session), call.path("alias"))
    return {}


@DOORS.open("GET", "/publicRooms")
@DOORS.open("POST", "/publicRooms")
async def public_rooms(call: Call) -> JsonObject:
    """None is listed: one is invited, or knows the alias."""
    return {"chunk": [], "total_room_count_estimate": 0}


@DOORS.open("GET", "/rooms/{room_id}/hierarchy", versions=("v1",))
async def hierarchy(call: Call) -> JsonObject:
    raise Refused(404, "M_NOT_FOUND", "This room is no space.")


def limit_of(call: Call, default: int = PAGE) -> int:
    return number_in(call.query("limit"), default, rooms.PAGE_MAX)
