"""Events made, changed and deleted over JSON."""

from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Tx
from parvis_kit.http import CLOCK, DB, ETAG, LOCATION, Body, IdempotencyKey, IfMatch, Reply, Request, Routes, SentMoment
from parvis_kit.idempotency import Asked, Kept, once
from parvis_kit.problems import Forbidden, Invalid, NotFound, PreconditionFailed
from parvis_kit.webdav import quoted
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass as shown

from parvis_calendar import actions
from parvis_calendar.api.agendas import asker_of
from parvis_calendar.rules.agendas import Agenda
from parvis_calendar.rules.composing import Draft
from parvis_calendar.rules.meetings import ResourceTaken
from parvis_calendar.rules.refusals import NotTaken
from parvis_calendar.rules.rrules import checked_rule
from parvis_calendar.rules.zones import zone_named

ROUTES = Routes("calendar", "1")
NO_ZONE = {"location": "body", "at": ["time_zone"], "message": "IANA's names are known, as Europe/Paris.", "type": "unknown"}
ATTENDEES_MAX = 300
"""Invited by one request; a CalDAV client may invite more."""
RESOURCES_MAX = 20
Title = Annotated[str, Field(max_length=500)]
Zone = Annotated[str, Field(max_length=64, description="IANA's name, as Europe/Paris.")]
Rule = Annotated[str, Field(max_length=500, description="As the value of RRULE: FREQ=WEEKLY;BYDAY=MO;COUNT=10. Empty: it does not recur.")]
Ids = Annotated[list[UUID], Field(strict=False, max_length=ATTENDEES_MAX)]


class NewEvent(Body):
    title: Annotated[str, Field(min_length=1, max_length=500)]
    starts_at: SentMoment
    ends_at: SentMoment
    time_zone: Zone = "Europe/Paris"
    location: Title = ""
    attendees: Ids = []
    resources: Annotated[list[UUID], Field(strict=False, max_length=RESOURCES_MAX)] = []
    recurrence: Rule = ""
    calendar_id: Annotated[UUID | None, Field(strict=False)] = None


class ChangedEvent(Body):
    """What is left out stays."""

    title: Title | None = None
    starts_at: SentMoment | None = None
    ends_at: SentMoment | None = None
    time_zone: Zone = "Europe/Paris"
    location: Title | None = None
    attendees: Ids | None = None
    resources: Annotated[list[UUID] | None, Field(strict=False)] = None
    recurrence: Rule | None = None


@shown(slots=True)
class EventMade:
    event_id: UUID
    """Of a meeting: its meeting_id."""
    calendar_id: UUID
    href: str
    """Of the object in CalDAV."""
    etag: str


MADE: Kept[EventMade] = Kept(TypeAdapter(EventMade))


def zone_of(name: str) -> str:
    """Raises Invalid."""
    if not isinstance(zone := zone_named(name), ZoneInfo):
        raise Invalid("There is no time zone of this name.", errors=[NO_ZONE])
    return zone.key


def check_times(starts_at: datetime | None, ends_at: datetime | None) -> None:
    """Raises Invalid."""
    if (starts_at is None) != (ends_at is None):
        raise Invalid("Say both when it starts and when it ends.")
    if starts_at is not None and ends_at is not None and not (ends_at >= starts_at and 1970 <= starts_at.year and ends_at.year <= 2200):
        raise Invalid("It ends after it starts, between the years 1970 and 2200.")


def show(event_id: UUID, agenda: Agenda, name: str, etag: str) -> EventMade:
    return EventMade(event_id, agenda.id, f"/dav/calendars/{agenda.owner_id}/{quoted(agenda.name)}/{quoted(name)}", etag)


async def draft_of(tx: Tx, request: Request, body: NewEvent | ChangedEvent) -> Draft:
    """Raises Invalid."""
    check_times(body.starts_at, body.ends_at)
    if body.recurrence:
        checked_rule(body.recurrence)
    attendees = None if body.attendees is None else await actions.people_named(tx, body.attendees)
    resources = None if body.resources is None else await actions.resources_named(tx, asker_of(request), body.resources)
    return Draft(body.title, body.location, body.starts_at, body.ends_at, zone_of(body.time_zone), body.recurrence, attendees, resources)


@ROUTES.post("/api/calendar/v1/events", scope="calendar:write", headers=LOCATION, problems=(Invalid, NotFound, ResourceTaken, NotTaken))
async def create_event(request: Request, body: NewEvent, key: IdempotencyKey) -> Reply[EventMade]:
    """An event of yours; with attendees it is a meeting, and they are invited at once. A room that is taken refuses all of it."""
    asker, now = asker_of(request), request[CLOCK]()

    async def act() -> EventMade:
        put, agenda, uid = await actions.create_event(tx, asker, await draft_of(tx, request, body), body.calendar_id, now=now)
        return show(put.id, agenda, f"{uid}.ics", put.etag)

    async with request[DB].transaction() as tx:
        made = await once(tx, Asked(asker.id, key, "create_event", body, now), MADE, act)
    return Reply(made, {"Location": made.href})


@ROUTES.patch(
    "/api/calendar/v1/events/{event_id}", scope="calendar:write", headers=ETAG,
    problems=(Invalid, NotFound, Forbidden, PreconditionFailed, ResourceTaken, NotTaken),
)  # fmt: skip
async def change_event(request: Request, event_id: UUID, body: ChangedEvent, if_match: IfMatch) -> Reply[EventMade]:
    """All of its occurrences. Other times ask those who are invited anew."""
    asker, now = asker_of(request), request[CLOCK]()
    async with request[DB].transaction() as tx:
        draft = await draft_of(tx, request, body)
        put, agenda, stored = await actions.change_event(tx, asker, event_id, draft, if_match, now=now)
    return Reply(show(put.id, agenda, stored.name, put.etag), {"ETag": put.etag})


@ROUTES.delete("/api/calendar/v1/events/{event_id}", scope="calendar:write", problems=(NotFound,))
async def delete_event(request: Request, event_id: UUID) -> None:
    """With all its occurrences. Your meeting is called off; one to which you are invited is declined."""
    async with request[DB].transaction() as tx:
        await actions.delete_event(tx, asker_of(request), event_id, now=request[CLOCK]())
