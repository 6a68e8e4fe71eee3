"""My notifications, and by which way they come."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from parvis_kit.http import Request, Routes

from parvis_portal.pages.common import id_of
from parvis_portal.portal import PORTAL, Form, act, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
SHOWN = 30
WAYS = ("portal", "matrix")
LEADS = {"file": "/files/items/{}", "folder": "/files/folders/{}", "item": "/files/items/{}", "meeting": "/agenda", "space": "/files"}
"""Where a notice leads, by what it is about."""


@ROUTES.raw("GET", "/notices")
@page
async def show_notices(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await notices(request, visitor)


async def notices(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    portal, after = request[PORTAL], request.query.get("after", "")
    query: dict[str, str | int] = {"limit": SHOWN, **({"after": after} if after.isdecimal() else {})}
    found, preferences = await asyncio.gather(
        portal.calling.panel("messaging", portal.get(visitor, "messaging", "notices", **query)),
        portal.calling.panel("messaging", portal.get(visitor, "messaging", "preferences")),
    )
    return portal.show(
        "notices.html", visitor, request, notices=found, preferences=preferences, ways=WAYS, leads_to=leads_to, status=status, **more
    )


def leads_to(notice: Any) -> str:
    """A page of ours; the address that came along only if it is one."""
    way = LEADS.get(notice["subject_kind"], "")
    if way and (notice["subject_id"] or "{}" not in way):
        return way.format(notice["subject_id"])
    path = urlsplit(notice["text"]["link"]).path
    return path if path.startswith(("/files", "/agenda", "/devices")) else ""


@ROUTES.raw("POST", "/notices/read")
@act(notices)
async def mark_read(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """One, or all that there are."""
    one = form.get("id", "")
    body: dict[str, Any] = {"ids": [id_of(one)]} if one else {"all": True}
    await request[PORTAL].ask(visitor, "messaging", "POST", "notices/read", body=body)
    return see("/notices?done=read")


@ROUTES.raw("POST", "/notices/preferences")
@act(notices)
async def put_preferences(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """A box that is not ticked is not sent, so the kinds that were shown are sent too."""
    kinds = form.get("kinds", "").split()[:20]
    chosen = {kind: {way: f"{kind}-{way}" in form for way in WAYS} for kind in kinds}
    await request[PORTAL].ask(visitor, "messaging", "PUT", "preferences", body={"kinds": chosen})
    return see("/notices?done=preferences")
