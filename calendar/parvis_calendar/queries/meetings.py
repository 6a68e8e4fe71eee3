"""To what an agent is invited."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parvis_kit.db import Connection

from parvis_calendar.rules.agendas import Asker, Person
from parvis_calendar.rules.meetings import Invitation
from parvis_calendar.rules.objects import CalendarObject, read_object
from parvis_calendar.rules.windows import epoch
from parvis_calendar.store import meetings, people


@dataclass(frozen=True, slots=True)
class Invited:
    invitation: Invitation
    organizer: Person | None
    what: CalendarObject | None
    """None when the organizer's object is gone."""


async def invitations_for(conn: Connection, asker: Asker, now: datetime, limit: int) -> list[Invited]:
    """To what is not over, in the order in which it begins."""
    found = await meetings.of_agent(conn, asker.id, epoch(now), limit)
    octets = await meetings.titles(conn, [one.meeting_id for one in found]) if found else {}
    organizers: dict[UUID, Person] = await people.by_id(conn, {one.organizer_id for one in found}) if found else {}
    return [
        Invited(one, organizers.get(one.organizer_id), read_object(octets[one.meeting_id]) if one.meeting_id in octets else None)
        for one in found
    ]
