"""Objects put into agendas, moved and deleted: octets as they came, instances and busy weeks beside them, and the fact."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.ids import new_id
from parvis_kit.problems import Forbidden, NotFound, PreconditionFailed, Problem
from parvis_kit.webdav import CALDAV, DAV, Precondition, child_of, href_of, quoted

from parvis_calendar.actions.common import busy_changed, next_change, note_delegate
from parvis_calendar.actions.telling import tell_gone, tell_put
from parvis_calendar.queries.reading import aside, read
from parvis_calendar.rules.agendas import OBJECTS_MAX, Agenda, Stored, entity_tag
from parvis_calendar.rules.budgets import GROWTH_UNASKED_BYTES_MAX, HOME_BYTES_MAX
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.taking import Expanded, expanded, first_span
from parvis_calendar.rules.windows import spans_of
from parvis_calendar.store import agendas, instances, objects

SUPPORTED_COMPONENT = child_of(CALDAV, "supported-calendar-component")
QUOTA = child_of(DAV, "quota-not-exceeded")
NO_UID_CONFLICT = child_of(CALDAV, "no-uid-conflict")
TOMBSTONES_KEPT = timedelta(days=400)
"""A phone that was in a drawer for longer compares anew."""
TOMBSTONES_AT_ONCE = 1000
Conditions = Callable[[Stored | None], None]
"""Raises when the object is not as the client has read it."""


class AgendaFull(Problem):
    """There is no room for more objects in this agenda."""

    status, code = 507, "agenda-full"


@dataclass(frozen=True, slots=True)
class Prepared:
    """An object read and expanded, before anything is locked."""

    octets: bytes
    what: CalendarObject
    expanded: Expanded
    schedule_tag: str | None = None
    """Another one when what the organizer said has changed, and not when somebody has answered (RFC 6638 §3.2.10)."""
    is_exact: bool = True
    continues: UUID | None = None
    """The event of an agent who left that this one goes on with."""


@dataclass(frozen=True, slots=True)
class Put:
    id: UUID
    etag: str
    is_new: bool
    schedule_tag: str | None
    is_exact: bool
    """A GET gives the very octets that came."""


async def prepared(octets: bytes, agenda: Agenda, now: datetime) -> Prepared:
    """Raises Precondition for what is no calendar object, or is beyond the limits."""
    return await aside(len(octets), _prepare, octets, agenda.zone, now)


def _prepare(octets: bytes, zone: str, now: datetime) -> Prepared:
    what = read_object(octets)
    return Prepared(octets, what, expanded(what, zone, now))


async def put_object(tx: Tx, agenda: Agenda, name: str, new: Prepared, conditions: Conditions, base: str, *, now: datetime) -> Put:
    """Under this name. `base`: the agenda's path, for the href of what has the UID already. Raises NotFound, Precondition and others."""
    home = await next_change(tx, agenda.owner_id)
    named, same_uid = await objects.find_either(tx, agenda.id, name, new.what.uid)
    conditions(named)
    if new.what.component not in agenda.takes:
        raise Precondition(SUPPORTED_COMPONENT, f"This collection takes {agenda.components}, and not {new.what.component}.")
    if (other := same_uid if same_uid is not None and same_uid.name != name else None) or (named and named.uid != new.what.uid):
        there = other or named
        inner = href_of(base + quoted(there.name)) if there is not None else b""
        raise Precondition(NO_UID_CONFLICT, "Another object has this UID, or this one has another UID.", status=409, inner=inner)
    await _check_room(tx, agenda, len(new.octets) - (named.size_bytes if named is not None else 0))
    put = await write(tx, agenda, home.seq, name, new, named, now=now)
    await note_delegate(tx, agenda, "put", put.id, now=now)
    return put


async def _check_room(tx: Tx, agenda: Agenda, more_bytes: int) -> None:
    """Of what an owner puts, and not of what others send. Raises Precondition (RFC 4331 §6)."""
    if more_bytes > GROWTH_UNASKED_BYTES_MAX and await objects.bytes_in_home(tx, agenda.owner_id) + more_bytes > HOME_BYTES_MAX:
        raise Precondition(QUOTA, f"All your agendas together hold at most {HOME_BYTES_MAX // 2**20} MiB: delete something.", status=507)


