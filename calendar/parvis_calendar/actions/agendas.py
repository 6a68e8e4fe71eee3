"""Agendas that their owners make, change and delete."""

from datetime import datetime
from typing import Any
from uuid import UUID

from parvis_contracts.calendar import CalendarCreated, EventCancelled
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Forbidden
from parvis_kit.webdav import CALDAV, DAV, Precondition, child_of

from parvis_calendar.actions.common import check_own, next_change, rewrite_all_weeks
from parvis_calendar.actions.expansion import expand_agenda
from parvis_calendar.rules.agendas import AGENDAS_MAX, COMPONENTS, DEFAULT_ZONE, OBJECTS_MAX, Agenda, Asker, NewAgenda, merged
from parvis_calendar.store import agendas, objects

MUST_BE_NULL = child_of(DAV, "resource-must-be-null")
DEFAULT_NEEDED = child_of(CALDAV, "default-calendar-needed")


async def make_agenda(tx: Tx, asker: Asker, name: str, new: NewAgenda, *, now: datetime) -> UUID:
    """Under this name, in the asker's home. Raises NotFound, Precondition."""
    home = await next_change(tx, asker.id)
    there = await agendas.agendas_of(tx, asker.id)
    if any(one.name == name for one in there):
        raise Precondition(MUST_BE_NULL, "There is a collection of this name already.", status=405)
    if len(there) >= AGENDAS_MAX:
        raise Forbidden(f"A home holds at most {AGENDAS_MAX} agendas: delete one first.")
    made = Agenda(
        new_id(), asker.id, "agenda", name, new.display_name if new.display_name is not None else name, new.description or "",
        new.color or "", new.position, new.zone or DEFAULT_ZONE, new.timezone, ",".join(new.components or COMPONENTS),
        bool(new.is_transparent), False, merged({}, new.properties), home.seq, 0, 0, now,
    )  # fmt: skip
    await agendas.add_agenda(tx, made)
    await audit.record(tx, who=asker.id, what="agenda.create", on=made.id, ministry=home.ministry_id, at=now)
    publish(tx, CalendarCreated(at=now, about=str(made.id), calendar_id=made.id, owner_id=asker.id, ministry_id=home.ministry_id))
    return made.id


async def change_agenda(tx: Tx, agenda: Agenda, new: NewAgenda, *, now: datetime) -> None:
    """Raises NotFound, Precondition, Invalid."""
    check_own(agenda)
    await next_change(tx, agenda.owner_id)
    current = await agendas.find_agenda(tx, agenda.id)
    if current is None:
        return
    values: dict[str, Any] = new.values()
    if new.properties:
        values["properties"] = merged(current.properties, new.properties)
    if values:
        await agendas.change_agenda(tx, agenda.id, **values)
    changed = await agendas.find_agenda(tx, agenda.id)
    if changed is not None and (changed.zone, changed.is_transparent) != (current.zone, current.is_transparent):
        await expand_agenda(tx, changed, now=now)


async def change_home(tx: Tx, asker: Asker, properties: dict[str, str | None]) -> None:
    """Its dead properties. Raises NotFound, Precondition, Invalid."""
    home = await next_change(tx, asker.id)
    await agendas.change_home(tx, asker.id, properties=merged(home.properties, properties))


def check_deletable(agenda: Agenda) -> None:
    """Raises Precondition for the one where invitations arrive, and for a delegate; Forbidden for inbox and outbox."""
    check_own(agenda)
    if agenda.kind != "agenda":
        raise Forbidden("Inbox and outbox stay.")
    if agenda.is_default:
        raise Precondition(DEFAULT_NEEDED, "Invitations arrive in this agenda: it cannot be deleted.")


async def delete_all(tx: Tx, agenda: Agenda, *, now: datetime) -> None:
    """The agenda, with what is in it. Raises NotFound, Precondition."""
    home = await next_change(tx, agenda.owner_id)
    for one in await objects.listed(tx, agenda.id, OBJECTS_MAX):
        if one.component == "VEVENT":
            publish(tx, EventCancelled(at=now, about=str(one.id), event_id=one.id, calendar_id=agenda.id, owner_id=agenda.owner_id))
    await agendas.delete_agenda(tx, agenda.id)
    await rewrite_all_weeks(tx, agenda.owner_id)
    await audit.record(tx, who=agenda.owner_id, what="agenda.delete", on=agenda.id, ministry=home.ministry_id, at=now)
