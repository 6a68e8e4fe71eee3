"""Which objects of an agenda are what a filter asks for: by index as far as it goes, then by looking at each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Connection

from parvis_calendar.queries.reading import aside
from parvis_calendar.rules.agendas import OBJECTS_MAX, Agenda, Listed, Stored
from parvis_calendar.rules.budgets import ANSWER_BYTES_MAX, BEYOND_BYTES_MAX, LOOKED_BYTES_MAX
from parvis_calendar.rules.filters import CompFilter, TimeRange, only_component, uid_asked
from parvis_calendar.rules.matching import fits_object
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.taking import takings_within
from parvis_calendar.rules.windows import Window, window
from parvis_calendar.store import instances, objects

LOOKED_AT_ONCE = 200
"""Objects whose octets are in memory together, as far as LOOKED_BYTES_MAX goes, and that are looked at in one go of a thread."""
PARTLY_MAX = 2_000
"""Recurring objects that are expanded for one question beyond the horizon."""


@dataclass(frozen=True, slots=True)
class Hits:
    found: Sequence[Listed]
    is_whole: bool
    """There are no more than were asked for, and than an answer holds."""


async def search(
    conn: Connection, agenda: Agenda, asked: CompFilter, zone: str, limit: int, *, with_octets: bool, only: str | None = None
) -> Hits:
    """At most `limit`; no more octets are loaded than are given out. `only`: the one object that is asked about, by name."""
    component = only_component(asked)
    if only is not None:
        found = await objects.find(conn, agenda.id, only)
        return Hits(await looked_at([found], asked, zone) if found is not None else [], True)
    if component is not None and not component.props and not component.comps:
        if component.times is None:
            if not with_octets:
                return _upto(limit, await objects.listed_of_component(conn, agenda.id, component.name, limit + 1), [])
            return _upto(limit, *await objects.of_component(conn, agenda.id, component.name, limit + 1, ANSWER_BYTES_MAX))
        if component.name == "VEVENT":
            return await met(conn, agenda, component.times, zone, limit, with_octets=with_octets)
    return await _look(conn, await candidates(conn, agenda, component, zone), asked, zone, limit, with_octets=with_octets)


def _upto(limit: int, found: Sequence[Listed], left: Sequence[Listed]) -> Hits:
    return Hits(found[:limit], len(found) <= limit and not left)


async def _look(conn: Connection, ids: Sequence[UUID], asked: CompFilter, zone: str, limit: int, *, with_octets: bool) -> Hits:
    """At each of them."""
    hits: list[Listed] = []
    room = ANSWER_BYTES_MAX
    for start in range(0, len(ids), LOOKED_AT_ONCE):
        some = ids[start : start + LOOKED_AT_ONCE]
        while some:
            stored, left = await objects.by_ids(conn, some, LOOKED_BYTES_MAX)
            some = [one.id for one in left]
            for one in await looked_at(stored, asked, zone):
                room -= one.size_bytes if with_octets else 0
                if len(hits) == limit or room < 0:
                    return Hits(hits, False)
                hits.append(one if with_octets else one.listed())
    return Hits(hits, True)


async def looked_at(some: Sequence[Stored], asked: CompFilter, zone: str) -> list[Stored]:
    """Those that fit."""

    def look() -> list[Stored]:
        return [one for one in some if fits_object(one.octets, asked, zone)]

    return await aside(sum(one.size_bytes for one in some), look)


async def met(conn: Connection, agenda: Agenda, times: TimeRange, zone: str, limit: int, *, with_octets: bool) -> Hits:
    """Events that take place then: nothing is read but the index, and what is given out."""
    ids = list(await ids_met(conn, agenda, times, zone))[: limit + 1]
    if not with_octets:
        return _upto(limit, await objects.listed_by_ids(conn, ids), [])
    return _upto(limit, *await objects.by_ids(conn, ids, ANSWER_BYTES_MAX))


async def ids_met(conn: Connection, agenda: Agenda, times: TimeRange, zone: str) -> dict[UUID, None]:
    wanted = window(times.start, times.end, ZoneInfo(zone))
    ids = dict.fromkeys(await instances.met(conn, agenda.id, wanted))
    partly = await instances.partly_expanded(conn, agenda.id, wanted, PARTLY_MAX, BEYOND_BYTES_MAX)
    if partly := [one for one in partly if one.id not in ids]:
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
