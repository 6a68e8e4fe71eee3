"""What becomes of the meetings of an agent who leaves."""

from datetime import datetime
from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import Forbidden, NotFound

from parvis_calendar.rules.agendas import Asker, Person
from parvis_calendar.rules.windows import epoch
from parvis_calendar.store import meetings, people


async def leaver_for(conn: Connection, asker: Asker, agent_id: UUID) -> Person:
    """Raises NotFound, Forbidden."""
    found = await people.find_person(conn, agent_id)
    if found is None or found.ministry_id != asker.ministry_id:
        raise NotFound("There is nobody of this name.")
    if "ministry_administrator" not in asker.roles:
        raise Forbidden("What becomes of a leaver's meetings is for the administrators of their ministry.")
    return found


async def departure_for(
    conn: Connection, asker: Asker, agent_id: UUID, now: datetime
) -> tuple[UUID, str, UUID | None, datetime | None, datetime | None, int]:
    """Whose, what, to whom, when they left, when it was done, how many meetings there are. Raises NotFound, Forbidden."""
    await leaver_for(conn, asker, agent_id)
    known = await meetings.find_departure(conn, agent_id)
    waiting = len(await meetings.organized_by(conn, agent_id, epoch(now)))
    if known is None:
        return agent_id, "keep", None, None, None, waiting
    return agent_id, known.meetings, known.to_id, known.left_at, known.settled_at, waiting
