"""Sync: what has happened since, at once or as soon as it does."""

import asyncio
from typing import Any

from parvis_kit.http import CLOCK, DB
from parvis_kit.http.mount import PROCESS

from parvis_messaging.api.matrix_common import Call, Doors, sign_in
from parvis_messaging.homeserver.waiting import Waiter
from parvis_messaging.queries import sessions, syncing
from parvis_messaging.queries.syncing import TIMELINE, TIMELINE_MAX, Synced, Wanted
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import number_in, object_in, read_object

DOORS = Doors()
ROUTES = DOORS.routes
WAIT_MS_MAX = 50_000
"""Below the idle limit of proxies, which is a minute."""
LOOK_SECONDS = 1.0
"""How soon one who waits notices that the process is about to stop."""


@DOORS.open("GET", "/sync", waits=True)
async def sync(call: Call) -> JsonObject:
    since = call.query("since")
    wait_seconds = number_in(call.query("timeout"), 0, WAIT_MS_MAX) / 1000
    wanted = await filter_of(call)
    with call.home.waiters.waiting(call.digest) as waiter:
        found = await look(call, since, wanted, waiter)
        until = asyncio.get_running_loop().time() + wait_seconds
        while since is not None and not wanted.full_state and not found.has_news and not call.request.app[PROCESS].draining:
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                break
            if await waiter.wait(min(left, LOOK_SECONDS)):
                call.now = call.request[CLOCK]()
                async with call.home.waiters.looking:
                    await sign_in(call)  # whoever was revoked meanwhile is out at once
                found = await look(call, since, wanted, waiter)
        return found.answer


async def look(call: Call, since: str | None, wanted: Wanted, waiter: Waiter) -> Synced:
    call.home.waiters.look_at(waiter, [call.session.user_id])
    async with call.home.waiters.looking, call.request[DB].read() as conn:
        memberships = await syncing.rooms_of(conn, call.session)
        # before it is looked what is there: what comes after it wakes
        call.home.waiters.look_at(waiter, [room_id for room_id, membership, _ in memberships if membership in ("join", "invite")])
        return await syncing.sync(conn, call.session, since, wanted, memberships)


async def filter_of(call: Call) -> Wanted:
    """A filter as it is, or by its id. Raises Refused."""
    named, full = call.query("filter"), call.query("full_state") == "true"
    if not named:
        return Wanted(full_state=full)
    if named.lstrip().startswith("{"):
        body = read_object(named.encode())
    else:
        async with call.request[DB].read() as conn:
            body = await sessions.filter_for(conn, call.session, named)
    room = object_in(body, "room")
    limit, lazy = object_in(room, "timeline").get("limit"), object_in(room, "state").get("lazy_load_members") is True
    rooms: Any = room.get("rooms")
    chosen = frozenset(one for one in rooms if isinstance(one, str)) if isinstance(rooms, list) else None
    events = limit if isinstance(limit, int) and limit >= 0 else TIMELINE
    return Wanted(timeline=max(1, min(events, TIMELINE_MAX)), full_state=full, rooms=chosen, lazy=lazy)
