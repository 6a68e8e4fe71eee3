"""free-busy-query of an agenda (RFC 4791 §7.10), and the outbox that answers when colleagues are busy (RFC 6638 §5)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from aiohttp import web
from parvis_kit.http import CLOCK, DB, Request, client_key
from parvis_kit.webdav import CALDAV, DAV, Precondition, child_of, dav_answer, element, href_of, read_body, text_element

from parvis_calendar import actions, queries
from parvis_calendar.caldav.common import TREES, Place, agenda_at, asker_of, door, place_of
from parvis_calendar.caldav.filters import TIMES, invalid, read_times
from parvis_calendar.caldav.principals import root_of
from parvis_calendar.rules.freebusy import FreeBusyAsked, free_busy_reply, read_free_busy
from parvis_calendar.rules.windows import YEAR_1, YEAR_9999

MESSAGE_BYTES_MAX = 256 * 1024
"""Of a question for free and busy: a thousand attendees."""
YEARS_MAX_SECONDS = 3 * 366 * 86_400
"""A longer window is refused: nobody plans further."""
MEDIA_TYPE = "text/calendar; charset=utf-8"


async def free_busy_query(request: Request, place: Place, root: Any) -> web.StreamResponse:
    """A VFREEBUSY of one agenda, or of all of a home's."""
    times = root.find(TIMES)
    if times is None:
        raise invalid("Say from when to when.")
    asked = read_times(times)
    if asked.start == YEAR_1 or asked.end == YEAR_9999:
        raise invalid("Say from when to when.")
    if asked.end - asked.start > YEARS_MAX_SECONDS:
        raise Precondition(child_of(DAV, "number-of-matches-within-limits"), "Ask for three years at most.")
    asker = asker_of(request)
    async with request[DB].read() as conn:
        if place.kind == "agenda":
            agenda = await agenda_at(conn, asker, place)
            spans = await queries.busy_in(conn, agenda, asked.start, asked.end)
        elif place.kind == "home" and place.owner is not None:
            await queries.home_for(conn, asker, place.owner)
            spans = await queries.busy_of_one(conn, place.owner, asked.start, asked.end)
        else:
            raise Precondition(child_of(DAV, "supported-report"), "Free and busy is asked of an agenda or of a home.")
    body = free_busy_reply(asked.start, asked.end, spans, now=request[CLOCK]())
    return dav_answer(body, 200, media_type=MEDIA_TYPE)


@door(*TREES, method="POST")
async def post(request: Request) -> web.StreamResponse:
    """To the outbox: when are these people busy?"""
    place, asker, now = place_of(request), asker_of(request), request[CLOCK]()
    async with request[DB].read() as conn:
        if place.kind != "agenda" or (await agenda_at(conn, asker, place)).kind != "outbox":
            raise web.HTTPMethodNotAllowed("POST", ["OPTIONS", "PROPFIND", "REPORT"])
        too_large = Precondition(child_of(CALDAV, "max-resource-size"), f"At most {MESSAGE_BYTES_MAX} bytes.")
        asked = read_free_busy(await read_body(request, MESSAGE_BYTES_MAX, too_large))
        me = await queries.person_for(conn, asker, asker.id)
        if asked.organizer != me.email:
            raise Precondition(child_of(CALDAV, "organizer-allowed"), "You ask in another's name.")
        if asked.end - asked.start > YEARS_MAX_SECONDS or asked.end <= asked.start:
            raise Precondition(child_of(CALDAV, "valid-scheduling-message"), "Ask for three years at most.")
        people = await queries.colleagues_by_email(conn, asker, [email for _, email in asked.attendees])
        busy = await queries.busy_of(conn, [one.id for one in people.values()], asked.start, asked.end)
        answers = b"".join(
            answered(asked, address, people[email].id if email in people else None, busy, now) for address, email in asked.attendees
        )
    await actions.note_reading(request[DB], asker, [one.id for one in people.values()], where=client_key(request), now=now)
    return dav_answer(root_of(child_of(CALDAV, "schedule-response"), answers), 200)


def answered(asked: FreeBusyAsked, address: str, agent_id: UUID | None, busy: Any, now: datetime) -> bytes:
    """For one of those who were asked about. Who is not known here is as an outsider would be (RFC 6638 §3.2.9)."""
    recipient = element(child_of(CALDAV, "recipient"), href_of(address))
    if agent_id is None:
        status = text_element(child_of(CALDAV, "request-status"), "3.7;Invalid calendar user")
        return element(child_of(CALDAV, "response"), recipient + status)
    reply = free_busy_reply(asked.start, asked.end, busy[agent_id], now=now, asked=asked, attendee=address)
    status = text_element(child_of(CALDAV, "request-status"), "2.0;Success")
    data = text_element(child_of(CALDAV, "calendar-data"), reply.decode())
    return element(child_of(CALDAV, "response"), recipient + status + data)
