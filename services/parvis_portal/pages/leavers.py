"""One who leaves or has left: which service has done its part, and what becomes of the meetings that they organize."""

import asyncio
import re
from typing import Any

from aiohttp import web
from parvis_kit.http import Request, Routes

from parvis_portal.calling import Refused
from parvis_portal.looks import said
from parvis_portal.pages.common import id_in
from parvis_portal.pages.files import names_of
from parvis_portal.pages.items import colleague
from parvis_portal.pages.onboarding import MEETINGS, jobs
from parvis_portal.portal import PORTAL, Form, Portal, Wrong, act, check_role, page, see
from parvis_portal.visitors import Language, Visitor

ROUTES = Routes("portal", "1")
CHOICES = ("keep", "hand_over", "cancel")
"""As calendar has them."""
NUMBER = re.compile(r"\d+")
DID = MEETINGS | {
    "agendas frozen": "did.agendas-frozen", "uploads given up": "did.uploads", "personal space frozen": "did.space",
    "# Matrix sessions ended": "did.matrix-sessions", "# rooms left": "did.rooms", "Matrix account closed": "did.matrix-account",
    "seat ends with the month": "did.seat",
}  # fmt: skip
"""What services say that they have done; what they will say one day besides is shown in their own words."""


def did(language: Language, what: str) -> str:
    number = NUMBER.search(what)
    key = DID.get(NUMBER.sub("#", what))
    return said(language, key, number=number[0] if number else "") if key else what


@ROUTES.raw("POST", "/onboarding/leavers")
@act(jobs, "email")
async def find(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """Somebody who will leave: what becomes of their meetings may be chosen before."""
    check_role(visitor.is_administrator)
    return see(f"/onboarding/leavers/{await colleague(request[PORTAL], visitor, form.get('email', '').strip())}")


@ROUTES.raw("GET", "/onboarding/leavers/{agent_id}")
@page
async def show_leaver(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await leaver(request, visitor)


async def leaver(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    check_role(visitor.is_administrator)
    portal, agent_id = request[PORTAL], id_in(request, "agent_id")
    person = await portal.get(visitor, "directory", f"agents/{agent_id}")
    departure, meetings = await asyncio.gather(
        portal.calling.panel("directory", departure_of(portal, visitor, agent_id)),
        portal.calling.panel("calendar", meetings_of(portal, visitor, agent_id)),
    )
    return portal.show(
        "leaver.html", visitor, request, person=person, departure=departure, meetings=meetings, choices=CHOICES, did=did, status=status,
        **more,
    )  # fmt: skip


async def departure_of(portal: Portal, visitor: Visitor, agent_id: str) -> Any:
    """Nothing of whoever is still here."""
    try:
        return await portal.get(visitor, "directory", f"agents/{agent_id}/departure")
    except Refused as refused:
        if refused.status != 404:
            raise
        return None


async def meetings_of(portal: Portal, visitor: Visitor, agent_id: str) -> Any:
    """What was chosen, and the name of whom they go to."""
    found = await portal.get(visitor, "calendar", f"departures/{agent_id}")
    await names_of(portal, visitor, [found["to"]] if found["to"] else [])
    return found


@ROUTES.raw("POST", "/onboarding/leavers/{agent_id}/meetings")
@act(leaver, "email")
async def choose(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    portal, agent_id, choice = request[PORTAL], id_in(request, "agent_id"), form.get("meetings", "")
    if choice not in CHOICES:
        raise Wrong("meetings", "wrong.meetings")
    body = {"meetings": choice}
    if choice == "hand_over":
        body["to"] = await colleague(portal, visitor, form.get("email", "").strip())
    try:
        await portal.ask(visitor, "calendar", "PUT", f"departures/{agent_id}", body=body)
    except Refused as refused:
        if refused.code != "invalid":
            raise
        raise Wrong("email", "wrong.hand-over") from None
    return see(f"/onboarding/leavers/{agent_id}?done=meetings")
