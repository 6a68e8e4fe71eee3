"""My devices: app passwords, each for one client, and what to type into it."""

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import segno
from aiohttp import web
from markupsafe import Markup
from parvis_kit.http import CLOCK, Request, Routes

from parvis_portal.pages.common import id_in
from parvis_portal.portal import PORTAL, Form, Wrong, act, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
LIVES_DAYS = (90, 180, 365)
"""How long one may last; directory allows a year."""


@dataclass(frozen=True, slots=True)
class Client:
    """A program that people have, and what it may do for them."""

    name: str
    title: str
    scopes: tuple[str, ...]
    kind: str
    """What is typed into it: `dav`, `matrix` or `api`."""


CLIENTS = (
    Client("thunderbird", "Thunderbird", ("dav:calendars",), "dav"),
    Client("davx5", "DAVx⁵ (Android)", ("dav:calendars",), "dav"),
    Client("ios", "iPhone, iPad, Mac", ("dav:calendars",), "dav"),
    Client("element", "Element", ("matrix",), "matrix"),
    Client("script", "Script (API)", ("files:read", "files:write", "directory:read"), "api"),
)


@ROUTES.raw("GET", "/devices")
@page
async def show_devices(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await devices(request, visitor)


async def devices(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    portal = request[PORTAL]
    kept = await portal.calling.panel("directory", portal.get(visitor, "directory", "app-passwords"))
    account = await portal.calling.panel("messaging", portal.get(visitor, "messaging", "account"))
    return portal.show(
        "devices.html", visitor, request, kept=kept, clients=CLIENTS, lives=LIVES_DAYS, key=uuid4().hex, account=account,
        public_url=portal.visitors.public_url, status=status, **{"made": None, "qr": "", "client": None, **more},
    )  # fmt: skip


@ROUTES.raw("POST", "/devices")
@act(devices)
async def make_password(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """Shown in this answer alone. A reload sends the form again, with the same key: the password is not made twice, nor shown."""
    portal = request[PORTAL]
    client = next((one for one in CLIENTS if one.name == form.get("client")), None)
    if client is None:
        raise Wrong("client", "wrong.client")
    name = form.get("name", "").strip() or client.title
    days = int(form["days"]) if form.get("days", "").isdecimal() and int(form["days"]) in LIVES_DAYS else LIVES_DAYS[0]
    until = request[CLOCK]().astimezone(UTC) + timedelta(days=days)
    body = {"name": name, "scopes": list(client.scopes), "expires_at": until.replace(hour=0, minute=0, second=0, microsecond=0).isoformat()}
    key = form.get("key", "")[:64] or uuid4().hex
    made = await portal.ask(visitor, "directory", "POST", "app-passwords", body=body, headers={"Idempotency-Key": key})
    return await devices(request, visitor, made=made, qr=picture(made["app_password"]), client=client)


def picture(secret: str) -> Markup:
    """As a square that a phone's camera reads, drawn in the page itself: the secret has no address."""
    if not secret:
        return Markup("")
    drawn = segno.make(secret, error="m", micro=False).svg_inline(scale=4, border=2, dark="#000", light="#fff", omitsize=True)
    return Markup(drawn)  # noqa: S704 (of our own making: squares)


@ROUTES.raw("POST", "/devices/{password_id}/revoke")
@act(devices)
async def revoke_password(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    await request[PORTAL].ask(visitor, "directory", "DELETE", f"app-passwords/{id_in(request, 'password_id')}")
    return see("/devices?done=revoked")
