"""What takes place in one's agendas."""

from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from parvis_kit.http import DB, ETAG, Page, Query, Reply, Request, Routes, SentMoment
from parvis_kit.problems import Invalid, NotFound
from parvis_kit.webdav import quoted
from pydantic import Field
from pydantic.dataclasses import dataclass as shown

from parvis_calendar import queries
from parvis_calendar.api.agendas import asker_of
from parvis_calendar.queries import Occurrence
from parvis_calendar.rules.objects import Attendee
from parvis_calendar.rules.windows import epoch, moment

ROUTES = Routes("calendar", "1")
WINDOW_MAX = timedelta(days=400)
"""Of one list: a year and a bit, as a year's view shows it."""
EVENTS_MAX = 1_000
"""Of one page."""


class Between(Query):
    """`from` and `to`."""

    from_: SentMoment = Field(alias="from", description="From this moment on.")
    to: Annotated[SentMoment, Field(description="Before this moment.")]
    calendar: Annotated[UUID | None, Field(description="In this agenda alone: one of yours, or of a colleague who lets you write.")] = None
    owner: Annotated[UUID | None, Field(description="In all agendas of this colleague, who lets you write; else in yours.")] = None
    limit: Annotated[int, Field(ge=1, le=EVENTS_MAX)] = EVENTS_MAX
    after: Annotated[int, Field(ge=0, le=1_000_000, description="`next` of the page before.")] = 0


@shown(slots=True)
class PersonShown:
    email: str
    name: str
    answer: str
    """needs-action, accepted, declined, tentative or delegated."""
    role: str
    is_resource: bool


@shown(slots=True)
class EventShown:
    """One occurrence."""

    event_id: UUID
    calendar_id: UUID
    owner_id: UUID
    """Whose agenda it is."""
    uid: str
    href: str
    """Of the object in CalDAV."""
    etag: str
    title: str
    place: str
    starts_at: datetime
    ends_at: datetime
    day: date | None
    """Of an all-day event, its first day; its times are then midnights of the agenda's zone."""
    recurs: bool
    recurrence_at: datetime
    """Which occurrence it is: when it would take place if it were like the others."""
    status: str
    """confirmed, tentative or cancelled."""
    is_free: bool
    """It makes nobody busy."""
    organizer: PersonShown | None
    attendees: list[PersonShown]


def show_person(one: Attendee) -> PersonShown:
    is_resource = one.cutype in ("ROOM", "RESOURCE")
    return PersonShown(one.email or one.address, one.name, one.partstat.lower(), one.role.lower(), is_resource)


def show(found: Occurrence) -> EventShown:
    part, one = found.one.part, found.one
    is_day = part.starts is not None and part.starts.is_day
    organizer = part.organizer or found.what.organizer
    path = f"/dav/calendars/{found.agenda.owner_id}/{quoted(found.agenda.name)}/{quoted(found.name)}"
    return EventShown(
        found.event_id, found.agenda.id, found.agenda.owner_id, found.what.uid, path, found.etag, part.summary, part.location,
        found.starts_at, found.ends_at, moment(one.starts_at).date() if is_day else None, found.what.recurs, moment(one.recurrence_at),
        (part.status or "CONFIRMED").lower(), one.busy == 0, show_person(organizer) if organizer else None,
        [show_person(each) for each in part.attendees],
    )  # fmt: skip


@ROUTES.get("/api/calendar/v1/events", scope="calendar:read", problems=(Invalid,))
async def list_events(request: Request, query: Between) -> Page[EventShown]:
    """Occurrences in agendas, in their order; a recurring event stands there as often as it takes place.

    An agenda that you may not see looks like one with nothing in it: `GET /calendars?owner=` tells which you may.

    A page ends early where its events are as large as one answer can be: go on with `next`.
    """
    if query.calendar and query.owner:
        raise Invalid("Name a `calendar` or its `owner`, not both.")
    if query.to <= query.from_ or query.to - query.from_ > WINDOW_MAX:
        raise Invalid(f"`to` comes after `from`, at most {WINDOW_MAX.days} days.")
    asker = asker_of(request)
    async with request[DB].read() as conn:
        some, after = await queries.occurrences_for(
            conn, asker, epoch(query.from_), epoch(query.to), query.calendar, query.owner or asker.id, after=query.after, limit=query.limit
        )
    return Page([show(one) for one in some], str(after) if after is not None else None)


@ROUTES.get("/api/calendar/v1/events/{event_id}", scope="calendar:read", headers=ETAG, problems=(NotFound,))
async def read_event(request: Request, event_id: UUID) -> Reply[EventShown]:
    """An event as a whole: the times are those of its first occurrence, and what you change by PATCH."""
    async with request[DB].read() as conn:
        found = show(await queries.event_for(conn, asker_of(request), event_id))
    return Reply(found, {"ETag": found.etag})
