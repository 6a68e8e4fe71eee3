"""Which objects of an agenda are what a filter asks for: by index as far as it goes, then by looking at each."""

import asyncio
from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Connection

from parvis_calendar.rules.agendas import OBJECTS_MAX, Agenda, Listed, Stored
from parvis_calendar.rules.filters import CompFilter, TimeRange, only_component, uid_asked
from parvis_calendar.rules.matching import fits_object
from parvis_calendar.rules.objects import read_object
from parvis_calendar.rules.taking import takings_within
from parvis_calendar.rules.windows import Window, window
from parvis_calendar.store import instances, objects

LOOKED_AT_ONCE = 200
"""Objects whose octets are in memory together, and that are looked at in one go of a thread."""
IN_THE_LOOP_MAX = 20
PARTLY_MAX = 2_000
"""Recurring objects that are expanded for one question beyond the horizon."""


async def search(
    conn: Connection, agenda: Agenda, asked: CompFilter, zone: str, limit: int, *, with_octets: bool, only: str | None = None
) -> Sequence[Listed]:
    """At most `limit`. `only`: the one object that is asked about, by name."""
    component = only_component(asked)
    if only is not None:
        found = await objects.find(conn, agenda.id, only)
        return [one for one in ([found] if found is not None else []) if fits_object(one.octets, asked, zone)]
    if component is not None and not component.props and not component.comps:
        if component.times is None:
            return await objects.of_component(conn, agenda.id, component.name, limit, with_octets=with_octets)
        if component.name == "VEVENT":
            return await met(conn, agenda, component.times, zone, limit, with_octets=with_octets)
    ids = await candidates(conn, agenda, component, zone)
    hits: list[Stored] = []
    for start in range(0, len(ids), LOOKED_AT_ONCE):
        some = await objects.by_ids(conn, ids[start : start + LOOKED_AT_ONCE])
        hits += await looked_at(some, asked, zone)
        if len(hits) >= limit:
            break
    return hits[:limit]


async def looked_at(some: Sequence[Stored], asked: CompFilter, zone: str) -> list[Stored]:
    """Those that fit."""

    def look() -> list[Stored]:
        return [one for one in some if fits_object(one.octets, asked, zone)]

    return look() if len(some) <= IN_THE_LOOP_MAX else await asyncio.to_thread(look)


async def met(conn: Connection, agenda: Agenda, times: TimeRange, zone: str, limit: int, *, with_octets: bool) -> Sequence[Listed]:
    """Events that take place then: nothing is read but the index, and what is given out."""
    ids = list(await ids_met(conn, agenda, times, zone))[:limit]
    return await objects.by_ids(conn, ids) if with_octets else await objects.listed_by_ids(conn, ids)


async def ids_met(conn: Connection, agenda: Agenda, times: TimeRange, zone: str) -> dict[UUID, None]:
    wanted = window(times.start, times.end, ZoneInfo(zone))
    ids = dict.fromkeys(await instances.met(conn, agenda.id, wanted))
    partly = [one for one in await instances.partly_expanded(conn, agenda.id, wanted, PARTLY_MAX) if one.id not in ids]
    if partly:
        more = await asyncio.to_thread(_take_place, partly, zone, wanted)
        ids |= dict.fromkeys(more)
    return ids


def _take_place(some: Sequence[Stored], zone: str, wanted: Window) -> list[UUID]:
    return [one.id for one in some if takings_within(read_object(one.octets), zone, wanted)]


async def candidates(conn: Connection, agenda: Agenda, component: CompFilter | None, zone: str) -> list[UUID]:
    """Everything that could fit."""
    if component is None:
        return await objects.ids_in(conn, agenda.id, OBJECTS_MAX)
    if (text := uid_asked(component)) is not None:
        return await objects.ids_with_uid(conn, agenda.id, text, OBJECTS_MAX)
    if component.name == "VEVENT" and component.times is not None and not component.any_of:
        return list(await ids_met(conn, agenda, component.times, zone))
    return await objects.ids_in(conn, agenda.id, OBJECTS_MAX, component.name)