async def write(tx: Tx, agenda: Agenda, seq: int, name: str, new: Prepared, before: Stored | None, *, now: datetime) -> Put:
    """The home is locked, and nothing speaks against it."""
    zone = ZoneInfo(agenda.zone)
    if before is None:
        object_id = new_id()
        await add(tx, agenda, seq, name, new, object_id, created_at=now, now=now)
    else:
        object_id = before.id
        await objects.replace(tx, object_id, row_of(new, seq, now))
        known = await instances.of_object(tx, object_id)
        if set(known) != set(new.expanded.takings):
            await instances.forget(tx, object_id)
            await instances.put(tx, agenda.id, object_id, new.expanded.takings)
            await busy_changed(tx, agenda, spans_of(known, zone), spans_of(new.expanded.takings, zone))
        await agendas.touch(tx, agenda.id, seq, 0)
    was = await read(before.octets, is_message=agenda.kind != "agenda") if before is not None else None
    await tell_put(tx, agenda, object_id, new.what, new.expanded, was, new.continues, now=now)
    return Put(object_id, entity_tag(new.octets), before is None, new.schedule_tag, new.is_exact)


def row_of(new: Prepared, seq: int, now: datetime) -> dict[str, Any]:
    """What a row says of an object, whatever its name and place."""
    starts_at, ends_at = first_span(new.what, new.expanded)
    return {
        "octets": new.octets, "etag": entity_tag(new.octets), "size_bytes": len(new.octets), "component": new.what.component,
        "schedule_tag": new.schedule_tag, "seq": seq, "modified_at": now, "starts_at": starts_at, "ends_at": ends_at,
        "recurs": new.what.recurs, "expanded_from": new.expanded.first, "expanded_until": new.expanded.until,
    }  # fmt: skip


async def add(tx: Tx, agenda: Agenda, seq: int, name: str, new: Prepared, object_id: UUID, *, created_at: datetime, now: datetime) -> None:
    """The home is locked. Raises AgendaFull."""
    if agenda.objects >= OBJECTS_MAX:
        raise AgendaFull(f"An agenda holds at most {OBJECTS_MAX} objects.")
    named = {"id": object_id, "agenda_id": agenda.id, "name": name, "uid": new.what.uid, "created_at": created_at}
    await objects.add(tx, named | row_of(new, seq, now))
    await instances.put(tx, agenda.id, object_id, new.expanded.takings)
    await busy_changed(tx, agenda, set(), spans_of(new.expanded.takings, ZoneInfo(agenda.zone)))
    await agendas.touch(tx, agenda.id, seq, 1)


async def delete_object(tx: Tx, agenda: Agenda, name: str, conditions: Conditions, *, now: datetime) -> None:
    """Raises NotFound, Precondition and what the conditions raise."""
    home = await next_change(tx, agenda.owner_id)
    found = await objects.find(tx, agenda.id, name)
    conditions(found)
    if found is None:
        raise NotFound("There is no such object.")
    await take_away(tx, agenda, home.seq, found, now=now)
    await tell_gone(tx, agenda, found, now=now)
    await note_delegate(tx, agenda, "delete", found.id, now=now)


async def take_away(tx: Tx, agenda: Agenda, seq: int, found: Stored, *, now: datetime) -> None:
    """The home is locked."""
    known = await instances.of_object(tx, found.id)
    await instances.forget(tx, found.id)
    await objects.delete(tx, agenda.id, found.id, found.name, seq, now)
    await busy_changed(tx, agenda, spans_of(known, ZoneInfo(agenda.zone)), set())
    await agendas.touch(tx, agenda.id, seq, -1)


async def move_object(tx: Tx, source: Agenda, name: str, target: Agenda, new_name: str, *, now: datetime) -> None:
    """Within a home, to a name that nothing has; it stays the event that it was, and nothing is said. Raises NotFound, Precondition."""
    if source.owner_id != target.owner_id:
        raise Forbidden("Objects move within a home: copy it, or put it there.")
    home = await next_change(tx, source.owner_id)
    found = await objects.find(tx, source.id, name)
    if found is None:
        raise NotFound("There is no such object.")
    if found.component not in target.takes:
        raise Precondition(SUPPORTED_COMPONENT, f"This collection takes {target.components}, and not {found.component}.")
    there, same_uid = await objects.find_either(tx, target.id, new_name, found.uid)
    if there is not None and there.id != found.id:
        raise PreconditionFailed("There is something of this name already.")
    if same_uid is not None and same_uid.id != found.id:
        raise Precondition(NO_UID_CONFLICT, "Another object there has this UID.", status=409)
    new = replace(await prepared(found.octets, target, now), schedule_tag=found.schedule_tag)
    await take_away(tx, source, home.seq, found, now=now)
    after = await next_change(tx, source.owner_id)  # a page of changes may end between the two
    await add(tx, target, after.seq, new_name, new, found.id, created_at=found.created_at, now=now)
    await note_delegate(tx, source, "move", found.id, now=now)


async def forget_tombstones(database: Database, clock: Clock) -> None:
    """Deletions that no client asks after any more."""
    before = clock() - TOMBSTONES_KEPT
    while True:
        async with database.transaction() as tx:
            if await agendas.forget_tombstones(tx, before, TOMBSTONES_AT_ONCE) < TOMBSTONES_AT_ONCE:
                return
