"""What belongs to an account: profile, account data, filters, rules of notification, and keys of which it has none."""

from parvis_kit.http import DB

from parvis_messaging import actions
from parvis_messaging.api.matrix_common import Call, Doors, is_mine
from parvis_messaging.queries import rooms, sessions, syncing
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import Refused, forbidden, not_found, object_in, text_in

DOORS = Doors()
ROUTES = DOORS.routes
FOUND_MAX = 20
DATA_OF_THE_SERVER = frozenset({"m.fully_read", "m.push_rules"})
NO_PROFILE = "Your name comes from your ministry's directory: have it changed there."


@DOORS.open("GET", "/profile/{user_id}", signed_in=True)
async def profile(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        return rooms.profile_of(await sessions.find_account(conn, call.path("user_id")))


@DOORS.open("GET", "/profile/{user_id}/{name}")
async def profile_part(call: Call) -> JsonObject:
    async with call.request[DB].read() as conn:
        found = rooms.profile_of(await sessions.find_account(conn, call.path("user_id")))
    name = call.path("name")
    if name not in ("displayname", "avatar_url"):
        raise not_found("A profile has a displayname and an avatar_url.")
    return {name: found[name]} if name in found else {}


@DOORS.open("PUT", "/profile/{user_id}/displayname")
async def rename(call: Call) -> JsonObject:
    is_mine(call, call.path("user_id"))
    raise forbidden(NO_PROFILE)


@DOORS.open("PUT", "/profile/{user_id}/avatar_url")
async def show_face(call: Call) -> JsonObject:
    is_mine(call, call.path("user_id"))
    address = text_in(await call.body(), "avatar_url", "")
    if address and not address.startswith(f"mxc://{call.home.server}/"):
        raise Refused(400, "M_INVALID_PARAM", "Upload the picture here first.")
    async with call.request[DB].transaction() as tx:
        await actions.rename(tx, call.home, actions.author_of(call.session), {"avatar_url": address or None}, now=call.now)
    return {}


@DOORS.open("GET", "/user/{user_id}/account_data/{type}")
@DOORS.open("GET", "/user/{user_id}/rooms/{room_id}/account_data/{type}")
async def account_data(call: Call) -> JsonObject:
    is_mine(call, call.path("user_id"))
    async with call.request[DB].read() as conn:
        return await sessions.account_data_for(conn, call.session, call.path("room_id"), call.path("type"))


@DOORS.open("PUT", "/user/{user_id}/account_data/{type}")
@DOORS.open("PUT", "/user/{user_id}/rooms/{room_id}/account_data/{type}")
async def put_account_data(call: Call) -> JsonObject:
    is_mine(call, call.path("user_id"))
    kind = call.path("type")
    if kind in DATA_OF_THE_SERVER:
        raise Refused(405, "M_BAD_JSON", f"{kind} is not set by this door.")
    content = await call.body()
    async with call.request[DB].transaction() as tx:
        await actions.put_account_data(tx, call.home, call.session, call.path("room_id"), kind, content)
    return {}


@DOORS.open("GET", "/user/{user_id}/rooms/{room_id}/tags")
async def tags(call: Call) -> JsonObject:
    is_mine(call, call.path("user_id"))
    async with call.request[DB].read() as conn:
        try:
            return await sessions.account_data_for(conn, call.session, call.path("room_id"), "m.tag")
        except Refused:
            return {"tags": {}}


@DOORS.open("PUT", "/user/{user_id}/rooms/{room_id}/tags/{tag}")
async def put_tag(call: Call) -> JsonObject:
    return await _change_tag(call, await call.body())


@DOORS.open("DELETE", "/user/{user_id}/rooms/{room_id}/tags/{tag}")
async def remove_tag(call: Call) -> JsonObject:
    return await _change_tag(call, None)


async def _change_tag(call: Call, content: JsonObject | None) -> JsonObject:
    kept = dict(object_in(await tags(call), "tags"))
    if content is None:
        kept.pop(call.path("tag"), None)
    else:
        kept[call.path("tag")] = content
    async with call.request[DB].transaction() as tx:
        await actions.put_account_data(tx, call.home, call.session, call.path("room_id"), "m.tag", {"tags": kept})
    return {}


@DOORS.open("POST", "/user/{user_id}/filter")
async def add_filter(call: Call) -> JsonObject:
    is_mine(call, call.path("user_id"))
    body = await call.body()
    async with call.request[DB].transaction() as tx:
        return {"filter_id": await actions.add_filter(tx, call.session, body)}


@DOORS.open("GET", "/user/{user_id}/filter/{filter_id}")
async def get_filter(call: Call) -> JsonObject:
    is_mine(call, call.path("user_id"))
    async with call.request[DB].read() as conn:
        return await sessions.filter_for(conn, call.session, call.path("filter_id"))


@DOORS.open("GET", "/pushrules/")
@DOORS.open("GET", "/pushrules")
async def push_rules(call: Call) -> JsonObject:
    return {"global": syncing.PUSH_RULES}


@DOORS.open("GET", "/pushrules/global/")
async def global_push_rules(call: Call) -> JsonObject:
    return syncing.PUSH_RULES


@DOORS.open("GET", "/pushers")
async def pushers(call: Call) -> JsonObject:
    return {"pushers": []}


@DOORS.open("GET", "/account/3pid")
async def third_parties(call: Call) -> JsonObject:
    return {"threepids": []}


@DOORS.open("GET", "/notifications")
async def notifications(call: Call) -> JsonObject:
    return {"notifications": []}


@DOORS.open("GET", "/presence/{user_id}/status")
async def presence(call: Call) -> JsonObject:
    return {"presence": "offline"}


@DOORS.open("PUT", "/presence/{user_id}/status")
async def put_presence(call: Call) -> JsonObject:
    """Taken and forgotten: who is at their desk is nobody's to watch."""
    is_mine(call, call.path("user_id"))
    await call.body()
    return {}


@DOORS.open("GET", "/voip/turnServer")
async def turn(call: Call) -> JsonObject:
    return {}


@DOORS.open("GET", "/thirdparty/protocols")
async def protocols(call: Call) -> JsonObject:
    return {}


@DOORS.open("POST", "/user_directory/search")
async def search_people(call: Call) -> JsonObject:
    term = text_in(await call.body(), "search_term")
    async with call.request[DB].read() as conn:
        found = await sessions.colleagues_for(conn, call.session, term, FOUND_MAX + 1)
    results = [{"user_id": one.user_id, "display_name": one.display_name, "avatar_url": one.avatar_url} for one in found[:FOUND_MAX]]
    return {"results": results, "limited": len(found) > FOUND_MAX}


@DOORS.open("POST", "/keys/upload")
async def upload_keys(call: Call) -> JsonObject:
    """There is no end-to-end encryption here: keys are taken and forgotten, so that no client finds any to encrypt to."""
    await call.body()
    return {"one_time_key_counts": {"signed_curve25519": 0}}


@DOORS.open("POST", "/keys/query")
async def query_keys(call: Call) -> JsonObject:
    await call.body()
    return {"device_keys": {}, "failures": {}}


@DOORS.open("POST", "/keys/claim")
async def claim_keys(call: Call) -> JsonObject:
    await call.body()
    return {"one_time_keys": {}, "failures": {}}


@DOORS.open("GET", "/keys/changes")
async def changed_keys(call: Call) -> JsonObject:
    return {"changed": [], "left": []}


@DOORS.open("GET", "/room_keys/version")
async def key_backup(call: Call) -> JsonObject:
    raise not_found("There is no backup of keys, since there are none.")


@DOORS.open("PUT", "/sendToDevice/{type}/{txn_id}")
async def send_to_device(call: Call) -> JsonObject:
    """Carries nothing but keys, of which there are none."""
    await call.body()
    return {}
