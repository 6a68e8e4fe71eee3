"""Collections made, changed and deleted: MKCALENDAR, extended MKCOL, PROPPATCH, and DELETE of an agenda."""

from typing import Any
from zoneinfo import available_timezones

from aiohttp import web
from lxml import etree
from parvis_kit.http import CLOCK, DB, Request
from parvis_kit.http.answers import empty_answer
from parvis_kit.problems import Conflict, Forbidden, Invalid
from parvis_kit.webdav import (
    APPLE,
    CALDAV,
    DAV,
    Multistatus,
    Name,
    Precondition,
    child_of,
    dav_answer,
    element,
    prefixed,
    read_proppatch,
    read_xml,
)

from parvis_calendar import actions, queries
from parvis_calendar.caldav.common import TREES, agenda_at, asker_of, door, place_of
from parvis_calendar.caldav.properties import TABLES
from parvis_calendar.rules.agendas import COLOR, COMPONENTS, PROPERTY_BYTES_MAX, TEXT_CHARACTERS_MAX, NewAgenda
from parvis_calendar.rules.timezones import zone_in

DISPLAY_NAME, RESOURCE_TYPE = child_of(DAV, "displayname"), child_of(DAV, "resourcetype")
DESCRIPTION, TIMEZONE, TIMEZONE_ID, COMPONENT_SET, TRANSPARENCY = (
    child_of(CALDAV, one)
    for one in (
        "calendar-description",
        "calendar-timezone",
        "calendar-timezone-id",
        "supported-calendar-component-set",
        "schedule-calendar-transp",
    )
)
COLOR_NAME, ORDER = child_of(APPLE, "calendar-color"), child_of(APPLE, "calendar-order")
CALENDAR, TRANSPARENT = child_of(CALDAV, "calendar"), child_of(CALDAV, "transparent")
MK_ROOTS = tuple(child_of(*one) for one in ((CALDAV, "mkcalendar"), (DAV, "mkcol")))
PROTECTED = child_of(DAV, "cannot-modify-protected-property")
VALID_TYPE, BAD_TYPE = child_of(DAV, "valid-resourcetype"), child_of(CALDAV, "valid-calendar-data")
ONLY_ONCE = frozenset({COMPONENT_SET, RESOURCE_TYPE})
"""Said when a collection is made, and never again."""
SETTABLE = frozenset({DISPLAY_NAME, DESCRIPTION, TIMEZONE, TIMEZONE_ID, TRANSPARENCY, COLOR_NAME, ORDER})
Element = Any


class Refused(Exception):
    """One property cannot be set so; the others are then not set either."""

    def __init__(self, status: int, precondition: Name | None = None) -> None:
        super().__init__(status)
        self.status, self.precondition = status, precondition


def text_of(value: Element) -> str:
    """Raises Refused for more than anyone writes."""
    text = "".join(value.itertext())
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Refused(403)
    return text


def set_property(new: NewAgenda, name: Name, value: Element | None, *, kind: str, making: bool) -> None:
    """Keep one property's new value; None forgets it. Raises Refused."""
    if name not in SETTABLE and name not in ONLY_ONCE:
        if name in TABLES[kind] or name.startswith("{DAV:}"):
            raise Refused(403, PROTECTED)
        new.properties[name] = None if value is None else kept(value)
    elif kind == "home" or (name in ONLY_ONCE and not making):
        raise Refused(403, PROTECTED)
    elif name == DISPLAY_NAME:
        new.display_name = "" if value is None else text_of(value)
    elif name == DESCRIPTION:
        new.description = "" if value is None else text_of(value)
    elif name == COLOR_NAME:
        new.color = "" if value is None else text_of(value).strip()
        if new.color and not COLOR.fullmatch(new.color) and len(new.color) > 64:
            raise Refused(409)
    elif name == ORDER:
        set_order(new, "" if value is None else text_of(value).strip())
    elif name == TRANSPARENCY:
        new.is_transparent = value is not None and value.find(TRANSPARENT) is not None
    elif name in (TIMEZONE, TIMEZONE_ID):
        set_zone(new, name, value)
    elif name == COMPONENT_SET:
        set_components(new, value)
    elif name == RESOURCE_TYPE and value is not None and value.find(CALENDAR) is None:
        raise Refused(403, VALID_TYPE)


def set_order(new: NewAgenda, text: str) -> None:
    try:
        new.position = int(text or 0)
    except ValueError:
        raise Refused(409) from None
    if abs(new.position) >= 2**62:
        raise Refused(409)


def set_zone(new: NewAgenda, name: Name, value: Element | None) -> None:
    """A VTIMEZONE says which zone of IANA's it means; its own rules, often truncated, are kept and not used."""
    if value is None:
        new.timezone = ""
        return
    said = "".join(value.itertext())
    if len(said) > PROPERTY_BYTES_MAX:
        raise Refused(403, BAD_TYPE)
    if name == TIMEZONE_ID:
        if said.strip() not in available_timezones():
            raise Refused(403, child_of(CALDAV, "valid-timezone"))
        new.zone = said.strip()
        return
    zone = zone_in(said)
    if zone is None:
        raise Refused(403, BAD_TYPE)
    new.timezone, new.zone = said, zone


