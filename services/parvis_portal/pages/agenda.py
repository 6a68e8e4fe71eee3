"""My agenda: a week as a table of days or as a list, invitations and answers to them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web
from parvis_kit.http import CLOCK, Request, Routes
from parvis_kit.problems import NotFound

from parvis_portal.pages.common import id_in, id_of
from parvis_portal.pages.files import names_of
from parvis_portal.pages.items import colleague
from parvis_portal.portal import PORTAL, Form, Portal, Wrong, act, page, see
from parvis_portal.visitors import Visitor

ROUTES = Routes("portal", "1")
ANSWERS = ("accepted", "tentative", "declined")
LEVELS = ("none", "free-busy", "details", "write", "delegate")
"""What a colleague may see and do, as calendar's contract names it."""
EVERYBODY = "free-busy"
"""What holds for whom nothing else is said."""
OPEN = ("write", "delegate")
"""With what an agenda has a page for somebody else."""
TOLD_MAX = 500
"""Calendar's page."""
TOLD_SHOWN = 50
"""Each name is a question to directory."""
DAYS_A_WEEK = 7
LIST_DAYS = 30
EVENTS_MAX = 500
PAGES_MAX = 5
"""Calendar ends a page early where events are large: one does for nearly every week."""
YEARS = range(1970, 2200)


@ROUTES.raw("GET", "/agenda")
@page
async def show_agenda(request: Request, visitor: Visitor) -> web.StreamResponse:
    return await agenda(request, visitor)


async def agenda(request: Request, visitor: Visitor, status: int = 200, **more: Any) -> web.StreamResponse:
    portal, span = request[PORTAL], span_in(request, more.get("typed", {}))
    events, invitations, given, received = await asyncio.gather(
        portal.calling.panel("calendar", events_in(portal, visitor, span.days)),
        portal.calling.panel("calendar", portal.get(visitor, "calendar", "invitations", limit=50)),
        portal.calling.panel("calendar", told(portal, visitor, "privacy", LEVELS)),
        portal.calling.panel("calendar", told(portal, visitor, "privacy/received", OPEN)),
    )
    await names_of(portal, visitor, [whom for panel in (given, received) if panel.value for whom, _ in panel.value.first])
    return portal.show(
        "agenda.html", visitor, request, events=events, invitations=invitations, given=given, received=received, answers=ANSWERS,
        levels=LEVELS, acting=None, status=status, **span._asdict(), **more,
    )  # fmt: skip


@ROUTES.raw("GET", "/agenda/of/{owner_id}")
@page
async def show_colleague(request: Request, visitor: Visitor) -> web.StreamResponse:
    """The agendas of a colleague who lets the visitor write."""
    return await agenda_of(request, visitor, id_in(request, "owner_id"))


