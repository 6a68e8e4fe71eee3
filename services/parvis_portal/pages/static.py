"""Style sheet, scripts and pictures: a name that changes with their content, so that browsers keep them for a year."""

from aiohttp import web
from parvis_kit.http import Request, Routes
from parvis_kit.problems import NotFound

from parvis_portal.portal import PORTAL

ROUTES = Routes("portal", "1")
FOR_EVER = "public, max-age=31536000, immutable"
FOR_NOW = "public, max-age=60"
"""While two versions run side by side."""


@ROUTES.raw("GET", "/static/{digest}/{name}")
async def read_static(request: Request) -> web.StreamResponse:
    looks = request[PORTAL].looks
    found = looks.files.get(request.match_info["name"])
    if found is None:
        raise NotFound("There is no such file.")
    is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
    headers = {
        "Cache-Control": FOR_EVER if request.match_info["digest"] == looks.digest else FOR_NOW,
        "Content-Type": found.media_type,
        "Vary": "Accept-Encoding",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=found.packed if is_packed else found.content, headers=headers)


@ROUTES.raw("GET", "/favicon.ico")
async def read_icon(request: Request) -> web.StreamResponse:
    looks = request[PORTAL].looks
    return web.Response(status=301, headers={"Location": f"/static/{looks.digest}/icon.svg"})
