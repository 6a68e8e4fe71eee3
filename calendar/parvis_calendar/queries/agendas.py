"""Homes, agendas and principals."""

from collections.abc import Sequence
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound

from parvis_calendar.rules.agendas import Agenda, Asker, Home, Person
from parvis_calendar.store import agendas, people


async def home_for(conn: Connection, asker: Asker, owner_id: UUID) -> Home:
    """Raises NotFound: nobody sees into another's home."""
    found = await agendas.find_home(conn, owner_id) if owner_id == asker.id else None
    if found is None:
        raise NotFound("There is no such home.")
    return found


async def whole_home_for(conn: Connection, asker: Asker, owner_id: UUID) -> tuple[Home, Person | None, list[Agenda]]:
    """The home, whose it is, and all agendas in it. Raises NotFound."""
    found = await agendas.whole_home(conn, owner_id) if owner_id == asker.id else None
    if found is None:
        raise NotFound("There is no such home.")
    return found


async def agenda_for(conn: Connection, asker: Asker, owner_id: UUID, name: str) -> Agenda:
    """Raises NotFound."""
    found = await agendas.find_named(conn, owner_id, name) if owner_id == asker.id else None
    if found is None:
        raise NotFound("There is no such agenda.")
    return found


async def agenda_by_id(conn: Connection, asker: Asker, agenda_id: UUID) -> Agenda:
    """Raises NotFound."""
    found = await agendas.find_agenda(conn, agenda_id)
    if found is None or found.owner_id != asker.id:
        raise NotFound("There is no such agenda.")
    return found


async def person_for(conn: Connection, asker: Asker, agent_id: UUID) -> Person:
    """Oneself, or a colleague of the same ministry. Raises NotFound."""
    found = await people.find_person(conn, agent_id)
    if found is None or (found.ministry_id != asker.ministry_id and found.id != asker.id):
        raise NotFound("There is nobody of this name.")
    return found


async def principals_for(conn: Connection, asker: Asker) -> list[Person]:
    """All colleagues of the asker's ministry."""
    return await people.people_of(conn, asker.ministry_id)


async def own_agendas(conn: Connection, asker: Asker) -> list[Agenda]:
    """Inbox and outbox among them; none before the home is made."""
    return await agendas.agendas_of(conn, asker.id)


async def colleagues_by_email(conn: Connection, asker: Asker, emails: Sequence[str]) -> dict[str, Person]:
    """Address → who it is, of the asker's own ministry."""
    found = await people.by_email(conn, emails)
    return {email: one for email, one in found.items() if one.ministry_id == asker.ministry_id or one.id == asker.id}