async def agenda_of(request: Request, visitor: Visitor, owner: str, status: int = 200, **more: Any) -> web.StreamResponse:
    portal, span = request[PORTAL], span_in(request, more.get("typed", {}))
    acting = await acting_for(portal, visitor, owner)
    if acting is None:
        return see("/agenda")
    events = await portal.calling.panel("calendar", events_in(portal, visitor, span.days, owner=owner))
    return portal.show(
        "agenda-of.html", visitor, request, events=events, acting=acting, public_url=portal.visitors.public_url, status=status,
        **span._asdict(), **more,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Acting:
    """For which colleague the visitor acts."""

    id: str
    name: str
    """Empty, as the address, while directory does not answer: meetings are nobody's to change then."""
    email: str
    schedules: bool
    """Invites and calls off in their name too."""


async def acting_for(portal: Portal, visitor: Visitor, owner: str) -> Acting | None:
    """None: for themselves. Raises NotFound where the colleague has not opened their agenda, or `owner` is no id."""
    if owner in ("", visitor.id):
        return None
    owner = id_of(owner)
    before = UUID(int=max(0, UUID(owner).int - 1))  # a page that begins with this colleague, if they are in the list at all
    said = await portal.get(visitor, "calendar", "privacy/received", after=str(before), limit=1)
    level = next((one["level"] for one in said["items"] if one["agent_id"] == owner), "")
    if level not in OPEN:
        raise NotFound("This colleague does not let you see their agenda.")
    found = (await portal.calling.panel("directory", portal.get(visitor, "directory", f"agents/{owner}"))).value
    name, email = (f"{found['given_name']} {found['family_name']}", found["email"]) if found else ("", "")
    return Acting(owner, name, email, level == "delegate")


class Span(NamedTuple):
    """The days that a page shows, and those from which the pages before and after it begin."""

    is_list: bool
    days: list[date]
    today: date
    before: date
    after: date


def span_in(request: Request, typed: Mapping[str, str]) -> Span:
    """A week, or thirty days as a list: of the address, or of a form that was refused."""
    said = {**typed, **request.query}
    today = request[CLOCK]().astimezone(request[PORTAL].looks.zone).date()
    is_list = said.get("view") == "list"
    asked = day_in(said.get("day", ""), today)
    first = asked if is_list else asked - timedelta(days=asked.weekday())
    length = timedelta(days=LIST_DAYS if is_list else DAYS_A_WEEK)
    return Span(is_list, [first + timedelta(days=number) for number in range(length.days)], today, first - length, first + length)


class Told(NamedTuple):
    """What agents see and do of others' agendas: whose ids, and which level."""

    first: list[tuple[str, str]]
    more: int
    """How many others there are, or that there are at least as many."""


async def told(portal: Portal, visitor: Visitor, path: str, levels: Sequence[str]) -> Told:
    said = await portal.get(visitor, "calendar", path, limit=TOLD_MAX)
    found = [(one["agent_id"], one["level"]) for one in said["items"] if one["level"] in levels and one["level"] != EVERYBODY]
    return Told(found[:TOLD_SHOWN], len(found[TOLD_SHOWN:]))


def day_in(text: str, today: date) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return today
    return found if found.year in YEARS else today


async def events_in(portal: Portal, visitor: Visitor, days: list[date], **whose: str) -> Mapping[date, list[Any]]:
    """By day, in their order; what lasts longer stands under each of its days."""
    zone = portal.looks.zone
    query = {"from": midnight(days[0], zone).isoformat(), "to": midnight(days[-1] + timedelta(days=1), zone).isoformat(), **whose}
    items: list[Any] = []
    after = "0"
    for _ in range(PAGES_MAX):
        found = await portal.get(visitor, "calendar", "events", **query, limit=EVENTS_MAX - len(items), after=after)
        items += found["items"]
        if found["next"] is None or len(items) >= EVENTS_MAX:
            break
        after = found["next"]
    by_day: dict[date, list[Any]] = {day: [] for day in days}
    for one in items:
        for day in days_of(one, zone):
            if day in by_day:
                by_day[day].append(one)
    return by_day


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def days_of(event: Any, zone: ZoneInfo) -> list[date]:
    """An all-day event's days are its own, whatever the zone."""
    starts, ends = (datetime.fromisoformat(event[name]).astimezone(zone) for name in ("starts_at", "ends_at"))
    first = date.fromisoformat(event["day"]) if event["day"] else starts.date()
    if event["day"]:
        count = max(1, round((ends - starts) / timedelta(days=1)))
    else:
        last = (ends - timedelta(microseconds=1) if ends > starts else ends).date()
        count = (last - first).days + 1
    return [first + timedelta(days=number) for number in range(min(count, 400))]


@ROUTES.raw("POST", "/agenda/meetings/{meeting_id}/answer")
@act(agenda)
async def answer(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    if form.get("answer") not in ANSWERS:
        raise Wrong("", "wrong.answer")
    meeting_id = id_in(request, "meeting_id")
    await request[PORTAL].ask(visitor, "calendar", "POST", f"meetings/{meeting_id}/answer", body={"answer": form["answer"]})
    return see("/agenda?done=answered")


@ROUTES.raw("POST", "/agenda/privacy")
@act(agenda, "email")
async def give(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    portal, level = request[PORTAL], form.get("level", "")
    if level not in LEVELS:
        raise Wrong("level", "wrong.level")
    whom = await colleague(portal, visitor, form.get("email", "").strip())
    if whom == visitor.id:
        raise Wrong("email", "wrong.oneself")
    await portal.ask(visitor, "calendar", "PUT", f"privacy/{whom}", body={"level": level})
    return see("/agenda?done=given")


async def again(request: Request, visitor: Visitor, **more: Any) -> web.StreamResponse:
    """The agenda from which an event was to be called off, where it was."""
    owner = more["typed"].get("of", "")
    return await (agenda_of(request, visitor, owner, **more) if owner else agenda(request, visitor, **more))


@ROUTES.raw("POST", "/agenda/events/{event_id}/cancel")
@act(again)
async def call_off(request: Request, visitor: Visitor, form: Form) -> web.StreamResponse:
    """With all its occurrences; who is invited is told by the calendar."""
    back = page_of(form.get("of", ""))
    await request[PORTAL].ask(visitor, "calendar", "DELETE", f"events/{id_in(request, 'event_id')}")
    today = request[CLOCK]().astimezone(request[PORTAL].looks.zone).date()
    view = "&view=list" if form.get("view") == "list" else ""
    return see(f"{back}?day={day_in(form.get('day', ''), today)}{view}&done=cancelled")


def page_of(owner: str) -> str:
    """Of a colleague's agenda, or of one's own. Raises NotFound for what is no id."""
    return f"/agenda/of/{id_of(owner)}" if owner else "/agenda"
