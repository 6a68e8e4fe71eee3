"""What is said of events: of those whose owner organizes them, or has them for themselves; others' are their organizers' to tell."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_contracts.calendar import EventCancelled, EventRescheduled, EventScheduled
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_calendar.queries.reading import read
from parvis_calendar.rules.agendas import Agenda, Stored
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.taking import Expanded, first_span, is_own
from parvis_calendar.rules.windows import moment, unwall
from parvis_calendar.store import people


async def is_owners(tx: Tx, agenda: Agenda, what: CalendarObject) -> bool:
    if agenda.kind != "agenda" or what.component != "VEVENT":
        return False
    if what.organizer is None:
        return True
    owner = await people.find_person(tx, agenda.owner_id)
    return owner is not None and is_own(what, owner)


async def tell_put(
    tx: Tx,
    agenda: Agenda,
    event_id: UUID,
    what: CalendarObject,
    found: Expanded,
    was: CalendarObject | None,
    continues: UUID | None,
    *,
    now: datetime,
) -> None:
    """An event is new, has other times, or was called off."""
    if not await is_owners(tx, agenda, what):
        return
    was = None if was is None or was.is_cancelled else was
    about, owner_id = str(event_id), agenda.owner_id
    if what.is_cancelled:
        if was is not None:
            publish(tx, EventCancelled(at=now, about=about, event_id=event_id, calendar_id=agenda.id, owner_id=owner_id))
        return
    starts_at, ends_at = moments(what, found, agenda)
    if was is None:
        fact = EventScheduled(
            at=now, about=about, event_id=event_id, calendar_id=agenda.id, owner_id=owner_id,
            ministry_id=agenda.ministry_id, starts_at=starts_at, ends_at=ends_at, recurs=what.recurs,
            attendees=len([one for one in what.attendees if what.organizer is None or one.email != what.organizer.email]),
            continues=continues,
        )  # fmt: skip
        publish(tx, fact)
    elif times_of(was) != times_of(what):
        moved = EventRescheduled(
            at=now, about=about, event_id=event_id, calendar_id=agenda.id, owner_id=owner_id, starts_at=starts_at, ends_at=ends_at,
            recurs=what.recurs,
        )  # fmt: skip
        publish(tx, moved)


def times_of(what: CalendarObject) -> object:
    """All that says when it takes place."""
    return [
        (one.recurrence_id, one.starts, one.ends, one.days, one.seconds, one.rules, one.rdates, one.exdates, one.is_cancelled)
        for one in what.parts
    ]


def moments(what: CalendarObject, found: Expanded, agenda: Agenda) -> tuple[datetime, datetime]:
    """Of the first occurrence; floating times are those of the agenda's zone."""
    starts_at, ends_at = (one or 0 for one in first_span(what, found))
    if what.floating:
        zone = ZoneInfo(agenda.zone)
        starts_at, ends_at = unwall(starts_at, zone), unwall(ends_at, zone)
    return moment(starts_at), moment(ends_at)


async def tell_gone(tx: Tx, agenda: Agenda, found: Stored, *, now: datetime) -> None:
    """An event was deleted."""
    if found.component != "VEVENT":
        return
    what = await read(found.octets)
    if not what.is_cancelled and await is_owners(tx, agenda, what):
        event_id = found.id
        publish(tx, EventCancelled(at=now, about=str(event_id), event_id=event_id, calendar_id=agenda.id, owner_id=agenda.owner_id))
