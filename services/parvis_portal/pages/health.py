"""How the suite is, for operators: who lags, what is parked and why, uploads under way, what the doctor finds; and what repairs it."""

import asyncio
from typing import Any

from aiohttp import web
from parvis_kit.http import Request, Routes
from parvis_kit.problems import NotFound

from parvis_portal.portal import PORTAL, Form, Wrong, act, check_role, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
SERVICES = ("directory", "files", "calendar", "messaging", "billing")
LATE_SECONDS = 60.0
"""As the doctor has it: above, a consumer lags."""


@ROUTES.raw("GET", "/health")
@page
async def show_health(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await health(request, visitor)


async def health(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    check_role(visitor.is_operator)
    portal = request[PORTAL]
    uploads, *found = await asyncio.gather(
        portal.calling.panel("files", portal.get(visitor, "files", "uploads-under-way")),
        *(portal.calling.panel(name, portal.get(visitor, name, "operations")) for name in SERVICES),
    )
    services = dict(zip(SERVICES, found, strict=True))
    return portal.show("health.html", visitor, request, services=services, uploads=uploads, late=LATE_SECONDS, status=status, **more)


def service_in(request: Request) -> str:
    """Raises NotFound."""
    name = request.match_info["service"]
    if name not in SERVICES:
        raise NotFound("There is no such service.")
    return name


@ROUTES.raw("POST", "/health/{service}/replay")
@act(health)
async def replay(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    name = service_in(request)
    lane = {one: form.get(one, "") for one in ("consumer", "topic", "key")}
    await request[PORTAL].ask(visitor, name, "POST", "operations/replay", body=lane)
    return see("/health?done=replayed")


@ROUTES.raw("POST", "/health/{service}/discard")
@act(health)
async def discard(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """With a reason: the audit keeps it."""
    name = service_in(request)
    if not form.get("reason", "").strip():
        raise Wrong("", "wrong.reason")
    lane = {one: form.get(one, "").strip() for one in ("consumer", "topic", "key", "reason")}
    await request[PORTAL].ask(visitor, name, "POST", "operations/discard", body=lane)
    return see("/health?done=thrown")
