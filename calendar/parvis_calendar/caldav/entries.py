"""An object as reports give it: its properties, and its data whole, in part, or expanded."""

from parvis_kit.webdav import CALDAV, Multistatus, child_of, element

from parvis_calendar.caldav.common import Place
from parvis_calendar.caldav.filters import Wanted
from parvis_calendar.caldav.properties import Subject, find
from parvis_calendar.rules.agendas import Agenda, Asker, Listed
from parvis_calendar.rules.budgets import WRITTEN_BYTES_MAX
from parvis_calendar.rules.rendering import Shape, rendered

DATA = child_of(CALDAV, "calendar-data")
ENTRIES_MAX = 20_000
"""In one answer."""


def shape_of(wanted: Wanted, agenda: Agenda) -> Shape:
    return Shape(agenda.zone, wanted.expand, wanted.limit, wanted.parts)


def escaped(octets: bytes) -> bytes:
    """As it stands in XML, which would take the carriage returns away if they were not written so."""
    if b"&" in octets:
        octets = octets.replace(b"&", b"&amp;")
    return octets.replace(b"<", b"&lt;").replace(b">", b"&gt;").replace(b"\r", b"&#13;")


class Entries:
    """Responses about objects, as long as there is room for what is written out otherwise than it is kept."""

    def __init__(self, answer: Multistatus, asker: Asker, wanted: Wanted) -> None:
        self.answer, self.asker, self.wanted = answer, asker, wanted
        self.room = WRITTEN_BYTES_MAX

    def add(self, path: str, agenda: Agenda, entry: Listed, octets: bytes | None) -> bool:
        """False: there is no room for it. `octets`: its data, when it is wanted."""
        shape, data = shape_of(self.wanted, agenda), octets if self.wanted.with_data else None
        if data is not None and not shape.is_plain:
            data = rendered(data, shape, self.room)
            if data is None:
                return False
            self.room -= len(data)
        place = Place("object", path, agenda.owner_id, agenda.name, entry.name)
        found, missing = find(Subject(place, self.asker, agenda=agenda, entry=entry), self.wanted.names)
        if data is not None:
            found.append(element(DATA, escaped(data)))
        self.answer.add(path, found, missing)
        return True
