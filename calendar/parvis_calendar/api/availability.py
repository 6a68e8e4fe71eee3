"""When several can meet, what they show of themselves, rooms and equipment."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.http import CLOCK, DB, LOCATION, Body, IdempotencyKey, Page, Query, Reply, Request, Routes, SentMoment, client_key
from parvis_kit.idempotency import Asked, Kept, once
from parvis_kit.problems import Forbidden, Invalid, NotFound
from pydantic import Field, TypeAdapter

from parvis_calendar import actions, queries
from parvis_calendar.api.agendas import asker_of
from parvis_calendar.api.changes import Zone, check_times, zone_of
from parvis_calendar.queries import Availability, Wanted
from parvis_calendar.rules.availability import ASKED_MAX, DAYS_MAX, SHOW_TITLES, SLOTS_MAX, Hours, Opened, Privacy
from parvis_calendar.rules.meetings import Resource, ResourceKind
from parvis_calendar.rules.windows import epoch, moment

ROUTES = Routes("calendar", "1")
MINUTES_MAX = 24 * 60
RESOURCES_ASKED_MAX = 50
GIVEN_MAX = 500


class Meet(Body):
    agents: Annotated[list[UUID], Field(strict=False, min_length=1, max_length=ASKED_MAX)]
    resources: Annotated[list[UUID], Field(strict=False, max_length=RESOURCES_ASKED_MAX)] = []
    starts_at: SentMoment
    ends_at: SentMoment
    minutes: Annotated[int, Field(ge=5, le=MINUTES_MAX, description="How long the meeting is.")] = 60
    time_zone: Zone = "Europe/Paris"
    opens_at: Annotated[time, Field(strict=False, description="When work begins, on the clock of the zone.")] = time(9)
    closes_at: Annotated[time, Field(strict=False)] = time(18)
    days: Annotated[list[Annotated[int, Field(ge=1, le=7)]], Field(max_length=7, description="1 for Monday.")] = [1, 2, 3, 4, 5]
    slots: Annotated[int, Field(ge=0, le=SLOTS_MAX)] = 5


class Showing(Body):
    level: Privacy


class NewResource(Body):
    kind: ResourceKind
    name: Annotated[str, Field(min_length=1, max_length=200)]
    place: Annotated[str, Field(max_length=200)] = ""
    seats: Annotated[int | None, Field(ge=1, le=100_000)] = None


@dataclass(slots=True)
class BusyShown:
    starts_at: datetime
    ends_at: datetime
    kind: str
    """busy, tentative or unavailable."""
    title: str
    """Where they show it to you."""


@dataclass(slots=True)
class AvailabilityShown:
    id: UUID
    privacy: Privacy | None
    """How much they show you; null of a room."""
    busy: list[BusyShown]


@dataclass(slots=True)
class SlotShown:
    starts_at: datetime
    ends_at: datetime
    busy: list[UUID]
    """Who could not come, or is taken; empty when all can."""


@dataclass(slots=True)
class AvailabilityFound:
    found: list[AvailabilityShown]
    slots: list[SlotShown]
    """Those in which fewest are busy, the earliest of them first."""


class Some(Query):
    limit: Annotated[int, Field(ge=1, le=GIVEN_MAX)] = 50
    after: Annotated[UUID, Field(description="`next` of the page before.")] = UUID(int=0)


@dataclass(slots=True)
class GivenShown:
    agent_id: UUID
    level: Privacy


@dataclass(slots=True)
class ReceivedShown:
    agent_id: UUID
    """Whose agendas."""
    level: Opened


@dataclass(slots=True)
class ResourceShown:
    id: UUID
    kind: str
    name: str
    place: str
    seats: int | None
    address: str
    """As an attendee of an event in CalDAV."""


Line = TypeVar("Line", GivenShown, ReceivedShown)
RESOURCE: Kept[ResourceShown] = Kept(TypeAdapter(ResourceShown))


shown_at = lru_cache(4096)(moment)
"""Meetings begin at the same few moments for everybody."""


def show_resource(one: Resource) -> ResourceShown:
    return ResourceShown(one.id, one.kind, one.name, one.place, one.seats, one.address)


def show(one: Availability) -> AvailabilityShown:
    busy = [BusyShown(shown_at(first), shown_at(last), kind, title) for first, last, kind, title in one.busy]
    return AvailabilityShown(one.id, one.privacy, busy)


@ROUTES.post("/api/calendar/v1/availability", scope="calendar:read", status=200, problems=(Invalid, NotFound))
async def find_availability(request: Request, body: Meet) -> AvailabilityFound:
    """When these people and rooms are busy, as far as they show it to you, and when they could meet.

    That you asked about several others is written in the audit.
    """
    check_times(body.starts_at, body.ends_at)
    if not timedelta() < body.ends_at - body.starts_at <= timedelta(days=DAYS_MAX):
        raise Invalid(f"Ask about at most {DAYS_MAX} days.")
    days = frozenset(one - 1 for one in body.days)
    hours = Hours(ZoneInfo(zone_of(body.time_zone)), body.opens_at.replace(tzinfo=None), body.closes_at.replace(tzinfo=None), days)
    wanted = Wanted(body.agents, body.resources, epoch(body.starts_at), epoch(body.ends_at), body.minutes * 60, hours, body.slots)
    asker = asker_of(request)
    async with request[DB].read() as conn:
        found, slots = await queries.availability_for(conn, asker, wanted)
    await actions.note_reading(request[DB], asker, body.agents, where=client_key(request), now=request[CLOCK]())
    return AvailabilityFound(
        [show(one) for one in found], [SlotShown(moment(one.starts_at), moment(one.ends_at), list(one.busy)) for one in slots]
    )


@ROUTES.get("/api/calendar/v1/privacy", scope="calendar:read")
async def list_privacy(request: Request, query: Some) -> Page[GivenShown]:
    """Which colleagues you have told what else they may know of your agendas; all others see when you are busy."""
    async with request[DB].read() as conn:
        found = await queries.privacy_of(conn, asker_of(request), query.after, query.limit + 1)
    return page_of([GivenShown(*one) for one in found], query.limit)


@ROUTES.get("/api/calendar/v1/privacy/received", scope="calendar:read")
async def list_received(request: Request, query: Some) -> Page[ReceivedShown]:
    """Which colleagues show you more of their agendas than when they are busy, or let you act in them."""
    async with request[DB].read() as conn:
        found = await queries.privacy_for(conn, asker_of(request), SHOW_TITLES, query.after, query.limit + 1)
    return page_of([ReceivedShown(*one) for one in found], query.limit)


def page_of(found: list[Line], limit: int) -> Page[Line]:
    """One more than the limit was asked for, if there is one."""
    return Page(found[:limit], str(found[limit - 1].agent_id) if len(found) > limit else None)


@ROUTES.put("/api/calendar/v1/privacy/{agent_id}", scope="calendar:write", problems=(NotFound,))
async def set_privacy(request: Request, agent_id: UUID, body: Showing) -> None:
    """How much of your agendas a colleague may know. Another ministry's agents see when you are busy, and no more."""
    async with request[DB].transaction() as tx:
        await actions.set_privacy(tx, asker_of(request), agent_id, body.level, now=request[CLOCK]())


@ROUTES.get("/api/calendar/v1/resources", scope="calendar:read")
async def list_resources(request: Request) -> Page[ResourceShown]:
    """Rooms and equipment of your ministry."""
    async with request[DB].read() as conn:
        return Page([show_resource(one) for one in await queries.resources_for(conn, asker_of(request))])


@ROUTES.post("/api/calendar/v1/resources", scope="calendar:write", headers=LOCATION, problems=(Forbidden,))
async def create_resource(request: Request, body: NewResource, key: IdempotencyKey) -> Reply[ResourceShown]:
    """A room, or equipment that one books; by your ministry's administrators."""
    asker, now = asker_of(request), request[CLOCK]()

    async def act() -> ResourceShown:
        return show_resource(await actions.make_resource(tx, asker, body.kind, body.name, body.place, body.seats, now=now))

    async with request[DB].transaction() as tx:
        made = await once(tx, Asked(asker.id, key, "create_resource", body, now), RESOURCE, act)
    return Reply(made, {"Location": "/api/calendar/v1/resources"})
