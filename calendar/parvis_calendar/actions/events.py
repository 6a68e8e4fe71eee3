"""Events made, changed and deleted by whoever has no calendar client at hand."""

from datetime import datetime
from uuid import UUID, uuid4

from parvis_kit.db import Tx
from parvis_kit.problems import Forbidden, Invalid, NotFound, PreconditionFailed
from parvis_kit.webdav import quoted

from parvis_calendar import queries
from parvis_calendar.actions.objects import Put, prepared
from parvis_calendar.actions.scheduling import delete_object, put_as_organizer, put_object
from parvis_calendar.queries.reading import aside, read
from parvis_calendar.rules.agendas import Agenda, Asker, Person, Stored
from parvis_calendar.rules.composing import Draft, changed, composed
from parvis_calendar.rules.scheduling import is_organizer, is_scheduled
from parvis_calendar.store import agendas, objects, people, resources


async def create_event(tx: Tx, asker: Asker, draft: Draft, calendar_id: UUID | None, *, now: datetime) -> tuple[Put, Agenda, str]:
    """In this agenda, one's own or a colleague's, or where one's invitations arrive. Raises NotFound, ResourceTaken, NotTaken."""
    agenda = await (agendas.find_default(tx, asker.id) if calendar_id is None else queries.agenda_by_id(tx, asker, calendar_id))
    owner = await people.find_person(tx, agenda.owner_id) if agenda is not None else None
    if agenda is None or owner is None or agenda.kind != "agenda":
        raise NotFound("There is no such agenda.")
    uid = str(uuid4())
    put = await _put(tx, agenda, f"{uid}.ics", composed(uid, draft, owner, now), owner, None, now=now)
    return put, agenda, uid


async def change_event(tx: Tx, asker: Asker, event_id: UUID, draft: Draft, if_match: str, *, now: datetime) -> tuple[Put, Agenda, Stored]:
    """By whom it belongs to, or who organizes it. Raises NotFound, Forbidden, PreconditionFailed, ResourceTaken, NotTaken."""
    stored, agenda = await queries.event_by_id(tx, asker, event_id)
    owner, what = await people.find_person(tx, agenda.owner_id), await read(stored.octets)
    if owner is None or (what.organizer is not None and not is_organizer(what, owner.email)):
        raise Forbidden("Only the organizer changes a meeting: you may answer it.")
    octets = await aside(stored.size_bytes, changed, stored.octets, what, draft, owner, now)
    return await _put(tx, agenda, stored.name, octets, owner, if_match, now=now), agenda, stored


async def delete_event(tx: Tx, asker: Asker, event_id: UUID, *, now: datetime) -> None:
    """A meeting is called off by its organizer, and declined by who is invited. Raises NotFound."""
    stored, agenda = await queries.event_by_id(tx, asker, event_id)
    await delete_object(tx, agenda, stored.name, lambda found: None, now=now)


async def _put(tx: Tx, agenda: Agenda, name: str, octets: bytes, owner: Person, if_match: str | None, *, now: datetime) -> Put:
    def conditions(found: Stored | None) -> None:
        if if_match is not None and (found is None or found.etag != if_match):
            raise PreconditionFailed("It has changed since you read it: read it again, then send its new ETag.")

    new, base = await prepared(octets, agenda, now), f"/dav/calendars/{agenda.owner_id}/{quoted(agenda.name)}/"
    if is_scheduled(new.what):
        return await put_as_organizer(tx, agenda, name, new, conditions, base, owner, now=now, strict=True)
    return await put_object(tx, agenda, name, new, conditions, base, await objects.find(tx, agenda.id, name), now=now)


async def people_named(tx: Tx, ids: list[UUID]) -> list[Person]:
    """Raises Invalid."""
    found = await people.by_id(tx, ids)
    if missing := [str(one) for one in ids if one not in found]:
        raise Invalid("Nobody is known by these ids.", errors=[unknown(one) for one in missing])
    return [found[one] for one in dict.fromkeys(ids)]


async def resources_named(tx: Tx, asker: Asker, ids: list[UUID]) -> list[tuple[str, str, str]]:
    """Address, name, CUTYPE. Raises Invalid."""
    found = await resources.find(tx, ids)
    if any(one not in found or found[one].ministry_id != asker.ministry_id for one in ids):
        raise Invalid("There is no such room or equipment in your ministry.")
    return [(found[one].address, found[one].name, "ROOM" if found[one].kind == "room" else "RESOURCE") for one in dict.fromkeys(ids)]


def unknown(agent_id: object) -> dict[str, object]:
    return {"location": "body", "at": ["attendees"], "message": f"Nobody is known as {agent_id}.", "type": "unknown"}
