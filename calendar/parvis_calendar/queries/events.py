"""What takes place in one's agendas, occurrence by occurrence, as lists and weeks show it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Connection

from parvis_calendar.rules.agendas import Agenda, Asker, Stored
from parvis_calendar.rules.instances import Instance, instances
from parvis_calendar.rules.objects import CalendarObject, read_object
from parvis_calendar.rules.windows import Window, moment, unwall, window
from parvis_calendar.store import agendas, objects
from parvis_calendar.store import instances as kept

PARTLY_MAX = 500
IN_THE_LOOP_MAX = 50


@dataclass(frozen=True, slots=True)
class Occurrence:
    event_id: UUID
    calendar_id: UUID
    what: CalendarObject
    one: Instance
    etag: str
    name: str
    starts_at: datetime
    ends_at: datetime
    zone: str


async def occurrences_for(conn: Connection, asker: Asker, start: int, end: int, calendar_id: UUID | None) -> list[Occurrence]:
    """In the order in which they begin. `start` and `end`: seconds since 1970."""
    found: list[Occurrence] = []
    for agenda in await agendas.agendas_of(conn, asker.id):
        if agenda.kind != "agenda" or "VEVENT" not in agenda.takes or calendar_id not in (None, agenda.id):
            continue
        wanted = window(start, end, ZoneInfo(agenda.zone))
        ids = dict.fromkeys(await kept.met(conn, agenda.id, wanted))
        ids |= dict.fromkeys(one.id for one in await kept.partly_expanded(conn, agenda.id, wanted, PARTLY_MAX))
        some = [one for one in await objects.by_ids(conn, list(ids)) if one.component == "VEVENT"]
        if len(some) <= IN_THE_LOOP_MAX:
            found += _occurrences(some, agenda, wanted)
        else:
            found += await asyncio.to_thread(_occurrences, some, agenda, wanted)
    return sorted(found, key=lambda one: (one.starts_at, one.ends_at, str(one.event_id)))


def _occurrences(some: Sequence[Stored], agenda: Agenda, wanted: Window) -> list[Occurrence]:
    zone = ZoneInfo(agenda.zone)
    found = []
    for entry in some:
        what = read_object(entry.octets)
        for one in instances(what, wanted.start, wanted.end, zone).found:
            ends = (one.starts_at, one.ends_at)
            first, last = (unwall(each, zone) for each in ends) if one.is_floating else ends
            found.append(Occurrence(entry.id, agenda.id, what, one, entry.etag, entry.name, moment(first), moment(last), agenda.zone))
    return found
