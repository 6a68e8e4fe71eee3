"""sync-collection (RFC 6578): what has changed since a token, in pages that each end with the token to go on from."""

from typing import Any

from aiohttp import web
from parvis_kit.http import DB, Request
from parvis_kit.problems import BadRequest
from parvis_kit.webdav import DAV, Multistatus, Precondition, child_of, dav_answer, prefixed, quoted, wants_minimal

from parvis_calendar import queries
from parvis_calendar.caldav.common import Place, agenda_at, asker_of
from parvis_calendar.caldav.entries import Entries
from parvis_calendar.caldav.filters import read_wanted
from parvis_calendar.rules.budgets import ANSWER_BYTES_MAX, within
from parvis_calendar.rules.tokens import seq_of

TOKEN, LEVEL, LIMIT, NRESULTS = (child_of(DAV, one) for one in ("sync-token", "sync-level", "limit", "nresults"))
VALID_TOKEN, WITHIN_LIMITS = child_of(DAV, "valid-sync-token"), child_of(DAV, "number-of-matches-within-limits")
TRAVERSAL = child_of(DAV, "sync-traversal-supported")
CHANGES_MAX = 5_000
"""In one page: 2 MB of XML without data."""


def limit_of(root: Any, most: int) -> int:
    """DAV:limit as a client asks for it, or the most that there is. Raises BadRequest."""
    text = root.findtext(f"{LIMIT}/{NRESULTS}")
    if text is None:
        return most
    if not text.strip().isdigit() or int(text) < 1:
        raise BadRequest("DAV:nresults is a number, from 1 on.")
    return min(int(text), most)


async def sync_collection(request: Request, place: Place, root: Any) -> web.StreamResponse:
    """One agenda's; whoever asks for more than that is told so."""
    if place.kind != "agenda":
        raise Precondition(child_of(DAV, "supported-report"), "Agendas are synchronized one by one.")
    level = (root.findtext(LEVEL) or request.headers.get("Depth", "1")).strip().lower()
    if level not in ("1", "0"):
        raise Precondition(TRAVERSAL, "An agenda holds no collections: ask for sync-level 1.")
    token, limit, wanted, asker = (root.findtext(TOKEN) or "").strip(), limit_of(root, CHANGES_MAX), read_wanted(root), asker_of(request)
    async with request[DB].read() as conn:
        agenda = await agenda_at(conn, asker, place)
        after = seq_of(token, agenda) if token else None
        if token and after is None:
            raise Precondition(VALID_TOKEN, "This token is not one to go on from: begin anew, without one.")
        page = await queries.changes_in(conn, agenda, after, limit)
        changes, seq, is_whole = page.changes, page.seq, page.is_whole
        octets: dict[str, bytes] = {}
        if wanted.with_data:
            room = within([one.entry.size_bytes if one.entry else 0 for one in changes], ANSWER_BYTES_MAX)
            if room < len(changes):
                changes, is_whole, seq = changes[:room], False, changes[room - 1].seq
            live = [one.name for one in changes if one.entry is not None]
            octets = {one.name: one.octets for one in (await queries.objects_named(conn, agenda, live, ANSWER_BYTES_MAX))[0]}
    answer = Multistatus(minimal=wants_minimal(request))
    entries = Entries(answer, asker, wanted)

    def write() -> bytes:
        for change in changes:
            path = place.path + quoted(change.name)
            if change.entry is None:
                answer.add_status(path, 404)
            elif not entries.add(path, agenda, change.entry, octets.get(change.name)):
                answer.add_status(path, 507, prefixed(WITHIN_LIMITS))
        if not is_whole:
            answer.add_status(place.path, 507, prefixed(WITHIN_LIMITS))
        answer.sync_token(agenda.token(seq))
        return answer.body()

    return dav_answer(await queries.aside(sum(map(len, octets.values())), write))
