"""An event of one's own, with colleagues or without; and an hour that suits several."""

from datetime import date, datetime, time, timedelta
from typing import Any

from aiohttp import web
from parvis_kit.http import CLOCK, Request, Routes

from parvis_portal.pages.agenda import YEARS
from parvis_portal.pages.items import colleague
from parvis_portal.portal import PORTAL, Form, Portal, Wrong, act, once, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
INVITED_MAX = 30
"""By one form; clients of CalDAV invite more."""
MINUTES = (15, 30, 45, 60, 90, 120, 240)
LOOK_DAYS = 7
SLOTS = 6


@ROUTES.raw("GET", "/agenda/meet")
@page
async def show_meet(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await meet(request, visitor)


async def meet(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    portal = request[PORTAL]
    today = request[CLOCK]().astimezone(portal.looks.zone).date()
    return portal.show("meet.html", visitor, request, minutes=MINUTES, day_now=today.isoformat(), status=status, **{"slots": None, **more})


@ROUTES.raw("POST", "/agenda/meet")
@act(meet, "hour")
async def make(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """One form, two buttons: find an hour, or make it. An hour that was found is a button too, with all that was typed."""
    portal = request[PORTAL]
    minutes = int(form["minutes"]) if form.get("minutes", "").isdecimal() and int(form["minutes"]) in MINUTES else 60
    invited = await people_in(portal, visitor, form.get("email", ""))
    if form.get("do") == "find":
        found = await hours_for(portal, visitor, day_of(form), minutes, invited)
        return await meet(request, visitor, slots=found["slots"], typed=form)
    title = form.get("title", "").strip()
    if not title:
        raise Wrong("title", "wrong.title")
    starts = start_of(form, portal)
    body = {
        "title": title, "location": form.get("place", "").strip(), "starts_at": starts.isoformat(),
        "ends_at": (starts + timedelta(minutes=minutes)).isoformat(), "time_zone": portal.looks.zone.key, "attendees": invited,
    }  # fmt: skip
    await portal.ask(visitor, "calendar", "POST", "events", body=body, headers=once(form))
    return see(f"/agenda?day={starts.date()}&done=created")


async def people_in(portal: Portal, visitor: Visitor, text: str) -> list[str]:
    """Ids of those whose addresses stand there, however they are parted. Raises Wrong."""
    emails = list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))
    if len(emails) > INVITED_MAX:
        raise Wrong("email", "wrong.too-many", number=INVITED_MAX)
    return [await colleague(portal, visitor, email) for email in emails]


async def hours_for(portal: Portal, visitor: Visitor, day: date, minutes: int, invited: list[str]) -> Any:
    starts = datetime.combine(day, time(), portal.looks.zone)
    body = {
        "agents": [visitor.id, *(one for one in invited if one != visitor.id)], "starts_at": starts.isoformat(),
        "ends_at": (starts + timedelta(days=LOOK_DAYS)).isoformat(), "minutes": minutes, "time_zone": portal.looks.zone.key, "slots": SLOTS,
    }  # fmt: skip
    return await portal.ask(visitor, "calendar", "POST", "availability", body=body)


def day_of(form: Form) -> date:
    """Raises Wrong."""
    try:
        found = date.fromisoformat(form.get("day", ""))
    except ValueError:
        raise Wrong("day", "wrong.day") from None
    if found.year not in YEARS:
        raise Wrong("day", "wrong.day")
    return found


def start_of(form: Form, portal: Portal) -> datetime:
    """The hour that was found, or the day and hour that were typed. Raises Wrong."""
    try:
        if form.get("slot"):
            found = datetime.fromisoformat(form["slot"])
            if found.tzinfo is None or found.year not in YEARS:
                raise Wrong("hour", "wrong.hour")
            return found.astimezone(portal.looks.zone)
        return datetime.combine(day_of(form), time.fromisoformat(form.get("hour", "")), portal.looks.zone)
    except ValueError:
        raise Wrong("hour", "wrong.hour") from None
