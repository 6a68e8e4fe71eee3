"""What an agent was told, and what they want to hear."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parvis_kit.db import Connection, Database

from parvis_messaging.rules.notices import PREFERENCE_KINDS, PREFERENCE_OF, Notice, Words, words_of
from parvis_messaging.store import deliveries, inbounds, notices
from parvis_messaging.store.deliveries import Parked

DEPTH_COUNTED_MAX = 10_000
PARKED_SHOWN_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """A notice, in the words of the agent who reads it."""

    number: int
    notice: Notice
    is_read: bool
    words: Words


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the bridge is."""

    depth: int
    parked: int
    oldest_at: datetime | None
    noted_at: datetime | None


async def notices_for(
    conn: Connection, agent_id: UUID, after: int | None, limit: int, *, unread: bool, public_url: str
) -> tuple[list[Told], str | None]:
    """The newest first, and where the next page begins. What the agent does not want on the portal is left out."""
    language, preferences = await notices.reader_of(conn, agent_id)
    chosen = all_of(preferences)
    hidden = [kind for kind, of in PREFERENCE_OF.items() if not chosen[of][1]]
    rows = await notices.told(conn, agent_id, hidden, after, limit + 1, unread=unread)
    shown = rows[:limit]
    names = await notices.names_in(conn, [one for _, _, one in shown])
    found = [Told(number, one, read, words_of(one, language, names[one.id], public_url)) for number, read, one in shown]
    return found, str(found[-1].number) if len(rows) > limit else None


async def preferences_for(conn: Connection, agent_id: UUID) -> Mapping[str, tuple[bool, bool]]:
    """Kind → by Matrix, on the portal; all of them, and yes where nothing was chosen."""
    return all_of(await notices.preferences_of(conn, agent_id))


def all_of(chosen: Mapping[str, tuple[bool, bool]]) -> Mapping[str, tuple[bool, bool]]:
    return {kind: chosen.get(kind, (True, True)) for kind in PREFERENCE_KINDS}


async def parked_deliveries(conn: Connection) -> list[Parked]:
    """What the homeserver refused for good, the oldest first."""
    return await deliveries.parked(conn, PARKED_SHOWN_MAX)


async def refused_for_good(database: Database) -> str:
    """For /readyz, `parvis doctor` and the page of health: empty when all have been told."""
    async with database.read() as conn:
        count = await deliveries.count_parked(conn)
    return (
        f"{count} messages were refused by the homeserver: `parvis messaging parked` says why, `replay` sends them again" if count else ""
    )


async def standing_of(conn: Connection) -> Standing:
    return Standing(
        await deliveries.depth(conn, DEPTH_COUNTED_MAX),
        await deliveries.count_parked(conn),
        await deliveries.oldest(conn),
        await inbounds.oldest_open(conn),
    )
