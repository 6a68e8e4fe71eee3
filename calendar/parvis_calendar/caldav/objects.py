"""GET, PUT, DELETE, COPY and MOVE of one object, with entity tags and schedule tags."""

from collections.abc import Callable
from email.utils import format_datetime
from urllib.parse import urlsplit

from aiohttp import web
from parvis_kit.http import CLOCK, DB, Request
from parvis_kit.http.answers import empty_answer
from parvis_kit.problems import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed
from parvis_kit.webdav import (
    CALDAV,
    Current,
    Precondition,
    check_conditions,
    check_if,
    child_of,
    dav_answer,
    raw_path,
    read_body,
)

from parvis_calendar import actions, queries
from parvis_calendar.caldav.collections import delete_agenda
from parvis_calendar.caldav.common import TREES, Place, agenda_at, agenda_path, asker_of, door, place_of, read_path
from parvis_calendar.rules.agendas import OBJECT_BYTES_MAX, Stored

SUPPORTED_DATA, MAX_SIZE = child_of(CALDAV, "supported-calendar-data"), child_of(CALDAV, "max-resource-size")
MEDIA_TYPES = frozenset({"text/calendar", "application/octet-stream", ""})


@door(*TREES, method="GET")
async def get(request: Request) -> web.StreamResponse:
    """The octets as they are kept (HEAD: without them)."""
    place = place_of(request)
    if place.kind == "agenda":
        return await export(request, place)
    if place.kind != "object":
        raise web.HTTPMethodNotAllowed(request.method, ["OPTIONS", "PROPFIND", "REPORT"])
    async with request[DB].read() as conn:
        agenda = await agenda_at(conn, asker_of(request), place)
        found = await queries.object_in(conn, agenda, place.name)
    if found is None:
        raise NotFound("There is no such object.")
    try:
        check_conditions({"If-Match": request.headers["If-Match"]} if "If-Match" in request.headers else {}, Current(found.etag))
        check_conditions(
            {"If-None-Match": request.headers["If-None-Match"]} if "If-None-Match" in request.headers else {}, Current(found.etag)
        )
    except PreconditionFailed:
        if "If-Match" in request.headers:
            raise
        return empty_answer(304, {"ETag": found.etag})
    headers = {"ETag": found.etag, "Last-Modified": format_datetime(found.modified_at, usegmt=True), "Cache-Control": "private, no-cache"}
    if found.schedule_tag:
        headers["Schedule-Tag"] = found.schedule_tag
    return dav_answer(found.octets, 200, headers, f"text/calendar; charset=utf-8; component={found.component.lower()}")


async def export(request: Request, place: Place) -> web.StreamResponse:
    """A collection is no document: what is in it is asked for by REPORT. Whether it is there is told all the same."""
    async with request[DB].read() as conn:
        agenda = await agenda_at(conn, asker_of(request), place)
    return dav_answer(b"", 200, {"ETag": f'"{agenda.epoch}-{agenda.seq}"'}, "text/plain; charset=utf-8")


def conditions_of(request: Request) -> Callable[[Stored | None], None]:
    """What this request demands of the object as it stands."""
    schedule_tag, states, path = request.headers.get("If-Schedule-Tag-Match"), request.headers.get("If"), raw_path(request)

    def check(found: Stored | None) -> None:
        current = Current(found.etag if found is not None else None)
        if schedule_tag is not None:
            if found is None or found.schedule_tag != schedule_tag.strip():
                raise PreconditionFailed("Its schedule tag is another one: read it again.")
            check_conditions({name: value for name, value in request.headers.items() if name == "If-None-Match"}, current)
        else:
            check_conditions(request.headers, current)
        check_if(states, current, path)

    return check


