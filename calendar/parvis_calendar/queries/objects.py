"""What lies in an agenda that the asker may see: whoever holds an Agenda has been let in."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound

from parvis_calendar.queries.agendas import let_in
from parvis_calendar.rules.agendas import OBJECTS_MAX, Agenda, Asker, Change, Listed, Stored
from parvis_calendar.store import objects


@dataclass(frozen=True, slots=True)
class Page:
    """Changes in their order; when there are more, `seq` is where to go on."""

    changes: list[Change]
    seq: int
    is_whole: bool


async def object_in(conn: Connection, agenda: Agenda, name: str) -> Stored | None:
    return await objects.find(conn, agenda.id, name)


async def object_named(conn: Connection, asker: Asker, owner_id: UUID, agenda: str, name: str) -> tuple[Agenda, Stored | None]:
    """The agenda, and what has this name in it. Raises NotFound when there is no such agenda."""
    found = await objects.find_in_named(conn, owner_id, agenda, name)
    there = await let_in(conn, asker, found[0]) if found is not None else None
    if found is None or there is None:
        raise NotFound("There is no such agenda.")
    return there, found[1]


async def objects_in(conn: Connection, agenda: Agenda, limit: int = OBJECTS_MAX) -> list[Listed]:
    return await objects.listed(conn, agenda.id, limit)


async def objects_named(conn: Connection, agenda: Agenda, names: Sequence[str], room: int) -> tuple[list[Stored], list[Listed]]:
    """As many as `room` bytes hold, one in any case; and the others, without their octets."""
    return await objects.named(conn, agenda.id, names, room)


async def changes_in(conn: Connection, agenda: Agenda, after: int | None, limit: int) -> Page:
    """Since a change, or from the beginning; never more than `limit`.

    The agenda was read first: what is changed meanwhile has a higher number, and comes the next time.
    """
    if after == agenda.seq:  # what most polls find: nobody has written since
        return Page([], agenda.seq, True)
    found = await objects.changes(conn, agenda.id, after or 0, limit + 1, with_gone=after is not None)
    upto = [one for one in found if one.seq <= agenda.seq]
    if len(upto) <= limit:
        return Page(upto, agenda.seq, True)
    return Page(upto[:limit], upto[limit - 1].seq, False)
