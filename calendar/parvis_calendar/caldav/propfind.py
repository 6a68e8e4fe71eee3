"""PROPFIND: what is where, and what is known of it."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from aiohttp import web
from parvis_kit.db import Connection
from parvis_kit.http import DB, Request
from parvis_kit.problems import NotFound
from parvis_kit.webdav import (
    DAV,
    Multistatus,
    Precondition,
    Propfind,
    child_of,
    dav_answer,
    depth_of,
    prefixed,
    quoted,
    read_propfind,
    read_xml,
    wants_minimal,
)

from parvis_calendar import queries
from parvis_calendar.caldav.common import FRONT, TREES, Place, agenda_at, asker_of, door, home_path, place_of, principal_path
from parvis_calendar.caldav.properties import IN_ALLPROP, WRITES_FOR, Subject, dead_properties, find, table_of
from parvis_calendar.rules.agendas import Asker
from parvis_calendar.rules.availability import MAY_WRITE

WRITES_FOR_MAX = 500
"""Colleagues whose agendas a client is told of: more than one person sees to."""
FINITE_DEPTH = child_of(DAV, "propfind-finite-depth")


@door(*FRONT, *TREES, method="PROPFIND")
async def propfind(request: Request) -> web.StreamResponse:
    """The properties of a thing, and of what is directly in it."""
    place, depth = place_of(request), depth_of(request, missing="infinity")
    asked = read_propfind(await read_xml(request))
    if depth is None and place.kind != "object":
        raise Precondition(FINITE_DEPTH, "Ask for depth 0 or 1, one collection after the other.")
    async with request[DB].read() as conn:
        subjects = await subjects_at(conn, asker_of(request), place, depth or 0)
        if asked.kind == "propname" or WRITES_FOR in asked.names:
            await tell_for_whom(conn, subjects)
    answer = Multistatus(minimal=wants_minimal(request))
    for subject in subjects:
        describe(answer, subject, asked)
    return dav_answer(answer.body(), headers={"Preference-Applied": "return=minimal"} if answer.minimal else None)


def describe(answer: Multistatus, subject: Subject, asked: Propfind) -> None:
    """One response."""
    if asked.kind == "propname":
        names = [*table_of(subject), *dead_properties(subject)]
        there = find(subject, tuple(names))[1]
        answer.add(subject.place.path, [prefixed(name) for name in names if name not in there])
    elif asked.kind == "allprop":
        wanted = tuple(name for name in table_of(subject) if name in IN_ALLPROP) + tuple(dead_properties(subject))
        found, _ = find(subject, wanted)
        more, missing = find(subject, tuple(name for name in asked.names if name not in wanted))
        answer.add(subject.place.path, found + more, missing)
    else:
        found, missing = find(subject, asked.names)
        answer.add(subject.place.path, found, missing)


async def subjects_at(conn: Connection, asker: Asker, place: Place, depth: int) -> list[Subject]:
    """The thing itself first, then its children. Raises NotFound."""
    match place.kind:
        case "front":
            return [Subject(place, asker)]
        case "principals" | "calendars":
            path_of = principal_path if place.kind == "principals" else home_path
            kind: Place = replace(place, kind="principal" if place.kind == "principals" else "home", owner=asker.id, path=path_of(asker.id))
            return [Subject(place, asker), *(await subjects_at(conn, asker, kind, 0) if depth else ())]
        case "principal":
            return [Subject(place, asker, person=await queries.person_for(conn, asker, place.owner or asker.id))]
        case "home":
            return await home_subjects(conn, asker, place, depth)
        case "agenda":
            agenda = await agenda_at(conn, asker, place)
            itself = Subject(place, asker, agenda=agenda)
            if not depth:
                return [itself]
            entries = await queries.objects_in(conn, agenda)
            inside = replace(place, kind="object")
            return [
                itself,
                *(Subject(replace(inside, path=place.path + quoted(one.name)), asker, agenda=agenda, entry=one) for one in entries),
            ]
        case "object":
            agenda = await agenda_at(conn, asker, place)
            stored = await queries.object_in(conn, agenda, place.name)
            if stored is None:
                raise NotFound("There is no such object.")
            return [Subject(place, asker, agenda=agenda, entry=stored, octets=stored.octets)]


async def tell_for_whom(conn: Connection, subjects: Sequence[Subject]) -> None:
    """In whose agendas the asker may write, of their own principal among these."""
    for one in subjects:
        if one.place.kind == "principal" and one.place.owner == one.asker.id:
            given = await queries.privacy_for(conn, one.asker, MAY_WRITE, UUID(int=0), WRITES_FOR_MAX)
            one.writes_for = [owner for owner, _ in given]


async def home_subjects(conn: Connection, asker: Asker, place: Place, depth: int) -> list[Subject]:
    """The home, and the agendas in it, inbox and outbox among them."""
    owner = place.owner or asker.id
    home, person, agendas = await queries.whole_home_for(conn, asker, owner)
    found = [Subject(place, asker, person=person, home=home)]
    for one in agendas if depth else ():
        inside = Place("agenda", f"{place.path}{quoted(one.name)}/", owner, one.name)
        found.append(Subject(inside, asker, agenda=one))
    return found
