"""An object as reports give it: its properties, and its data whole, in part, or expanded."""

from collections.abc import Sequence

from parvis_kit.webdav import CALDAV, Multistatus, child_of, element

from parvis_calendar.caldav.common import Place
from parvis_calendar.caldav.filters import Wanted
from parvis_calendar.caldav.properties import Subject, find
from parvis_calendar.rules.agendas import Agenda, Asker, Listed
from parvis_calendar.rules.rendering import Shape, rendered

DATA = child_of(CALDAV, "calendar-data")
ANSWER_BYTES_MAX = 32 * 2**20
"""Of octets in one answer: what a phone still reads, and what a hundred at once still leave of a server's memory."""
ENTRIES_MAX = 20_000
"""In one answer."""


def shape_of(wanted: Wanted, agenda: Agenda) -> Shape:
    return Shape(agenda.zone, wanted.expand, wanted.limit, wanted.parts)


def data_of(octets: bytes, shape: Shape) -> bytes:
    """As it stands in XML, which would take the carriage returns away if they were not written so."""
    if not shape.is_plain:
        octets = rendered(octets, shape)
    if b"&" in octets:
        octets = octets.replace(b"&", b"&amp;")
    return octets.replace(b"<", b"&lt;").replace(b">", b"&gt;").replace(b"\r", b"&#13;")


def describe_entry(
    answer: Multistatus, path: str, asker: Asker, agenda: Agenda, entry: Listed, octets: bytes | None, wanted: Wanted, shape: Shape
) -> None:
    """One response. `octets`: its data, when it is wanted."""
    place = Place("object", path, agenda.owner_id, agenda.name, entry.name)
    found, missing = find(Subject(place, asker, agenda=agenda, entry=entry), wanted.names)
    if wanted.with_data and octets is not None:
        found.append(element(DATA, data_of(octets, shape)))
    answer.add(path, found, missing)


def within_bytes(sizes: Sequence[int]) -> int:
    """How many of them, from the beginning, an answer may hold; one in any case."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > ANSWER_BYTES_MAX and number:
            return number
    return len(sizes)
