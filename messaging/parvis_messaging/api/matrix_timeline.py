"""What is written in a room: sent, read page by page, taken back; threads, reactions and edits; how far one has read."""

from parvis_kit.http import DB

from parvis_messaging import actions
from parvis_messaging.api.matrix_common import Call, Doors
from parvis_messaging.api.matrix_rooms import limit_of
from parvis_messaging.queries import rooms
from parvis_messaging.queries.rooms import Slice
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import Refused, invalid, text_in

DOORS = Doors()
ROUTES = DOORS.routes
RECEIPTS = frozenset({"m.read", "m.read.private"})
REASON_CHARACTERS_MAX = 500


@DOORS.open("PUT", "/rooms/{room_id}/send/{type}/{txn_id}")
async def send(call: Call) -> JsonObject:
    """The same transaction id from the same device is the same event."""
    content = await call.body()
    author = actions.author_of(call.session, call.path("txn_id"))
    async with call.request[DB].transaction() as tx:
        return {"event_id": await actions.send(tx, call.home, call.path("room_id"), author, call.path("type"), content, now=call.now)}


@DOORS.open("PUT", "/rooms/{room_id}/redact/{event_id}/{txn_id}")
async def redact(call: Call) -> JsonObject:
    reason = text_in(await call.body(), "reason", "", REASON_CHARACTERS_MAX) or None
    author = actions.author_of(call.session, call.path("txn_id"))
    async with call.request[DB].transaction() as tx:
        sent = await actions.redact(tx, call.home, call.path("room_id"), author, call.path("event_id"), reason, now=call.now)
    return {"event_id": sent}


@DOORS.open("GET", "/rooms/{room_id}/messages")
async def messages(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        found = await rooms.messages_for(
            conn, call.session, call.path("room_id"), call.query("from"), call.query("to"), backwards=is_backwards(call),
            limit=limit_of(call),
        )  # fmt: skip
    return {"chunk": found.events, "start": found.start, **({"end": found.end} if found.end else {})}


def is_backwards(call: Call) -> bool:
    """Raises Refused."""
    way = call.query("dir") or "b"
    if way not in ("b", "f"):
        raise invalid("dir is b or f.")
    return way == "b"


@DOORS.open("GET", "/rooms/{room_id}/event/{event_id}")
async def event(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        return await rooms.event_for(conn, call.session, call.path("room_id"), call.path("event_id"))


@DOORS.open("GET", "/rooms/{room_id}/context/{event_id}")
async def context(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        return await rooms.context_for(conn, call.session, call.path("room_id"), call.path("event_id"), limit_of(call))


@DOORS.open("GET", "/rooms/{room_id}/relations/{event_id}", versions=("v1",))
@DOORS.open("GET", "/rooms/{room_id}/relations/{event_id}/{rel_type}", versions=("v1",))
@DOORS.open("GET", "/rooms/{room_id}/relations/{event_id}/{rel_type}/{type}", versions=("v1",))
async def relations(call: Call) -> JsonObject:
    how, kind = call.path("rel_type") or None, call.path("type") or None
    async with call.request[DB].read() as conn:
        found = await rooms.relations_for(
            conn, call.session, call.path("room_id"), call.path("event_id"), how, kind, call.query("from"), backwards=is_backwards(call),
            limit=limit_of(call),
        )  # fmt: skip
    return paged(found)


@DOORS.open("GET", "/rooms/{room_id}/threads", versions=("v1",))
async def threads(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        found = await rooms.threads_for(conn, call.session, call.path("room_id"), call.query("from"), limit_of(call))
    return paged(found)


def paged(found: Slice) -> JsonObject:
    return {"chunk": found.events, **({"next_batch": found.end} if found.end else {})}


@DOORS.open("POST", "/rooms/{room_id}/receipt/{receipt}/{event_id}")
async def receipt(call: Call) -> JsonObject:
    """How far one has read. A private receipt and the mark of a client stay where they are: with the client."""
    await call.body()
    kind = call.path("receipt")
    if kind == "m.fully_read":
        return {}
    if kind not in RECEIPTS:
        raise invalid("The kind of a receipt is m.read, m.read.private or m.fully_read.")
    if kind == "m.read":
        await _read_until(call, call.path("event_id"))
    return {}


@DOORS.open("POST", "/rooms/{room_id}/read_markers")
async def read_markers(call: Call) -> JsonObject:
    read = text_in(await call.body(), "m.read", "")
    if read:
        await _read_until(call, read)
    return {}


async def _read_until(call: Call, event_id: str) -> None:
    async with call.request[DB].transaction() as tx:
        await actions.put_receipt(tx, call.home, call.session, call.path("room_id"), event_id, now=call.now)


@DOORS.open("PUT", "/rooms/{room_id}/typing/{user_id}")
async def typing(call: Call) -> JsonObject:
    """Taken and forgotten: nobody is told that somebody is typing."""
    body = await call.body()
    if not isinstance(body.get("typing"), bool):
        raise Refused(400, "M_BAD_JSON", "typing is true or false.")
    async with call.request[DB].read() as conn:
        await rooms.check_joined(conn, call.path("room_id"), call.session.user_id)
    return {}
