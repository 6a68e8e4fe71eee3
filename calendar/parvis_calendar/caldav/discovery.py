"""Where clients begin: what is spoken here, and the way from the well-known path to one's own principal."""

from aiohttp import web
from parvis_kit.http import Request
from parvis_kit.http.answers import empty_answer
from parvis_kit.problems import Problem
from parvis_kit.webdav import raw_path
from parvis_kit.webdav.problems import refusal_answer

from parvis_calendar.caldav.common import DAV_HEADER, FRONT, PRINCIPALS, ROUTES, TREES, read_path

WELL_KNOWN = ("/.well-known/caldav", "/.well-known/caldav/")
ON_COLLECTIONS = "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT"
ALLOWED = {
    "home": "OPTIONS, PROPFIND, PROPPATCH, REPORT, MKCALENDAR, MKCOL",
    "agenda": f"{ON_COLLECTIONS}, DELETE, MKCALENDAR, MKCOL, POST",
    "object": "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, REPORT, COPY, MOVE",
}
"""By what a path means, whether or not there is something: whoever asks has not said who they are."""


async def options(request: Request) -> web.StreamResponse:
    """Anonymous: Evolution asks before it has a password."""
    try:
        kind = read_path(raw_path(request)).kind
    except Problem as problem:
        return refusal_answer(problem)
    return empty_answer(200, {"DAV": DAV_HEADER, "Allow": ALLOWED.get(kind, "OPTIONS, PROPFIND, REPORT")})


async def well_known(_: Request) -> web.StreamResponse:
    """For browsers and curious clients; those that set up ask by PROPFIND, and are answered there."""
    return empty_answer(301, {"Location": PRINCIPALS})


for path in (*FRONT, *TREES):
    ROUTES.raw("OPTIONS", path)(options)
for path in WELL_KNOWN:
    ROUTES.raw("GET", path)(well_known)
