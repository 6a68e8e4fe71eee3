"""Instances written down anew: when an agenda changes its zone, and when the horizon moves on."""

import asyncio
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.background import one_by_one
from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx

from parvis_calendar.actions.common import busy_changed, rewrite_all_weeks
from parvis_calendar.rules.agendas import OBJECTS_MAX, Agenda
from parvis_calendar.rules.budgets import LOOKED_BYTES_MAX
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.taking import Expanded, expanded
from parvis_calendar.rules.windows import HORIZON_RENEWED, horizon, spans_of
from parvis_calendar.store import agendas, instances, objects

RENEWED_AT_ONCE = 200
"""Objects of one sweep: each is a transaction of some milliseconds."""


async def expand_agenda(tx: Tx, agenda: Agenda, *, now: datetime) -> None:
    """All that recurs in it, and the weeks of its owner, who is busy at other times now. The home is locked."""
    some = [one.id for one in await objects.listed(tx, agenda.id, OBJECTS_MAX)]
    for start in range(0, len(some), RENEWED_AT_ONCE):
        ids = some[start : start + RENEWED_AT_ONCE]
        while ids:
            stored, left = await objects.by_ids(tx, ids, LOOKED_BYTES_MAX)
            ids = [one.id for one in left]
            for one in stored:
                await _rewrite(tx, agenda, one.id, await asyncio.to_thread(_again, one.octets, agenda.zone, now))
    await rewrite_all_weeks(tx, agenda.owner_id)


def _again(octets: bytes, zone: str, now: datetime) -> Expanded:
    return expanded(read_object(octets), zone, now)


async def _rewrite(tx: Tx, agenda: Agenda, object_id: UUID, found: Expanded) -> None:
    await instances.forget(tx, object_id)
    await instances.put(tx, agenda.id, object_id, found.takings)
    await instances.set_expanded(tx, object_id, found.first, found.until)


async def renew_expansions(database: Database, clock: Clock) -> int:
    """Those whose instances end too near; how many were due. Each in a transaction of its own, so that nobody waits."""
    now = clock()
    async with database.read() as conn:
        due = await instances.due_for_expansion(conn, horizon(now - HORIZON_RENEWED)[1], RENEWED_AT_ONCE)

    async def renew(one: tuple[UUID, UUID, UUID]) -> None:
        object_id, agenda_id, owner_id = one
        async with database.transaction() as tx:
            await agendas.next_seq(tx, owner_id)
            agenda = await agendas.find_agenda(tx, agenda_id)
            found, _ = await objects.by_ids(tx, [object_id], LOOKED_BYTES_MAX)
            if agenda is None or not found:
                return
            again = await asyncio.to_thread(_again, found[0].octets, agenda.zone, now)
            zone = ZoneInfo(agenda.zone)
            before = spans_of(await instances.of_object(tx, object_id), zone)
            await _rewrite(tx, agenda, object_id, again)
            await busy_changed(tx, agenda, before, spans_of(again.takings, zone))

    await one_by_one("calendar.horizon", due, renew, lambda one: f"object {one[0]}")
    return len(due)
