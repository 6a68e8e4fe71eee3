"""When somebody is busy: from the weeks written down, and beyond the horizon from what recurs."""

from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Connection

from parvis_calendar.rules.agendas import Agenda
from parvis_calendar.rules.objects import read_object
from parvis_calendar.rules.taking import takings_within
from parvis_calendar.rules.windows import Span, coalesced, spans_of, unpacked, week_of, window
from parvis_calendar.store import agendas, instances

PARTLY_MAX = 500
"""Recurring objects expanded for one question beyond the horizon; a few milliseconds each at worst."""


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
    wanted = window(start, end, zone)
    spans: list[Span] = []
    for one in await instances.partly_expanded(conn, agenda.id, wanted, PARTLY_MAX):
        if one.component == "VEVENT":
            spans += spans_of(takings_within(read_object(one.octets), agenda.zone, wanted), zone)
    return [(max(first, start), min(last, end), kind) for first, last, kind in spans if last > start and first < end]
