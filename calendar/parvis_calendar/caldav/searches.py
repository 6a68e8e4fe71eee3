"""calendar-query and calendar-multiget (RFC 4791 §7.8, §7.9)."""

from collections.abc import Collection
from typing import Any

from aiohttp import web
from parvis_kit.http import DB, Request
from parvis_kit.problems import NotFound
from parvis_kit.webdav import CALDAV, DAV, Multistatus, Precondition, child_of, dav_answer, prefixed, quoted, wants_minimal

from parvis_calendar import queries
from parvis_calendar.caldav.changes import WITHIN_LIMITS, limit_of
from parvis_calendar.caldav.common import Place, agenda_at, asker_of, read_path
from parvis_calendar.caldav.entries import ENTRIES_MAX, Entries
from parvis_calendar.caldav.filters import TIMEZONE, Wanted, read_filter, read_wanted
from parvis_calendar.rules.agendas import Agenda, Asker, Listed, Stored
from parvis_calendar.rules.budgets import ANSWER_BYTES_MAX, within
from parvis_calendar.rules.timezones import zone_in

HREFS_MAX = 10_000
"""In one multiget: what any client sends is a tenth of it."""
AGENDAS_MAX = 20
"""In one multiget, whoever's: clients name those of one."""
RESPONSE_BYTES = 256
"""Of a response, its data aside, to reckon with."""
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
        only = place.name if place.kind == "object" else None
        hits = await queries.search(conn, agenda, asked, zone, limit, with_octets=wanted.with_data, only=only)
    answer = Multistatus(minimal=wants_minimal(request))
    entries = Entries(answer, asker, wanted)

    def write() -> bytes:
        is_whole = hits.is_whole
        for one in hits.found:
            path = place.path if only is not None else place.path + quoted(one.name)
            is_whole &= entries.add(path, agenda, one, one.octets if isinstance(one, Stored) else None)
        if not is_whole:
            answer.add_status(place.path, 507, prefixed(WITHIN_LIMITS))
        return answer.body()

    return dav_answer(await queries.aside(weight_of(wanted, hits.found), write))


def weight_of(wanted: Wanted, some: Collection[Listed]) -> int:
    """How many bytes are worked on when these are written: as they are kept, that is copying, and a tenth of the work."""
    octets = sum(one.size_bytes for one in some) if wanted.with_data else 0
    is_plain = wanted.expand is None and wanted.limit is None and wanted.parts is None
    return RESPONSE_BYTES * len(some) + (octets // 10 if is_plain else octets)


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
    sizes = [one[1].size_bytes if one is not None and isinstance(one[1], Stored) else 0 for one in (found.get(href) for href in asked)]
    room, entries = within(sizes, ANSWER_BYTES_MAX), Entries(answer, asker, wanted)

    def write() -> bytes:
        for number, href in enumerate(asked):
            hit = found.get(href)
            if number < room and hit is None:
                answer.add_status(href if href.isascii() else quoted(href), 404)
            elif number >= room or hit is None or not isinstance(hit[1], Stored) or not entries.add(path_in(href), *hit, hit[1].octets):
                answer.add_status(path_in(href), 507, prefixed(WITHIN_LIMITS))
        return answer.body()

    return dav_answer(await queries.aside(weight_of(wanted, [one for _, one in found.values()]), write))


class TooMany(Precondition):
    """More hrefs than are looked up at once."""

    def __init__(self) -> None:
        super().__init__(
            WITHIN_LIMITS, f"At most {HREFS_MAX} hrefs in {AGENDAS_MAX} agendas are looked up at once: ask several times.", status=507
        )


def path_in(href: str) -> str:
    """The path of an href that may be a whole URL."""
    return "/" + href.partition("://")[2].partition("/")[2] if "://" in href.partition("?")[0][:16] else href


async def look_up(conn: Any, asker: Asker, place: Place, asked: list[str]) -> dict[str, tuple[Agenda, Listed]]:
    """Href → what it names, of agendas that the asker may see; with octets as far as one answer goes."""
    wanted: dict[tuple[Any, str], dict[str, str]] = {}
    for href in asked:
        try:
            there = read_path(path_in(href))
        except NotFound:
            continue
        if there.kind == "object" and there.owner is not None:
            wanted.setdefault((there.owner, there.agenda), {})[href] = there.name
    found: dict[str, tuple[Agenda, Listed]] = {}
    if len(wanted) > AGENDAS_MAX:
        raise TooMany()
    room = ANSWER_BYTES_MAX
    for (owner, name), hrefs in wanted.items():
        try:
            agenda = await queries.agenda_for(conn, asker, owner, name)
        except NotFound:
            continue
        stored, left = await queries.objects_named(conn, agenda, list(dict.fromkeys(hrefs.values())), room)
        room = max(0, room - sum(one.size_bytes for one in stored))
        by_name: dict[str, Listed] = {one.name: one for one in (*stored, *left)}
        found |= {href: (agenda, by_name[one]) for href, one in hrefs.items() if one in by_name}
    return found