@door(*TREES, method="PUT")
async def put(request: Request) -> web.StreamResponse:
    """The ETag is told only when a GET gives the very octets that came."""
    place, asker, now = place_of(request), asker_of(request), request[CLOCK]()
    if place.kind != "object":
        raise web.HTTPMethodNotAllowed(request.method, ["OPTIONS", "PROPFIND", "REPORT"])
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise Precondition(SUPPORTED_DATA, "Send an iCalendar object, as text/calendar.")
    if "Content-Range" in request.headers:
        raise BadRequest("An object is sent whole.")
    too_large = Precondition(MAX_SIZE, f"An object has at most {OBJECT_BYTES_MAX} bytes.")
    octets = await read_body(request, OBJECT_BYTES_MAX, too_large)
    async with request[DB].read() as conn:
        try:
            agenda, seen = await queries.object_named(conn, asker, place.owner or asker.id, place.agenda, place.name)
        except NotFound:
            raise Conflict("There is no such agenda: make it first.") from None
    if agenda.kind != "agenda":
        raise Forbidden("Nothing is put here by hand.")
    new = await actions.prepared(octets, agenda, now)
    async with request[DB].transaction() as tx:
        done = await actions.put_object(tx, agenda, place.name, new, conditions_of(request), agenda_path(agenda), seen, now=now)
    headers = {"ETag": done.etag} if done.is_exact else {}
    if done.schedule_tag:
        headers["Schedule-Tag"] = done.schedule_tag
    return empty_answer(201 if done.is_new else 204, headers)


@door(*TREES, method="DELETE")
async def delete(request: Request) -> web.StreamResponse:
    """Of an object, or of an agenda with all that is in it."""
    place = place_of(request)
    if place.kind == "agenda":
        return await delete_agenda(request)
    if place.kind != "object":
        raise Forbidden("This stays.")
    async with request[DB].transaction() as tx:
        agenda = await agenda_at(tx, asker_of(request), place)
        await actions.delete_object(tx, agenda, place.name, conditions_of(request), now=request[CLOCK]())
    return empty_answer(204)


def destination_of(request: Request) -> Place:
    """Raises BadRequest, NotFound."""
    text = request.headers.get("Destination", "")
    if not text:
        raise BadRequest("Say where to, in Destination.")
    place = read_path(urlsplit(text).path)
    if place.kind != "object":
        raise Forbidden("Objects are copied and moved to the name of an object.")
    return place


@door(*TREES, method="MOVE")
async def move(request: Request) -> web.StreamResponse:
    """Into another of one's agendas, or to another name."""
    place, target, asker = place_of(request), destination_of(request), asker_of(request)
    overwrite = request.headers.get("Overwrite", "T").strip().upper() != "F"
    if place.kind != "object":
        raise Forbidden("An agenda stays where it is.")
    async with request[DB].transaction() as tx:
        source = await agenda_at(tx, asker, place)
        try:
            into = await agenda_at(tx, asker, target)
        except NotFound:
            raise Conflict("There is no such agenda to move it to.") from None
        if into.kind != "agenda":
            raise Forbidden("Nothing is put there by hand.")
        is_new = await actions.move_object(tx, source, place.name, into, target.name, overwrite=overwrite, now=request[CLOCK]())
    return empty_answer(201 if is_new else 204)


@door(*TREES, method="COPY")
async def copy(request: Request) -> web.StreamResponse:
    """Into another of one's agendas: in the same one its UID is taken."""
    place, target, asker, now = place_of(request), destination_of(request), asker_of(request), request[CLOCK]()
    overwrite = request.headers.get("Overwrite", "T").strip().upper() != "F"
    async with request[DB].read() as conn:
        source = await agenda_at(conn, asker, place)
        found = await queries.object_in(conn, source, place.name)
        if found is None:
            raise NotFound("There is no such object.")
        try:
            into = await agenda_at(conn, asker, target)
        except NotFound:
            raise Conflict("There is no such agenda to copy it to.") from None
    if into.kind != "agenda":
        raise Forbidden("Nothing is put there by hand.")

    def check(there: Stored | None) -> None:
        if there is not None and not overwrite:
            raise PreconditionFailed("There is something of this name already.")

    new = await actions.prepared(found.octets, into, now)
    async with request[DB].transaction() as tx:
        there = await queries.object_in(tx, into, target.name)
        done = await actions.put_object(tx, into, target.name, new, check, agenda_path(into), there, now=now)
    return empty_answer(201 if done.is_new else 204)
