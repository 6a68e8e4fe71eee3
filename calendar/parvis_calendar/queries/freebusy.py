"""When somebody is busy: from the weeks written down, and beyond the horizon from what recurs."""

import asyncio
from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Connection

from parvis_calendar.rules.agendas import Agenda, Stored
from parvis_calendar.rules.budgets import BEYOND_BYTES_MAX
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.taking import takings_within
from parvis_calendar.rules.windows import Span, Taking, Window, coalesced, spans_of, unpacked, week_of, window
from parvis_calendar.store import agendas, instances

PARTLY_MAX = 500
"""Recurring objects expanded for one question beyond the horizon, in a thread: a few milliseconds each at worst."""


async def busy_of(conn: Connection, owners: Sequence[UUID], start: int, end: int) -> dict[UUID, list[Span]]:
    """Owner → spans within the window, as far as the horizon goes: one query for all of them."""
    rows = await instances.busy_weeks(conn, owners, week_of(start), week_of(end - 1))
    return {owner: unpacked(rows.get(owner, {}), start, end) for owner in owners}


async def busy_of_one(conn: Connection, owner_id: UUID, start: int, end: int) -> list[Span]:
    """Also where the horizon ends."""
    spans = unpacked(await instances.own_weeks(conn, owner_id, week_of(start), week_of(end - 1)), start, end)
    for agenda in await agendas.agendas_of(conn, owner_id):
        if agenda.kind == "agenda" and not agenda.is_transparent:
            spans += await beyond_horizon(conn, agenda, start, end)
    return coalesced(spans)


async def busy_in(conn: Connection, agenda: Agenda, start: int, end: int) -> list[Span]:
    """By one agenda alone, whether or not it makes its owner busy."""
    zone = ZoneInfo(agenda.zone)
    wanted = window(start, end, zone)
    met = await instances.met(conn, agenda.id, wanted)
    spans = list(spans_of([one for takings in met.values() for one in takings], zone))
    spans += await beyond_horizon(conn, agenda, start, end)
    return coalesced((max(first, start), min(last, end), kind) for first, last, kind in spans if last > start and first < end)


async def beyond_horizon(conn: Connection, agenda: Agenda, start: int, end: int) -> list[Span]:
    zone = ZoneInfo(agenda.zone)
    takings = [one for _, found in await taking_beyond(conn, agenda, window(start, end, zone)) for one in found]
    return [(max(first, start), min(last, end), kind) for first, last, kind in spans_of(takings, zone) if last > start and first < end]


async def taking_beyond(conn: Connection, agenda: Agenda, wanted: Window) -> list[tuple[Stored, list[Taking]]]:
    """Events of which not all is written down, and when they take place."""
    some = await instances.partly_expanded(conn, agenda.id, wanted, PARTLY_MAX, BEYOND_BYTES_MAX)
    some = [one for one in some if one.component == "VEVENT"]
    return list(zip(some, await asyncio.to_thread(_takings, some, agenda.zone, wanted), strict=True)) if some else []


def _takings(some: Sequence[Stored], zone: str, wanted: Window) -> list[list[Taking]]:
    return [takings_within(read_object(one.octets), zone, wanted) for one in some]
