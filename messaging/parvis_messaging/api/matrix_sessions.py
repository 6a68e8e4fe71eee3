"""What the homeserver is, and who signs in to it: versions, login by an app password, devices, logout."""

from base64 import b64encode

from parvis_kit.http import DB
from parvis_kit.problems import Unauthorized

from parvis_messaging import actions
from parvis_messaging.api.matrix_common import WHO, Call, Doors
from parvis_messaging.queries import sessions
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import ROOM_VERSION, Refused, forbidden, list_in, object_in, text_in

DOORS = Doors()
ROUTES = DOORS.routes
SPECIFICATIONS = ["r0.6.1", *(f"v1.{minor}" for minor in range(1, 12))]
PASSWORD = "m.login.password"  # noqa: S105 (the name of a way to sign in)
DEVICES_AT_ONCE = 50
BASE = "/_matrix/client"


@DOORS.open("GET", "/versions", prefix=BASE, versions=("",), signed_in=False)
async def versions(call: Call) -> JsonObject:
    return {"versions": SPECIFICATIONS, "unstable_features": {"org.matrix.msc3440.stable": True, "org.matrix.msc3773": False}}


@DOORS.open("GET", "/login", signed_in=False)
async def flows(call: Call) -> JsonObject:
    return {"flows": [{"type": PASSWORD}]}


@DOORS.open("POST", "/login", signed_in=False)
async def login(call: Call) -> JsonObject:
    """By an app password of the scope `matrix`; the name is a user id, its localpart, or an e-mail address."""
    body = await call.body()
    if text_in(body, "type") != PASSWORD:
        raise Refused(400, "M_UNKNOWN", f"One signs in by {PASSWORD}, with an app password.")
    name, password = name_in(body), text_in(body, "password", characters_max=sessions.TOKEN_CHARACTERS_MAX)
    device_id = text_in(body, "device_id", "") or None
    who, request = call.request[WHO], call.request
    if who.freshness is not None:
        who.freshness.check()
    async with request[DB].read() as conn:
        agent_id = await sessions.agent_named(conn, call.home, name)
    try:
        agent = await who.by_app_password(request, b64encode(f"{agent_id or name}:{password}".encode()).decode())
    except Unauthorized as refusal:
        raise forbidden(refusal.detail) from None
    if sessions.SCOPE not in agent.scopes:
        raise forbidden("This app password is for something else: make one for messages on your page of credentials.")
    label = text_in(body, "initial_device_display_name", "")
    async with request[DB].transaction() as tx:
        session, token = await actions.sign_in(tx, call.home, agent.id, agent.credential_id, device_id, label, now=call.now)
    return {"user_id": session.user_id, "access_token": token, "device_id": session.device_id, "home_server": call.home.server}


def name_in(body: JsonObject) -> str:
    """Raises Refused."""
    identifier = object_in(body, "identifier")
    match identifier.get("type", "m.id.user"):
        case "m.id.user":
            return text_in(identifier or body, "user").strip()
        case "m.id.thirdparty":
            if identifier.get("medium") != "email":
                raise Refused(400, "M_UNKNOWN", "Of third-party identifiers, only e-mail addresses are known here.")
            return text_in(identifier, "address").strip()
        case _:
            raise Refused(400, "M_UNKNOWN", "Say who you are by m.id.user or by an e-mail address.")


@DOORS.open("POST", "/logout")
async def logout(call: Call) -> JsonObject:
    async with call.request[DB].transaction() as tx:
        await actions.sign_out(tx, call.home, call.session)
    return {}


@DOORS.open("POST", "/logout/all")
async def logout_everywhere(call: Call) -> JsonObject:
    async with call.request[DB].transaction() as tx:
        await actions.sign_out(tx, call.home, call.session, everywhere=True)
    return {}


@DOORS.open("GET", "/register", signed_in=False)
@DOORS.open("POST", "/register", signed_in=False)
async def register(call: Call) -> JsonObject:
    raise forbidden("Accounts are made for agents when they come aboard; nobody registers here.")


@DOORS.open("GET", "/account/whoami")
async def whoami(call: Call) -> JsonObject:
    return {"user_id": call.session.user_id, "device_id": call.session.device_id, "is_guest": False}


@DOORS.open("GET", "/devices")
async def devices(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        found = await sessions.devices_for(conn, call.session)
    return {"devices": [{"device_id": one.device_id, "display_name": one.display_name} for one in found]}


@DOORS.open("GET", "/devices/{device_id}")
async def device(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        found = await sessions.devices_for(conn, call.session)
    for one in found:
        if one.device_id == call.path("device_id"):
            return {"device_id": one.device_id, "display_name": one.display_name}
    raise Refused(404, "M_NOT_FOUND", "There is no such device of yours.")


@DOORS.open("PUT", "/devices/{device_id}")
async def rename_device(call: Call) -> JsonObject:
    name = text_in(await call.body(), "display_name")
    async with call.request[DB].transaction() as tx:
        await actions.rename_device(tx, call.session, call.path("device_id"), name)
    return {}


@DOORS.open("DELETE", "/devices/{device_id}")
async def remove_device(call: Call) -> JsonObject:
    """Signed out from afar. The app password itself is revoked on the page of credentials."""
    async with call.request[DB].transaction() as tx:
        await actions.remove_devices(tx, call.home, call.session, [call.path("device_id")])
    return {}


@DOORS.open("POST", "/delete_devices")
async def remove_devices(call: Call) -> JsonObject:
    wanted = [one for one in list_in(await call.body(), "devices", DEVICES_AT_ONCE) if isinstance(one, str)]
    async with call.request[DB].transaction() as tx:
        await actions.remove_devices(tx, call.home, call.session, wanted)
    return {}


@DOORS.open("GET", "/capabilities")
async def capabilities(call: Call) -> JsonObject:
    return {
        "capabilities": {
            "m.change_password": {"enabled": False},
            "m.room_versions": {"default": ROOM_VERSION, "available": {ROOM_VERSION: "stable"}},
            "m.set_displayname": {"enabled": False},
            "m.set_avatar_url": {"enabled": True},
            "m.3pid_changes": {"enabled": False},
        }
    }
