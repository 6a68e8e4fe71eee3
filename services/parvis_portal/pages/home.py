"""The first page: where one stands, each part from its own service."""

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
    space, uploads, cost, invitations, notices = await asyncio.gather(
        portal.calling.panel("files", portal.get(visitor, "files", "spaces/personal")),
        portal.calling.panel("files", portal.get(visitor, "files", "uploads", limit=5)),
        portal.calling.panel("billing", portal.get(visitor, "billing", "me")),
        portal.calling.panel("calendar", portal.get(visitor, "calendar", "invitations", limit=20)),
        portal.calling.panel("messaging", portal.get(visitor, "messaging", "notices", limit=3, unread="true")),
    )
    return portal.show("home.html", visitor, request, space=space, uploads=uploads, cost=cost, invitations=invitations, notices=notices)
