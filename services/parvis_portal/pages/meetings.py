"""An event of one's own, with colleagues or without; and an hour that suits several."""

from datetime import date, datetime, time, timedelta
from typing import Any

from aiohttp import web
from parvis_kit.http import CLOCK, Request, Routes
from parvis_kit.problems import Forbidden, NotFound

from parvis_portal.calling import Away
from parvis_portal.pages.agenda import YEARS, Acting, acting_for, page_of
from parvis_portal.pages.common import id_in
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
    typed = {"day": today.isoformat(), "hour": "09:00", "minutes": "60"} | more.get("typed", {})
    acting = await acting_for(portal, visitor, typed.get("of") or request.query.get("of", ""))
    return portal.show(
        "meet.html", visitor, request, event=None, acting=acting, minutes=MINUTES, status=status, **{"slots": None, **more, "typed": typed}
    )


@ROUTES.raw("POST", "/agenda/meet")
@act(meet, "hour")
async def make(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """One form, two buttons: find an hour, or make it. An hour that was found is a button too, with all that was typed."""
    portal = request[PORTAL]
    minutes = int(form["minutes"]) if form.get("minutes", "").isdecimal() and int(form["minutes"]) in MINUTES else 60
    acting, invited = await acting_for(portal, visitor, form.get("of", "")), await people_in(portal, visitor, form)
    if form.get("do") == "find":
        found = await hours_for(portal, visitor, day_of(form), minutes, invited, acting)
        return await meet(request, visitor, slots=found["slots"], typed=form)
    title = form.get("title", "").strip()
    if not title:
        raise Wrong("title", "wrong.title")
    starts = start_of(form, portal)
    body = {
        "title": title, "location": form.get("place", "").strip(), "starts_at": starts.isoformat(),
        "ends_at": (starts + timedelta(minutes=minutes)).isoformat(), "time_zone": portal.looks.zone.key, "attendees": invited,
    }  # fmt: skip
    if acting is not None:
        agendas = (await portal.get(visitor, "calendar", "calendars", owner=acting.id))["items"]
        default = [one["id"] for one in agendas if one["is_default"]]
        if not default:  # since a moment ago
            raise NotFound("This colleague does not let you see their agenda.")
        body["calendar_id"] = default[0]
    await portal.ask(visitor, "calendar", "POST", "events", body=body, headers=once(form))
    return see(f"{page_of(form.get('of', ''))}?day={starts.date()}&done=created")


@ROUTES.raw("GET", "/agenda/events/{event_id}")
@page
async def show_event(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await event(request, visitor)


async def event(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    """An event of one's own or of a colleague for whom one acts, to be changed: what was typed, or how it stands."""
    portal = request[PORTAL]
    found, acting = await own_event(request, visitor)
    known = known_of(found, portal)
    minutes = sorted({*MINUTES, int(known["minutes"])})
    return portal.show(
        "meet.html", visitor, request, event=found, acting=acting, minutes=minutes, status=status,
        **{"slots": None, **more, "typed": known | more.get("typed", {})},
    )  # fmt: skip


@ROUTES.raw("POST", "/agenda/events/{event_id}")
@act(event, "hour")
async def change(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """What is otherwise than it stands, and no more: guests who stay need not answer again where the hour stays too."""
    portal, (found, acting) = request[PORTAL], await own_event(request, visitor)
    known = known_of(found, portal)
    are_same = "email" not in form or set(emails_in(form)) == set(known["email"].split())
    invited = None if are_same and form.get("do") != "find" else await people_in(portal, visitor, form)
    minutes = int(form["minutes"]) if form.get("minutes", "").isdecimal() and int(form["minutes"]) in MINUTES else int(known["minutes"])
    if form.get("do") == "find":
        hours = await hours_for(portal, visitor, day_of(form), minutes or MINUTES[0], invited or [], acting)
        return await event(request, visitor, slots=hours["slots"], typed=form)
    if not form.get("title", "").strip():
        raise Wrong("title", "wrong.title")
    said = {"title": form["title"].strip(), "location": form.get("place", "").strip()}
    body: dict[str, Any] = {name: text for name, text in said.items() if text != found["place" if name == "location" else name]}
    if not are_same:
        body["attendees"] = invited
    starts = datetime.fromisoformat(found["starts_at"]).astimezone(portal.looks.zone)
    if not found["day"] and (any(form.get(name) != known[name] for name in ("day", "hour", "minutes")) or form.get("slot")):
        starts = start_of(form, portal)
        ends = starts + timedelta(minutes=minutes)
        body |= {"starts_at": starts.isoformat(), "ends_at": ends.isoformat(), "time_zone": portal.looks.zone.key}
    if body:
        headers = {"If-Match": form.get("etag", "")}
        await portal.ask(visitor, "calendar", "PATCH", f"events/{id_in(request, 'event_id')}", body=body, headers=headers)
    return see(f"{page_of(acting.id if acting else '')}?day={starts.date()}&done=changed")


async def own_event(request: Request, visitor: Visitor) -> tuple[Any, Acting | None]:
    """And for whom the visitor acts who changes it. Raises Refused, and Forbidden for one to which somebody else invites."""
    found = await request[PORTAL].get(visitor, "calendar", f"events/{id_in(request, 'event_id')}")
    owner = found.get("owner_id", visitor.id)  # a calendar of the version before does not say, until it is upgraded too
    acting = await acting_for(request[PORTAL], visitor, owner)
    if found["organizer"] and acting and not acting.email:
        raise Away("directory")  # nobody can tell whether it is theirs
    if found["organizer"] and found["organizer"]["email"] != (acting.email if acting else visitor.email):
        raise Forbidden("Only the organizer changes a meeting.")
    if found["organizer"] and acting and not acting.schedules:
        raise Forbidden("Only a delegate changes a meeting in its organizer's name.")
    return found, acting


def known_of(found: Any, portal: Portal) -> dict[str, str]:
    """An event as the form has it; rooms stay as they are, and are none of the guests."""
    starts, ends = (datetime.fromisoformat(found[name]).astimezone(portal.looks.zone) for name in ("starts_at", "ends_at"))
    organizer = found["organizer"]["email"] if found["organizer"] else ""
    guests = [one["email"] for one in found["attendees"] if not one["is_resource"] and one["email"] != organizer]
    return {
        "title": found["title"], "place": found["place"], "email": " ".join(guests), "day": found["day"] or f"{starts:%Y-%m-%d}",
        "hour": f"{starts:%H:%M}", "minutes": str(int((ends - starts).total_seconds()) // 60), "etag": found["etag"],
    }  # fmt: skip


def emails_in(form: Form) -> list[str]:
    """However they are parted, each once."""
    return list(dict.fromkeys(form.get("email", "").casefold().replace(",", " ").replace(";", " ").split()))


async def people_in(portal: Portal, visitor: Visitor, form: Form) -> list[str]:
    """Ids of those whose addresses stand there. Raises Wrong."""
    emails = emails_in(form)
    if len(emails) > INVITED_MAX:
        raise Wrong("email", "wrong.too-many", number=INVITED_MAX)
    return [await colleague(portal, visitor, email) for email in emails]


async def hours_for(portal: Portal, visitor: Visitor, day: date, minutes: int, invited: list[str], acting: Acting | None) -> Any:
    """That suit whoever meets and those who are invited."""
    whose = acting.id if acting else visitor.id
    starts = datetime.combine(day, time(), portal.looks.zone)
    body = {
        "agents": [whose, *(one for one in invited if one != whose)], "starts_at": starts.isoformat(),
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
