"""What CalDAV's doors share: who asks, which thing a path means, and how paths are written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from aiohttp import web
from parvis_kit.db import Connection
from parvis_kit.http import Request, Routes
from parvis_kit.http.chain import Authenticate, Handler
from parvis_kit.problems import NotFound
from parvis_kit.webdav import CALDAV, Precondition, child_of, guarded, quoted, raw_path, segments_of
from parvis_roster import AGENT

from parvis_calendar import queries
from parvis_calendar.rules.agendas import Agenda, Asker
from parvis_calendar.rules.refusals import NotTaken

ROUTES = Routes("caldav", "1")
AUTHENTICATE: web.RequestKey[Authenticate] = web.RequestKey("AUTHENTICATE")
"""Asked by the doors themselves, so that a refusal is DAV's."""
SCOPE = "dav:calendars"
PRINCIPALS, CALENDARS = "/dav/principals/", "/dav/calendars/"
FRONT = ("/", "/.well-known/caldav", "/.well-known/caldav/", "/principals", "/principals/", "/dav", "/dav/")
"""Where clients look first: each answers directly, since some follow no redirection."""
TREES = ("/dav/principals{rest:(?s:/.*)?}", "/dav/calendars{rest:(?s:/.*)?}")
"""A name may hold a line feed, which a dot would not match otherwise: a client of vdirsyncer's has such UIDs."""
DAV_HEADER = "1, 3, access-control, calendar-access, calendar-auto-schedule, extended-mkcol"
Kind = Literal["front", "principals", "principal", "calendars", "home", "agenda", "object"]
COLLECTIONS = frozenset({"front", "principals", "principal", "calendars", "home", "agenda"})


@dataclass(frozen=True, slots=True)
class Place:
    """What a path means, before anybody has looked whether it is there."""

    kind: Kind
    path: str
    """As it was asked for, with a slash at the end of a collection's."""
    owner: UUID | None = None
    agenda: str = ""
    name: str = ""


def door(*paths: str, method: str) -> Callable[[Handler], Handler]:
    """A raw door behind Basic authentication, on each of these paths; rules name preconditions, it says in whose namespace."""

    def keep(handler: Handler) -> Handler:
        async def named(request: Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except NotTaken as refusal:
                raise Precondition(child_of(CALDAV, refusal.condition), refusal.detail) from None

        behind = guarded(lambda request: request[AUTHENTICATE], SCOPE)(named)
        for path in paths:
            ROUTES.raw(method, path)(behind)
        return handler

    return keep


def place_of(request: Request) -> Place:
    """Raises NotFound."""
    return read_path(raw_path(request))


def read_path(path: str) -> Place:
    """Raises NotFound for what can mean nothing here."""
    segments = segments_of(path)
    whole = path if path.endswith("/") else f"{path}/"
    match segments:
        case () | ("dav",) | (".well-known", "caldav"):
            return Place("front", whole)
        case ("principals",) | ("dav", "principals"):
            return Place("principals", whole)
        case ("dav", "calendars"):
            return Place("calendars", whole)
        case ("dav", "principals", owner):
            return Place("principal", whole, agent_id(owner))
        case ("dav", "calendars", owner):
            return Place("home", whole, agent_id(owner))
        case ("dav", "calendars", owner, agenda):
            return Place("agenda", whole, agent_id(owner), agenda)
        case ("dav", "calendars", owner, agenda, name):
            return Place("object", path, agent_id(owner), agenda, name)
        case _:
            raise NotFound("There is nothing here.")


def agent_id(text: str) -> UUID:
    """Raises NotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is nobody of this name.") from None


def asker_of(request: Request) -> Asker:
    agent = request[AGENT]
    return Asker(agent.id, agent.ministry_id, agent.roles)


def principal_path(owner: UUID) -> str:
    return f"{PRINCIPALS}{owner}/"


def home_path(owner: UUID) -> str:
    return f"{CALENDARS}{owner}/"


def agenda_path(agenda: Agenda) -> str:
    return f"{CALENDARS}{agenda.owner_id}/{quoted(agenda.name)}/"


async def agenda_at(conn: Connection, asker: Asker, place: Place) -> Agenda:
    """Raises NotFound."""
    if place.owner is None:
        raise NotFound("There is no agenda here.")
    return await queries.agenda_for(conn, asker, place.owner, place.agenda)
