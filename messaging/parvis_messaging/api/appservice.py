"""Doors for a homeserver elsewhere alone: what it pushes, and who wants to sign in to it. No proxy passes them on."""

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any
from uuid import UUID

from aiohttp import web
from parvis_kit.http import DB
from parvis_kit.problems import Unauthorized
from parvis_roster import WhoAsks

from parvis_messaging import actions
from parvis_messaging.api.matrix_common import Call, Doors, read_bytes, token_of
from parvis_messaging.homeserver.registration import Registration
from parvis_messaging.homeserver.synapse import Synapse
from parvis_messaging.queries import sessions
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import Refused, bad_json, forbidden, not_found, text_in

DOORS, OURS = Doors(), "/_matrix/app/fr.parvis.v1"
ROUTES = DOORS.routes
THEIRS = "/_matrix/app/v1"
REGISTRATION = web.RequestKey("REGISTRATION", Registration)
ELSEWHERE = web.RequestKey("ELSEWHERE", Synapse)
THROUGH: web.RequestKey[WhoAsks] = web.RequestKey("THROUGH")
"""Who asks through the homeserver: all from its one address, which therefore is not counted; it counts addresses itself."""
TRANSACTION_BYTES_MAX = 16 * 2**20
"""A hundred events of 64 KiB, with room: what is refused here would be sent for ever, and nothing after it."""


def check_homeserver(call: Call) -> None:
    """By its token, compared in constant time. Raises Refused."""
    said, known = (sha256(one.encode()).digest() for one in (token_of(call.request), call.request[REGISTRATION].hs_token))
    if not hmac.compare_digest(said, known):
        raise forbidden("This token is not the homeserver's.")


@DOORS.open("PUT", "/transactions/{txn_id}", prefix=THEIRS, versions=("",), signed_in=False)
async def take(call: Call) -> JsonObject:
    """Noted, each event once by its id, and answered; what follows from it comes after. Transaction ids begin anew after a restart of
    Synapse and say nothing."""
    check_homeserver(call)
    events = events_in(await read_bytes(call.request, TRANSACTION_BYTES_MAX))
    async with call.request[DB].transaction() as tx:
        await actions.hear(tx, call.home, events, now=call.now)
    return {}


def events_in(body: bytes) -> list[Any]:
    """No more is asked of it than that: a NUL in somebody's message, refused, would be pushed again for ever. Raises Refused."""
    try:
        events = json.loads(body)["events"]
    except (ValueError, KeyError, TypeError, RecursionError):
        events = None
    if not isinstance(events, list):
        raise bad_json("A transaction is an object with a list of events.")
    return events


@DOORS.open("POST", "/ping", prefix=THEIRS, versions=("",), signed_in=False)
async def ping(call: Call) -> JsonObject:
    check_homeserver(call)
    return {}


@DOORS.open("GET", "/users/{user_id}", prefix=THEIRS, versions=("",), signed_in=False)
@DOORS.open("GET", "/rooms/{alias}", prefix=THEIRS, versions=("",), signed_in=False)
async def nobody(call: Call) -> JsonObject:
    """Accounts and rooms are made when they are wanted here, not when somebody asks for them there."""
    check_homeserver(call)
    raise not_found("There is none of this name.")


@DOORS.open("POST", "/check", prefix=OURS, versions=("",), signed_in=False)
async def check(call: Call) -> JsonObject:
    """Whose name and app password these are; nulls for nobody's."""
    check_homeserver(call)
    body = await call.body()
    name, password = text_in(body, "name").strip(), text_in(body, "password", characters_max=sessions.TOKEN_CHARACTERS_MAX)
    request, who = call.request, call.request[THROUGH]
    if who.freshness is not None:
        who.freshness.check()
    async with request[DB].read() as conn:
        agent_id = await sessions.agent_named(conn, call.home, name)
    try:
        agent = await who.by_app_password(request, b64encode(f"{agent_id or name}:{password}".encode()).decode())
    except Unauthorized:
        return {"user_id": None, "credential_id": None}
    async with request[DB].read() as conn:
        account = await sessions.account_of(conn, agent.id)
    if sessions.SCOPE not in agent.scopes or account is None or account.ready_at is None or account.closed_at is not None:
        return {"user_id": None, "credential_id": None}
    return {"user_id": account.user_id, "credential_id": str(agent.credential_id)}


@DOORS.open("POST", "/signed_in", prefix=OURS, versions=("",), signed_in=False)
async def signed_in(call: Call) -> JsonObject:
    """A session there, and the app password that it stands on."""
    check_homeserver(call)
    body = await call.body()
    user_id, device_id = text_in(body, "user_id"), text_in(body, "device_id")
    try:
        credential_id = UUID(text_in(body, "credential_id"))
    except ValueError:
        raise Refused(400, "M_INVALID_PARAM", "credential_id is no UUID.") from None
    async with call.request[DB].transaction() as tx:
        surplus = await actions.note_session(tx, user_id, device_id, credential_id, now=call.now)
    for one in surplus:
        await call.request[ELSEWHERE].end_session(user_id, one)
    return {}