def set_components(new: NewAgenda, value: Element | None) -> None:
    named = (
        tuple(dict.fromkeys(one.get("name", "").upper() for one in value.iterchildren(child_of(CALDAV, "comp"))))
        if value is not None
        else ()
    )
    if any(one not in (*COMPONENTS, "VFREEBUSY", "VTIMEZONE", "VAVAILABILITY") for one in named):
        raise Refused(403, child_of(CALDAV, "supported-calendar-component"))
    new.components = tuple(one for one in named if one in COMPONENTS) or COMPONENTS


def kept(value: Element) -> str:
    """A dead property as it is given back: the element, with its attributes. Raises Refused."""
    octets: bytes = etree.tostring(value, encoding="utf-8", with_tail=False)
    if len(octets) > PROPERTY_BYTES_MAX:
        raise Refused(403)
    return octets.decode()


@door(*TREES, method="MKCALENDAR")
async def make_calendar(request: Request) -> web.StreamResponse:
    """A new agenda under the name that the client chose (RFC 4791 §5.3.1)."""
    return await make(request, None)


@door(*TREES, method="MKCOL")
async def make_collection(request: Request) -> web.StreamResponse:
    """Extended MKCOL (RFC 5689): here too, only agendas are made."""
    root = await read_xml(request)
    if root is None:
        raise Precondition(VALID_TYPE, "Only agendas are made here: say so in DAV:resourcetype.")
    if all(one.find(CALENDAR) is None for one in root.iter(RESOURCE_TYPE)):
        raise Precondition(VALID_TYPE, "Only agendas are made here: say so in DAV:resourcetype.")
    return await make(request, root)


async def make(request: Request, root: Element | None) -> web.StreamResponse:
    place, asker = place_of(request), asker_of(request)
    root = root if root is not None else await read_xml(request)
    if place.kind != "agenda":
        raise Precondition(child_of(CALDAV, "calendar-collection-location-ok"), "Agendas lie directly in a home.", status=403)
    if place.owner != asker.id:
        raise Conflict("This home is not yours.")
    new = NewAgenda()
    for name, value in read_proppatch(root, MK_ROOTS).changes if root is not None else ():
        try:
            set_property(new, name, value, kind="agenda", making=True)
        except Refused as refused:
            raise Precondition(refused.precondition or PROTECTED, f"{name} cannot be set so.", status=refused.status) from None
    async with request[DB].transaction() as tx:
        await actions.make_agenda(tx, asker, place.agenda, new, now=request[CLOCK]())
    return empty_answer(201, {"Location": place.path})


@door(*TREES, method="PROPPATCH")
async def proppatch(request: Request) -> web.StreamResponse:
    """All of the changes, or none (RFC 4918 §9.2)."""
    place, asker = place_of(request), asker_of(request)
    changes = read_proppatch(await read_xml(request)).changes
    if place.kind not in ("home", "agenda"):
        raise Forbidden("Nothing can be set here.")
    new = NewAgenda()
    refusals: dict[Name, Refused] = {}
    async with request[DB].read() as conn:
        agenda = await agenda_at(conn, asker, place) if place.kind == "agenda" else None
        if agenda is None:
            await queries.home_for(conn, asker, place.owner or asker.id)
    kind = {"agenda": "agenda", "inbox": "inbox", "outbox": "outbox"}[agenda.kind] if agenda is not None else "home"
    for name, value in changes:
        try:
            set_property(new, name, value, kind=kind, making=False)
        except Refused as refused:
            refusals[name] = refused
    if not refusals:
        try:
            async with request[DB].transaction() as tx:
                if agenda is not None:
                    await actions.change_agenda(tx, agenda, new, now=request[CLOCK]())
                else:
                    await actions.change_home(tx, asker, new.properties)
        except Invalid:
            refusals = {name: Refused(507) for name, _ in changes if name not in SETTABLE}
    answer = Multistatus()
    if not refusals:
        answer.add(place.path, [prefixed(name) for name, _ in changes])
    else:
        answer.add(place.path, (), (), [told(name, refusals.get(name)) for name, _ in changes])
    return dav_answer(answer.body())


def told(name: Name, refused: Refused | None) -> tuple[int, bytes]:
    """What was refused, why; of what was not, that it depended on the other (424)."""
    inner = element(child_of(DAV, "prop"), prefixed(name))
    if refused is None:
        return 424, inner
    return refused.status, inner


async def delete_agenda(request: Request) -> web.StreamResponse:
    """With everything in it."""
    place, asker = place_of(request), asker_of(request)
    async with request[DB].transaction() as tx:
        agenda = await agenda_at(tx, asker, place)
        await actions.delete_agenda(tx, agenda, now=request[CLOCK]())
    return empty_answer(204)
