"""What Matrix clients find wherever the homeserver is: where it is, and what is not here."""

from aiohttp import web

from parvis_messaging.api.matrix_common import Call, Doors, answer, refusal
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import Refused

DOORS = Doors()
ROUTES = DOORS.routes


@DOORS.open("GET", "/.well-known/matrix/client", prefix="", versions=("",), signed_in=False)
async def well_known(call: Call) -> JsonObject:
    """Where a client finds the homeserver, and that it should not encrypt rooms by itself."""
    encryption = {"default": False, **({"force_disable": True} if call.home.is_here else {})}
    return {"m.homeserver": {"base_url": call.home.public_url}, "io.element.e2ee": encryption}


UNRECOGNIZED = Refused(404, "M_UNRECOGNIZED", "This homeserver has no such door.")


@DOORS.open("*", "/{rest:[\\s\\S]*}", prefix="/_matrix", versions=("",), signed_in=False)
async def anything_else(call: Call) -> web.StreamResponse:
    """What a browser asks before it asks, and what is not here."""
    if call.request.method == "OPTIONS":
        return answer({})
    allowed: set[str] = set()
    for resource in call.request.app.router.resources():
        match, methods = await resource.resolve(call.request)
        allowed |= methods if match is None else set()
    if not allowed:
        raise UNRECOGNIZED
    response = refusal(Refused(405, "M_UNRECOGNIZED", f"This door takes {', '.join(sorted(allowed))}."))
    response.headers["Allow"] = ", ".join(sorted(allowed))
    return response
