"""Looking for people: principal-property-search (RFC 3744 §9.4), which completes the names of those one invites."""

from typing import Any

from aiohttp import web
from parvis_kit.http import DB, Request
from parvis_kit.problems import BadRequest
from parvis_kit.text import fold
from parvis_kit.webdav import CALDAV, CALENDARSERVER, DAV, Multistatus, Name, child_of, dav_answer, element, prefixed, wants_minimal

from parvis_calendar import queries
from parvis_calendar.caldav.common import Place, asker_of, principal_path
from parvis_calendar.caldav.properties import Subject, find
from parvis_calendar.rules.agendas import Person

PEOPLE_MAX = 100
"""In one answer: whoever finds more types another letter."""
SEARCH, MATCH, PROP, APPLY = (child_of(DAV, one) for one in ("property-search", "match", "prop", "apply-to-principal-collection-set"))
DISPLAY_NAME, ADDRESSES = child_of(DAV, "displayname"), child_of(CALDAV, "calendar-user-address-set")
SEARCHED: dict[Name, tuple[str, str]] = {
    DISPLAY_NAME: ("name", "Name"),
    ADDRESSES: ("email", "Address"),
    child_of(CALENDARSERVER, "email-address-set"): ("email", "Address"),
    child_of(CALENDARSERVER, "first-name"): ("given_name", "Given name"),
    child_of(CALENDARSERVER, "last-name"): ("family_name", "Family name"),
    child_of(CALDAV, "calendar-user-type"): ("kind", "Type"),
}
"""Property → what is compared, and what it is called."""


def fits(person: Person, searches: list[tuple[tuple[Name, ...], str, str]], *, any_of: bool) -> bool:
    """Every text is to be found in one of its properties; without regard to capitals and accents."""
    met = (any(_holds(person, name, text, how) for name in names) for names, text, how in searches)
    return any(met) if any_of else all(met)


def _holds(person: Person, name: Name, text: str, how: str) -> bool:
    if name not in SEARCHED:
        return False
    value = fold(getattr(person, SEARCHED[name][0]))
    match how:
        case "equals":
            return value == text
        case "starts-with":
            return value.startswith(text) or any(part.startswith(text) for part in value.split())
        case "ends-with":
            return value.endswith(text)
        case _:
            return text in value


def wanted_in(root: Any) -> tuple[Name, ...]:
    """What stands in DAV:prop; python-caldav leaves that empty and puts the names beside it."""
    prop = root.find(PROP)
    inside = tuple(one.tag for one in prop) if prop is not None else ()
    return inside or tuple(one.tag for one in root if one.tag not in (PROP, SEARCH, APPLY))


async def principal_property_search(request: Request, place: Place, root: Any) -> web.StreamResponse:
    """Among the colleagues of one's own ministry."""
    asker = asker_of(request)
    searches = []
    for one in root.iterchildren(SEARCH):
        match, prop = one.find(MATCH), one.find(PROP)
        if match is None or prop is None:
            raise BadRequest("A property-search has a DAV:prop and a DAV:match.")
        text = fold((match.text or "").strip()).removeprefix("mailto:")
        searches.append((tuple(each.tag for each in prop), text, match.get("match-type", "contains")))
    if not all(text for _, text, _ in searches):
        raise BadRequest("Say what to look for.")
    any_of = root.get("test", "allof").lower() == "anyof" and len(searches) > 0
    names = wanted_in(root)
    async with request[DB].read() as conn:
        people = await queries.principals_for(conn, asker)
    answer = Multistatus(minimal=wants_minimal(request))
    met = [one for one in people if fits(one, searches, any_of=any_of)]
    for person in sorted(met, key=lambda one: fold(one.name))[:PEOPLE_MAX]:
        there = Place("principal", principal_path(person.id), person.id)
        found, missing = find(Subject(there, asker, person=person), names)
        answer.add(there.path, found, missing)
    if len(met) > PEOPLE_MAX:
        answer.add_status(place.path, 507, prefixed(child_of(DAV, "number-of-matches-within-limits")))
    return dav_answer(answer.body())


async def principal_search_property_set(request: Request, place: Place, root: Any) -> web.StreamResponse:
    """What can be looked for."""
    told = b"".join(
        element(
            child_of(DAV, "principal-search-property"),
            element(PROP, prefixed(name)) + element(child_of(DAV, "description"), words.encode()),
        )
        for name, (_, words) in SEARCHED.items()
    )
    return dav_answer(root_of(child_of(DAV, "principal-search-property-set"), told), 200)


def root_of(name: Name, inner: bytes) -> bytes:
    """A whole document with this element for its root."""
    from parvis_kit.webdav.names import DECLARED, opening

    first, last = opening(name)
    return b'<?xml version="1.0" encoding="utf-8"?>\n<' + first + b" " + DECLARED + b">" + inner + b"</" + last + b">"
