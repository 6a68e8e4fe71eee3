"""What the demonstration's agents have in their agendas, put there over CalDAV; done twice, it is done once."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import aiohttp

from parvis_suite.demo_doors import ANSWER_SECONDS_MAX, AT_ONCE, LOOK_SECONDS, PATIENCE_SECONDS_MAX, Unexpected, answered

LISTED = b'<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
OBJECT = b"-demo.ics</D:href>"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose agenda, and the key to it."""

    id: str
    email: str
    app_password: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a week: which day (0: Monday), from when, for how many minutes (0: all day), and how often."""

    name: str
    title: str
    place: str
    day: int
    hour: int
    minutes: int
    rule: str = ""


WEEK = (
    Entry("point", "Point d'équipe", "Salle Marianne", 0, 9, 30, "FREQ=WEEKLY;BYDAY=MO"),
    Entry("comite", "Comité de pilotage", "Visioconférence", 1, 14, 90, "FREQ=WEEKLY;INTERVAL=2"),
    Entry("relecture", "Relecture de la note au cabinet", "", 2, 10, 60),
    Entry("dejeuner", "Déjeuner avec la DINUM", "Cantine de Ségur", 3, 12, 90),
    Entry("teletravail", "Télétravail", "", 4, 0, 0, "FREQ=WEEKLY;BYDAY=FR"),
    Entry("atelier", "Atelier données ouvertes", "Salle 3042", 2, 15, 120),
    Entry("formation", "Formation accessibilité", "Institut de la gestion publique", 8, 9, 360),
)
EACH = 5
"""Of these, for each agent; whose hours differ by a shift, so that a common one has to be looked for."""


def octets(owner: Owner, entry: Entry, monday: date, shift_minutes: int) -> bytes:
    day = monday + timedelta(days=entry.day)
    if entry.minutes:
        start = datetime(day.year, day.month, day.day, entry.hour) + timedelta(minutes=shift_minutes)  # noqa: DTZ001 (Paris, below)
        end = start + timedelta(minutes=entry.minutes)
        when = [f"DTSTART;TZID=Europe/Paris:{start:%Y%m%dT%H%M%S}", f"DTEND;TZID=Europe/Paris:{end:%Y%m%dT%H%M%S}"]
    else:
        when = [f"DTSTART;VALUE=DATE:{day:%Y%m%d}", "TRANSP:TRANSPARENT"]
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Parvis//Demo//FR", "BEGIN:VEVENT", f"UID:{entry.name}-{owner.id}-demo",
        f"DTSTAMP:{monday:%Y%m%d}T000000Z", *when, *([f"RRULE:{entry.rule}"] if entry.rule else []), f"SUMMARY:{entry.title}",
        *([f"LOCATION:{entry.place}"] if entry.place else []), "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def basic_of(owner: Owner) -> str:
    return "Basic " + b64encode(f"{owner.email}:{owner.app_password}".encode()).decode()


def addresses(base_url: str, owner_id: str) -> Mapping[str, str]:
    """What a client is told: the principal, and the agenda where invitations arrive."""
    return {
        "principal": f"{base_url}/dav/principals/{owner_id}/",
        "calendar": f"{base_url}/dav/calendars/{owner_id}/agenda/",
    }


async def seed_agendas(base_url: str, owners: Sequence[Owner], today: date) -> dict[str, Mapping[str, str]]:
    """Agent → addresses. The second time there is nothing to put."""
    monday = today - timedelta(days=today.weekday())
    limits = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    room = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        first = owners[0]  # alone, so that forty who are not known yet do not look like somebody who guesses passwords
        await look(session, addresses(base_url, first.id)["calendar"], basic_of(first))

        async def fill(number: int, owner: Owner) -> None:
            async with room:
                await fill_agenda(session, addresses(base_url, owner.id)["calendar"], number, owner, monday)

        await asyncio.gather(*(fill(number, one) for number, one in enumerate(owners)))
    return {one.id: addresses(base_url, one.id) for one in owners}


async def fill_agenda(session: aiohttp.ClientSession, url: str, number: int, owner: Owner, monday: date) -> None:
    """Raises Unexpected."""
    basic = basic_of(owner)
    if OBJECT in await look(session, url, basic):
        return
    for index in range(EACH):
        entry = WEEK[(number + index) % len(WEEK)]
        content = octets(owner, entry, monday, 30 * (number % 3))
        headers = {"Authorization": basic, "Content-Type": "text/calendar; charset=utf-8", "If-None-Match": "*"}
        await answered(session, "PUT", f"{url}{entry.name}-demo.ics", good=(412,), data=content, headers=headers)


async def look(session: aiohttp.ClientSession, url: str, basic: str) -> bytes:
    """What is in an agenda; calendar may not have heard of its agents yet, who came a moment ago. Raises Unexpected."""
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        async with session.request("PROPFIND", url, data=LISTED, headers={"Authorization": basic, "Depth": "1"}) as answer:
            body = await answer.read()
        if answer.status == 207:
            return body
        if answer.status not in (401, 404, 429, 503) or asyncio.get_running_loop().time() > until:
            raise Unexpected(f"PROPFIND {url}: {answer.status} {body[:300]!r}")
        await asyncio.sleep(LOOK_SECONDS)
