"""Pictures and small files of conversations, to those who are signed in."""

import re
from urllib.parse import quote

from aiohttp import web
from parvis_kit.http import DB
from parvis_kit.http.answers import GUARD

from parvis_messaging import actions
from parvis_messaging.api.matrix_common import CORS, Call, Doors, read_bytes
from parvis_messaging.queries import sessions
from parvis_messaging.rules import JsonObject
from parvis_messaging.rules.matrix import forbidden

DOORS = Doors()
ROUTES = DOORS.routes
UPLOAD_SECONDS_MAX = 120.0
"""10 MiB over a thin line of the RIE."""
MEDIA = "/_matrix/media/{}"
CLIENT_MEDIA = "/_matrix/client/v1/media"
MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,120}")
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "audio/ogg", "audio/mpeg", "video/mp4", "text/plain"})
"""What a browser may show by itself: nothing of it can run."""


@DOORS.open("POST", "/upload", prefix=MEDIA)
async def upload(call: Call) -> JsonObject:
    content = await read_bytes(call.request, call.home.media_bytes_max, UPLOAD_SECONDS_MAX)
    named = call.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    media_type = named if MEDIA_TYPE.fullmatch(named) else "application/octet-stream"
    name = (call.query("filename") or "")[:255]
    async with call.request[DB].transaction() as tx:
        return {"content_uri": await actions.upload(tx, call.home, call.session, media_type, name, content, now=call.now)}


@DOORS.open("GET", "/config", prefix=MEDIA)
@DOORS.open("GET", "/config", prefix=CLIENT_MEDIA, versions=("",))
async def config(call: Call) -> JsonObject:
    return {"m.upload.size": call.home.media_bytes_max}


@DOORS.open("GET", "/download/{server}/{media_id}", prefix=MEDIA)
@DOORS.open("GET", "/download/{server}/{media_id}/{name}", prefix=MEDIA)
@DOORS.open("GET", "/thumbnail/{server}/{media_id}", prefix=MEDIA)
@DOORS.open("GET", "/download/{server}/{media_id}", prefix=CLIENT_MEDIA, versions=("",))
@DOORS.open("GET", "/download/{server}/{media_id}/{name}", prefix=CLIENT_MEDIA, versions=("",))
@DOORS.open("GET", "/thumbnail/{server}/{media_id}", prefix=CLIENT_MEDIA, versions=("",))
async def download(call: Call) -> web.StreamResponse:
    """The whole of it, for a thumbnail too; as something to keep, unless it is what a browser shows without harm."""
    async with call.request[DB].read() as conn:
        found = await sessions.media_for(conn, call.home, call.path("server"), call.path("media_id"))
    how = "inline" if found.media_type in SHOWN else "attachment"
    name = call.path("name") or found.name
    headers = {
        **GUARD, **CORS, "Content-Type": found.media_type,
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name, safe='')}" if name else how,
    }  # fmt: skip
    return web.Response(body=found.content, headers=headers)


@DOORS.open("GET", "/preview_url", prefix=MEDIA)
@DOORS.open("GET", "/preview_url", prefix=CLIENT_MEDIA, versions=("",))
async def preview(call: Call) -> JsonObject:
    raise forbidden("This homeserver fetches nothing from elsewhere.")
