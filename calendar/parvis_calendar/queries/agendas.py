"""Homes, agendas and principals."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound

from parvis_calendar.rules.agendas import Agenda, Asker, Delegate, Home, Person
from parvis_calendar.rules.availability import MAY_WRITE, privacy_between
from parvis_calendar.store import agendas, availability, people


async def let_in(conn: Connection, asker: Asker, found: Agenda | None) -> Agenda | None:
    """The agenda as the asker may use it; None: not at all."""
    return next(iter(await let_into(conn, asker, [found] if found is not None else [])), None)


async def let_into(conn: Connection, asker: Asker, home: Sequence[Agenda]) -> list[Agenda]:
    """Those of one owner's agendas that the asker may use, as they may use them. The one place that decides.

    An owner may everything. A colleague of the same ministry whom the owner lets write gets them with themselves as the delegate; inbox and
    outbox stay the owner's.
    """
    if not home or home[0].owner_id == asker.id:
        return list(home)
    owner_id, ministry_id = home[0].owner_id, home[0].ministry_id
    level = privacy_between(asker.id, asker.ministry_id, owner_id, ministry_id, await availability.level_given(conn, owner_id, asker.id))
    me = await people.find_person(conn, asker.id) if level in MAY_WRITE else None
    if me is None:
        return []
    delegate = Delegate(me.id, me.email, level == "delegate")
    return [replace(one, delegate=delegate) for one in home if one.kind == "agenda"]


async def home_for(conn: Connection, asker: Asker, owner_id: UUID) -> Home:
    """Raises NotFound: nobody sees into another's home."""
    found = await agendas.find_home(conn, owner_id) if owner_id == asker.id else None
    if found is None:
        raise NotFound("There is no such home.")
    return found


async def whole_home_for(conn: Connection, asker: Asker, owner_id: UUID) -> tuple[Home, Person | None, list[Agenda]]:
    """The home, whose it is, and all agendas in it. Raises NotFound."""
    found = await agendas.whole_home(conn, owner_id)
    if found is None:
        raise NotFound("There is no such home.")
    home, person, every = found
    if not (usable := await let_into(conn, asker, every)) and owner_id != asker.id:
        raise NotFound("There is no such home.")
    return home, person, usable


async def agenda_for(conn: Connection, asker: Asker, owner_id: UUID, name: str) -> Agenda:
    """Raises NotFound."""
    found = await let_in(conn, asker, await agendas.find_named(conn, owner_id, name))
    if found is None:
        raise NotFound("There is no such agenda.")
    return found


async def agenda_by_id(conn: Connection, asker: Asker, agenda_id: UUID) -> Agenda:
    """Raises NotFound."""
    found = await let_in(conn, asker, await agendas.find_agenda(conn, agenda_id))
    if found is None:
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


async def agendas_for(conn: Connection, asker: Asker, owner_id: UUID) -> list[Agenda]:
    """Of oneself, inbox and outbox among them, or of a colleague; none before the home is made, and none where one may not write."""
    return await let_into(conn, asker, await agendas.agendas_of(conn, owner_id))


async def colleagues_by_email(conn: Connection, asker: Asker, emails: Sequence[str]) -> dict[str, Person]:
    """Address → who it is, of the asker's own ministry."""
    found = await people.by_email(conn, emails)
    return {email: one for email, one in found.items() if one.ministry_id == asker.ministry_id or one.id == asker.id}
