"""When several are busy, and when they could meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.db import Connection
from parvis_kit.problems import NotFound

from parvis_calendar.queries.reading import aside
from parvis_calendar.rules.agendas import Asker, Stored
from parvis_calendar.rules.availability import SHOW_TITLES, Hours, Opened, Privacy, Slot, best_slots, merged, privacy_between
from parvis_calendar.rules.budgets import PAGE_BYTES_MAX
from parvis_calendar.rules.meetings import Resource
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.windows import BUSY, TENTATIVE, unpacked, unwall, week_of
from parvis_calendar.store import availability, objects, resources

KINDS = {BUSY: "busy", TENTATIVE: "tentative"}
SHOWN_MAX = 2_000
"""Titles in one answer; each object is read once, however often it takes place."""


Busy = tuple[int, int, str, str]
"""From and to (seconds since 1970), busy, tentative or unavailable, and the title where it is shown. Plain: an answer has thousands."""


@dataclass(frozen=True, slots=True)
class Availability:
    id: UUID
    privacy: Privacy | None
    """None of a resource; `none` of whom nothing is shown, or nobody is known."""
    busy: tuple[Busy, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    agents: Sequence[UUID]
    resources: Sequence[UUID]
    start: int
    end: int
    seconds: int
    hours: Hours
    many: int


async def availability_for(conn: Connection, asker: Asker, wanted: Wanted) -> tuple[list[Availability], list[Slot]]:
    """Of all of them in one query; a second for the titles of those who show them, a third for rooms. Raises NotFound."""
    start, end = wanted.start, wanted.end
    seen = await availability.busy_of(conn, asker.id, list(dict.fromkeys(wanted.agents)), week_of(start), week_of(end - 1))
    levels = {one: privacy_between(asker.id, asker.ministry_id, one, found.ministry_id, found.level) for one, found in seen.items()}
    titles = await _titles(conn, asker.id, [one for one, level in levels.items() if level in SHOW_TITLES], start, end)
    people, spans = [], {}
    for one in dict.fromkeys(wanted.agents):
        level = levels.get(one, "none")
        busy = unpacked(seen[one].weeks, start, end) if level != "none" else []
        spans[one] = merged(busy)
        shown = titles.get(one) or tuple([(first, last, KINDS.get(kind, "unavailable"), "") for first, last, kind in busy])
        people.append(Availability(one, level, shown))
    rooms = await _rooms(conn, asker, wanted)
    spans |= {one.id: merged(one.busy) for one in rooms}
    return [*people, *rooms], best_slots(spans, start, end, wanted.seconds, wanted.hours, wanted.many)


async def _titles(conn: Connection, asker_id: UUID, owners: list[UUID], start: int, end: int) -> dict[UUID, tuple[Busy, ...]]:
    """Of those all of whose occurrences are among the first SHOWN_MAX; of the others, when they are busy has to do.

    What is private has a title for its owner alone.
    """
    rows = await availability.shown(conn, owners, start, end, SHOWN_MAX + 1) if owners else []
    if len(rows) > SHOWN_MAX:
        rows = [one for one in rows if one.owner_id != rows[-1].owner_id]
    stored, _ = await objects.by_ids(conn, list(dict.fromkeys(one.object_id for one in rows)), PAGE_BYTES_MAX)
    public, private = await aside(sum(one.size_bytes for one in stored), _summaries, stored)
    found: dict[UUID, list[Busy]] = {}
    for one in rows:
        first, last = one.starts_at, one.ends_at
        if one.is_floating:
            first, last = unwall(first, ZoneInfo(one.zone)), unwall(last, ZoneInfo(one.zone))
        if first < end and last > start:
            kind = KINDS.get(one.busy, "unavailable")
            title = public.get(one.object_id) or (private.get(one.object_id) if one.owner_id == asker_id else None) or ""
            found.setdefault(one.owner_id, []).append((max(first, start), min(last, end), kind, title))
    return {owner: tuple(sorted(some, key=lambda one: one[:2])) for owner, some in found.items()}


def _summaries(some: Sequence[Stored]) -> tuple[dict[UUID, str], dict[UUID, str]]:
    """Of what is public, and of what is private."""
    found: tuple[dict[UUID, str], dict[UUID, str]] = {}, {}
    for one in some:
        what = read_object(one.octets)
        found[what.is_private][one.id] = what.summary
    return found


async def _rooms(conn: Connection, asker: Asker, wanted: Wanted) -> list[Availability]:
    """Raises NotFound."""
    if not wanted.resources:
        return []
    ids = list(dict.fromkeys(wanted.resources))
    known = await resources.find(conn, ids)
    if any(one not in known or known[one].ministry_id != asker.ministry_id for one in ids):
        raise NotFound("There is no such room or equipment in your ministry.")
    taken = await resources.taken(conn, ids, wanted.start, wanted.end)
    return [Availability(one, None, tuple((first, last, "busy", "") for first, last, _ in taken.get(one, ()))) for one in ids]


async def privacy_of(conn: Connection, asker: Asker, after: UUID, limit: int) -> list[tuple[UUID, Privacy]]:
    """Whom the asker has told what they may know, and what."""
    return await availability.given_by(conn, asker.id, after, limit)


async def privacy_for(conn: Connection, asker: Asker, levels: Sequence[Opened], after: UUID, limit: int) -> list[tuple[UUID, Opened]]:
    """Who has told the asker one of these levels, and which, as far as it holds: within the ministry, and while they are here."""
    return await availability.received_by(conn, asker.id, asker.ministry_id, levels, after, limit)


async def resources_for(conn: Connection, asker: Asker) -> list[Resource]:
    """Of the asker's ministry."""
    return await resources.of_ministry(conn, asker.ministry_id)
