"""What takes place in one's agendas, occurrence by occurrence, as lists and weeks show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound

from parvis_calendar.queries.agendas import agendas_for, let_in
from parvis_calendar.queries.freebusy import taking_beyond
from parvis_calendar.queries.reading import aside, read
from parvis_calendar.rules.agendas import Agenda, Asker, Listed, Stored
from parvis_calendar.rules.budgets import PAGE_BYTES_MAX, within
from parvis_calendar.rules.instances import Instance, first_of, instances
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.windows import moment, unwall, window
from parvis_calendar.store import agendas, meetings, objects
from parvis_calendar.store import instances as kept


@dataclass(frozen=True, slots=True)
class Occurrence:
    event_id: UUID
    agenda: Agenda
    what: CalendarObject
    one: Instance
    etag: str
    name: str
    starts_at: datetime
    ends_at: datetime


class Placed(NamedTuple):
    """An occurrence as the index has it."""

    starts_at: int
    ends_at: int
    event_id: UUID
    recurrence_at: int
    agenda: Agenda


async def occurrences_for(
    conn: Connection, asker: Asker, start: int, end: int, calendar_id: UUID | None, owner_id: UUID, *, after: int, limit: int
) -> tuple[list[Occurrence], int | None]:
    """In the order in which they begin, and where to go on: after `limit` of them, or as many as their objects' bytes allow.

    `start` and `end`: seconds since 1970. Only the objects of this page are read.
    """
    every: list[Placed] = []
    listed: dict[UUID, Listed] = {}
    for agenda in await _asked(conn, asker, calendar_id, owner_id):
        if agenda.kind == "agenda" and "VEVENT" in agenda.takes:
            every += await _placed(conn, agenda, start, end, listed)
    every.sort(key=lambda one: (one.starts_at, one.ends_at, str(one.event_id)))
    some = every[after : after + limit]
    ids = list(dict.fromkeys(one.event_id for one in some))
    ids = ids[: within([listed[one].size_bytes for one in ids], PAGE_BYTES_MAX)]
    held = set(ids)
    count = next((number for number, one in enumerate(some) if one.event_id not in held), len(some))
    stored, _ = await objects.by_ids(conn, ids, PAGE_BYTES_MAX)
    found = await aside(sum(one.size_bytes for one in stored), _occurrences, some[:count], {one.id: one for one in stored}, start, end)
    return found, after + count if after + count < len(every) else None


async def event_by_id(conn: Connection, asker: Asker, event_id: UUID) -> tuple[Stored, Agenda]:
    """Of one's own agendas, or of a colleague's who lets one write. Raises NotFound."""
    there = await meetings.find_by_id(conn, event_id)
    agenda = await let_in(conn, asker, there[1]) if there is not None else None
    if there is None or agenda is None or agenda.kind != "agenda" or there[0].component != "VEVENT":
        raise NotFound("There is no such event.")
    return there[0], agenda


async def event_for(conn: Connection, asker: Asker, event_id: UUID) -> Occurrence:
    """An event as a whole, at the times of its first occurrence. Raises NotFound."""
    stored, agenda = await event_by_id(conn, asker, event_id)
    what = await read(stored.octets)
    if (one := first_of(what)) is None:
        raise NotFound("This event does not say when it takes place.")
    times = [unwall(at, ZoneInfo(agenda.zone)) if one.is_floating else at for at in (one.starts_at, one.ends_at)]
    return Occurrence(stored.id, agenda, what, one, stored.etag, stored.name, *map(moment, times))


async def _asked(conn: Connection, asker: Asker, calendar_id: UUID | None, owner_id: UUID) -> list[Agenda]:
    """All of one owner, or one alone: the asker's own, or of a colleague who lets them write; none that they may not see."""
    if calendar_id is None:
        return await agendas_for(conn, asker, owner_id)
    found = await let_in(conn, asker, await agendas.find_agenda(conn, calendar_id))
    return [found] if found is not None else []


async def _placed(conn: Connection, agenda: Agenda, start: int, end: int, listed: dict[UUID, Listed]) -> list[Placed]:
    zone = ZoneInfo(agenda.zone)
    wanted = window(start, end, zone)
    takings = await kept.met(conn, agenda.id, wanted)
    takings |= {one.id: found for one, found in await taking_beyond(conn, agenda, wanted) if found}
    listed |= {one.id: one for one in await objects.listed_by_ids(conn, list(takings)) if one.component == "VEVENT"}
    found = []
    for event_id, each in takings.items():
        for one in each if event_id in listed else ():
            ends = (one.starts_at, one.ends_at)
            first, last = (unwall(at, zone) for at in ends) if one.is_floating else ends
            found.append(Placed(first, last, event_id, one.recurrence_at, agenda))
    return found


def _occurrences(some: Sequence[Placed], stored: Mapping[UUID, Stored], start: int, end: int) -> list[Occurrence]:
    """What each object says of them; one that was changed since the index was read is as it is now, or is left out."""
    by_object: dict[UUID, tuple[CalendarObject, dict[int, Instance]]] = {}
    found = []
    for placed in some:
        if (entry := stored.get(placed.event_id)) is None:
            continue
        if entry.id not in by_object:
            what = read_object(entry.octets)
            every = instances(what, start, end, ZoneInfo(placed.agenda.zone)).found
            by_object[entry.id] = what, {one.recurrence_at: one for one in every}
        what, known = by_object[entry.id]
        if (one := known.get(placed.recurrence_at)) is not None:
            times = moment(placed.starts_at), moment(placed.ends_at)
            found.append(Occurrence(entry.id, placed.agenda, what, one, entry.etag, entry.name, *times))
    return found
