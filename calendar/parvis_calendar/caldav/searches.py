"""calendar-query and calendar-multiget (RFC 4791 §7.8, §7.9)."""

import asyncio
from typing import Any

from aiohttp import web
from parvis_kit.http import DB, Request
from parvis_kit.problems import NotFound
from parvis_kit.webdav import CALDAV, DAV, Multistatus, Precondition, child_of, dav_answer, prefixed, quoted, wants_minimal

from parvis_calendar import queries
from parvis_calendar.caldav.changes import WITHIN_LIMITS, limit_of
from parvis_calendar.caldav.common import Place, agenda_at, asker_of, read_path
from parvis_calendar.caldav.entries import ENTRIES_MAX, describe_entry, shape_of, within_bytes
from parvis_calendar.caldav.filters import TIMEZONE, read_filter, read_wanted
from parvis_calendar.rules.agendas import Agenda, Asker, Stored
from parvis_calendar.rules.timezones import zone_in

HREFS_MAX = 10_000
"""In one multiget: what any client sends is a tenth of it."""
IN_THE_LOOP_MAX = 100
"""Objects written out at once; more are written in a thread."""
HREF, TIMEZONE_ID = child_of(DAV, "href"), child_of(CALDAV, "timezone-id")


async def calendar_query(request: Request, place: Place, root: Any) -> web.StreamResponse:
    """Of an agenda, by a filter; of one object, whether it fits."""
    asker, wanted, asked = asker_of(request), read_wanted(root), read_filter(root)
    limit = limit_of(root, ENTRIES_MAX)
    if place.kind not in ("agenda", "object"):
        raise Precondition(child_of(DAV, "supported-report"), "Agendas are searched one by one.")
    async with request[DB].read() as conn:
        agenda = await agenda_at(conn, asker, place)
        zone = zone_of(root, agenda)
        with_octets = wanted.with_data
        only = place.name if place.kind == "object" else None
        hits = await queries.search(conn, agenda, asked, zone, limit + 1, with_octets=with_octets, only=only)
    is_whole, hits = len(hits) <= limit, hits[:limit]
    if with_octets and (room := within_bytes([one.size_bytes for one in hits])) < len(hits):
        is_whole, hits = False, hits[:room]
    answer, shape = Multistatus(minimal=wants_minimal(request)), shape_of(wanted, agenda)

    def write() -> bytes:
        for one in hits:
            path = place.path if only is not None else place.path + quoted(one.name)
            describe_entry(answer, path, asker, agenda, one, one.octets if isinstance(one, Stored) else None, wanted, shape)
        if not is_whole:
            answer.add_status(place.path, 507, prefixed(WITHIN_LIMITS))
        return answer.body()

    return dav_answer(write() if len(hits) <= IN_THE_LOOP_MAX or shape.is_plain else await asyncio.to_thread(write))


def zone_of(root: Any, agenda: Agenda) -> str:
    """In which zone the request means its floating times: its own, or the agenda's. Raises Precondition."""
    described, named = root.findtext(TIMEZONE), root.findtext(TIMEZONE_ID)
    if described is None and named is None:
        return agenda.zone
    zone = zone_in(described) if described is not None else zone_in(f"TZID:{named}")
    if zone is None:
        raise Precondition(child_of(CALDAV, "valid-timezone" if named else "valid-calendar-data"), "This zone is not known.")
    return zone


async def calendar_multiget(request: Request, place: Place, root: Any) -> web.StreamResponse:
    """Objects by their hrefs, each given back as it was asked for."""
    asker, wanted = asker_of(request), read_wanted(root)
    asked = [(one.text or "").strip() for one in root.iterchildren(HREF)]
    answer = Multistatus(minimal=wants_minimal(request))
    if len(asked) > HREFS_MAX:
        raise TooMany()
    async with request[DB].read() as conn:
        found = await look_up(conn, asker, place, asked)
    room = within_bytes([one[1].size_bytes if one is not None else 0 for one in (found.get(href) for href in asked)])

    def write() -> bytes:
        for href in asked[:room]:
            hit = found.get(href)
            if hit is None:
                answer.add_status(href if href.isascii() else quoted(href), 404)
            else:
                agenda, one = hit
                describe_entry(answer, path_in(href), asker, agenda, one, one.octets, wanted, shape_of(wanted, agenda))
        for href in asked[room:]:
            answer.add_status(path_in(href), 507, prefixed(WITHIN_LIMITS))
        return answer.body()

    plain = wanted.expand is None and wanted.limit is None and wanted.parts is None
    return dav_answer(write() if plain or len(asked) <= IN_THE_LOOP_MAX else await asyncio.to_thread(write))


class TooMany(Precondition):
    """More hrefs than are looked up at once."""

    def __init__(self) -> None:
        super().__init__(WITHIN_LIMITS, f"At most {HREFS_MAX} hrefs are looked up at once: ask several times.", status=507)


def path_in(href: str) -> str:
    """The path of an href that may be a whole URL."""
    return "/" + href.partition("://")[2].partition("/")[2] if "://" in href.partition("?")[0][:16] else href


async def look_up(conn: Any, asker: Asker, place: Place, asked: list[str]) -> dict[str, tuple[Agenda, Stored]]:
    """Href → what it names, of agendas that the asker may see."""
    wanted: dict[tuple[Any, str], dict[str, str]] = {}
    for href in asked:
        try:
            there = read_path(path_in(href))
        except NotFound:
            continue
        if there.kind == "object" and there.owner is not None:
            wanted.setdefault((there.owner, there.agenda), {})[href] = there.name
    found: dict[str, tuple[Agenda, Stored]] = {}
    for (owner, name), hrefs in wanted.items():
        try:
            agenda = await queries.agenda_for(conn, asker, owner, name)
        except NotFound:
            continue
        there_by_name = await queries.objects_named(conn, agenda, list(dict.fromkeys(hrefs.values())))
        found |= {href: (agenda, there_by_name[one]) for href, one in hrefs.items() if one in there_by_name}
    return found
