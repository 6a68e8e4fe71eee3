"""To what an agent is invited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parvis_kit.db import Connection

from parvis_calendar.queries.reading import aside
from parvis_calendar.rules.agendas import Asker, Person, Stored
from parvis_calendar.rules.budgets import PAGE_BYTES_MAX
from parvis_calendar.rules.meetings import Invitation
from parvis_calendar.rules.objects import CalendarObject
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.windows import epoch
from parvis_calendar.store import meetings, objects, people


@dataclass(frozen=True, slots=True)
class Invited:
    invitation: Invitation
    organizer: Person | None
    what: CalendarObject | None
    """None when the organizer's object is gone, or when those before it are as large as one answer can be."""


async def invitations_for(conn: Connection, asker: Asker, now: datetime, limit: int) -> list[Invited]:
    """To what is not over, in the order in which it begins."""
    found = await meetings.of_agent(conn, asker.id, epoch(now), limit)
    some, _ = await objects.by_ids(conn, [one.meeting_id for one in found], PAGE_BYTES_MAX)
    organizers: dict[UUID, Person] = await people.by_id(conn, {one.organizer_id for one in found}) if found else {}
    what = await aside(sum(one.size_bytes for one in some), _read, some)
    return [Invited(one, organizers.get(one.organizer_id), what.get(one.meeting_id)) for one in found]


def _read(some: Sequence[Stored]) -> dict[UUID, CalendarObject]:
    return {one.id: read_object(one.octets) for one in some}
