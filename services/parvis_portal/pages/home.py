"""The first page: what waits for one, each part from its own service; what takes billing 10 ms to explain has a page of its own."""

import asyncio

from aiohttp import web
from parvis_kit.http import Request, Routes

from parvis_portal.portal import PORTAL, page
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")


@ROUTES.raw("GET", "/")
@page
async def show_home(request: Request, visitor: Visitor) -> web.StreamResponse:
    portal = request[PORTAL]
    space, invitations, notices = await asyncio.gather(
        portal.calling.panel("files", portal.get(visitor, "files", "spaces/personal")),
        portal.calling.panel("calendar", portal.get(visitor, "calendar", "invitations", limit=20)),
        portal.calling.panel("messaging", portal.get(visitor, "messaging", "notices", limit=3, unread="true")),
    )
    return portal.show("home.html", visitor, request, space=space, invitations=invitations, notices=notices)
