"""Properties of everything: one table for each kind of thing, name → the inside of its element, or None where it has none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import format_datetime
from uuid import UUID

from parvis_kit.webdav import APPLE, CALDAV, CALENDARSERVER, DAV, Name, child_of, element, escaped, href_of

from parvis_calendar.caldav.common import PRINCIPALS, Place, home_path, principal_path
from parvis_calendar.rules.agendas import OBJECT_BYTES_MAX, Agenda, Asker, Home, Listed, Person
from parvis_calendar.rules.reading import ATTENDEES_MAX

INSTANCES_MAX = 10_000
"""Announced, of one object."""


@dataclass(slots=True)
class Subject:
    """What properties are asked of; each kind fills what it has."""

    place: Place
    asker: Asker
    person: Person | None = None
    writes_for: Sequence[UUID] | None = None
    """Of a principal: in whose agendas they may write. Told to nobody but themselves."""
    home: Home | None = None
    agenda: Agenda | None = None
    entry: Listed | None = None
    octets: bytes | None = None


Property = Callable[[Subject], bytes | None]


def d(local: str) -> Name:
    return child_of(DAV, local)


def c(local: str) -> Name:
    return child_of(CALDAV, local)


def cs(local: str) -> Name:
    return child_of(CALENDARSERVER, local)


WRITES_FOR = cs("calendar-proxy-write-for")


def always(inner: bytes) -> Property:
    return lambda _: inner


def hrefs(*paths: str) -> bytes:
    return b"".join(map(href_of, paths))


def privileges(*names: Name) -> bytes:
    return b"".join(element(d("privilege"), element(name)) for name in names)


READ = (d("read"), d("read-current-user-privilege-set"))
OWN = (d("all"), *READ, d("read-acl"), d("write"), d("write-properties"), d("write-content"), d("bind"), d("unbind"), c("read-free-busy"))
INBOX = (*READ, d("unbind"), c("schedule-deliver"), c("schedule-deliver-invite"), c("schedule-deliver-reply"), c("schedule-query-freebusy"))
OUTBOX = (*READ, c("schedule-send"), c("schedule-send-invite"), c("schedule-send-reply"), c("schedule-send-freebusy"))
MAY_ALL, MAY_READ = privileges(*OWN), privileges(*READ)
MAY_WRITE = privileges(*READ, d("write-content"), d("bind"), d("unbind"), c("read-free-busy"))


def reports(*names: Name) -> bytes:
    return b"".join(element(d("supported-report"), element(d("report"), element(name))) for name in names)


AGENDA_REPORTS = reports(
    c("calendar-query"), c("calendar-multiget"), c("free-busy-query"), d("sync-collection"), d("principal-property-search"),
    d("principal-search-property-set"),
)  # fmt: skip
PRINCIPAL_REPORTS = reports(d("principal-property-search"), d("principal-search-property-set"))
COLLATIONS = b"".join(element(c("supported-collation"), one) for one in (b"i;ascii-casemap", b"i;octet", b"i;unicode-casemap"))


def privilege(name: Name, words: bytes, *inside: bytes) -> bytes:
    described = element(d("description"), words)
    return element(d("supported-privilege"), element(d("privilege"), element(name)) + described + b"".join(inside))


SUPPORTED_PRIVILEGES = privilege(
    d("all"), b"Everything",
    privilege(d("read"), b"Read", privilege(c("read-free-busy"), b"See when it is busy")),
    privilege(d("write"), b"Write", *(privilege(d(one), one.encode()) for one in ("write-properties", "write-content", "bind", "unbind"))),
    privilege(d("read-acl"), b"See who may do what"),
    privilege(d("read-current-user-privilege-set"), b"See what one may do"),
)  # fmt: skip


def acl(subject: Subject) -> bytes:
    """The owner may everything, and nobody else anything."""
    owner = subject.place.owner or subject.asker.id
    who = element(d("principal"), href_of(principal_path(owner)))
    return element(d("ace"), who + element(d("grant"), privileges(d("all"))) + element(d("protected")))


def may(subject: Subject) -> bytes:
    """What the asker may do with it."""
    if subject.place.owner == subject.asker.id:
        return MAY_ALL
    return MAY_WRITE if subject.agenda is not None and subject.agenda.delegate is not None else MAY_READ


def addresses(subject: Subject) -> bytes | None:
    person = subject.person
    if person is None:
        return None
    return hrefs(f"mailto:{person.email}", f"urn:uuid:{person.id}", principal_path(person.id))


def of_person(read: Callable[[Person], bytes]) -> Property:
    return lambda subject: None if subject.person is None else read(subject.person)


def of_delegate(read: Callable[[Sequence[UUID]], bytes]) -> Property:
    return lambda subject: None if subject.writes_for is None else read(subject.writes_for)


def owned(path: Callable[[str], str]) -> Property:
    """A path below the home of the thing's owner."""
    return lambda subject: href_of(path(home_path(subject.place.owner or subject.asker.id)))


def of_agenda(read: Callable[[Agenda], bytes | None]) -> Property:
    return lambda subject: None if subject.agenda is None else read(subject.agenda)


def of_entry(read: Callable[[Listed], bytes | None]) -> Property:
    return lambda subject: None if subject.entry is None else read(subject.entry)


def text(value: str | None) -> bytes | None:
    return escaped(value) if value else None


COMMON: Mapping[Name, Property] = {
    d("current-user-principal"): lambda subject: href_of(principal_path(subject.asker.id)),
    d("principal-collection-set"): always(hrefs(PRINCIPALS)),
    d("owner"): lambda subject: href_of(principal_path(subject.place.owner)) if subject.place.owner else None,
    d("current-user-privilege-set"): may,
    d("supported-privilege-set"): always(SUPPORTED_PRIVILEGES),
    d("acl"): acl,
    d("acl-restrictions"): always(element(d("no-invert")) + element(d("deny-before-grant"))),
    d("inherited-acl-set"): always(b""),
    d("supported-report-set"): always(PRINCIPAL_REPORTS),
}
FRONT: Mapping[Name, Property] = {**COMMON, d("resourcetype"): always(element(d("collection"))), d("displayname"): always(b"Parvis")}
SETTINGS: Mapping[Name, Property] = {
    c("calendar-home-set"): owned(lambda home: home),
    c("schedule-inbox-URL"): owned(lambda home: f"{home}inbox/"),
    c("schedule-outbox-URL"): owned(lambda home: f"{home}outbox/"),
    c("calendar-user-address-set"): addresses,
    c("calendar-user-type"): of_person(lambda person: person.kind.encode()),
}
PRINCIPAL: Mapping[Name, Property] = {
    **COMMON,
    **SETTINGS,
    d("resourcetype"): always(element(d("collection")) + element(d("principal"))),
    d("displayname"): of_person(lambda person: escaped(person.name)),
    d("principal-URL"): lambda subject: href_of(principal_path(subject.place.owner or subject.asker.id)),
    d("alternate-URI-set"): of_person(lambda person: href_of(f"mailto:{person.email}")),
    d("group-membership"): always(b""),
    cs("calendar-proxy-read-for"): always(b""),  # nobody's agendas are read and not written: one asks when they are busy
    WRITES_FOR: of_delegate(lambda owners: hrefs(*map(principal_path, owners))),
    d("group-member-set"): always(b""),
    cs("email-address-set"): of_person(lambda person: element(cs("email-address"), escaped(person.email))),
    cs("first-name"): of_person(lambda person: escaped(person.given_name)),
    cs("last-name"): of_person(lambda person: escaped(person.family_name)),
}
HOME: Mapping[Name, Property] = {
    **COMMON,
    **SETTINGS,
    d("resourcetype"): always(element(d("collection"))),
    d("displayname"): of_person(lambda person: escaped(person.name)),
    d("resource-id"): lambda subject: href_of(f"urn:uuid:{subject.place.owner}"),
    d("supported-report-set"): always(PRINCIPAL_REPORTS),
    cs("getctag"): lambda subject: None if subject.home is None else f'"{subject.home.epoch}-{subject.home.seq}"'.encode(),
    c("supported-calendar-component-sets"): always(
        b"".join(element(c("supported-calendar-component-set"), b'<C:comp name="%s"/>' % one) for one in (b"VEVENT", b"VTODO", b"VJOURNAL"))
    ),
}


def components(agenda: Agenda) -> bytes:
    return b"".join(b'<C:comp name="%s"/>' % one.encode() for one in agenda.takes)


AGENDA: Mapping[Name, Property] = {
    **COMMON,
    d("resourcetype"): always(element(d("collection")) + element(c("calendar"))),
    d("displayname"): of_agenda(lambda agenda: escaped(agenda.display_name)),
    d("creationdate"): of_agenda(lambda agenda: agenda.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
    d("resource-id"): of_agenda(lambda agenda: href_of(f"urn:uuid:{agenda.id}")),
    d("sync-token"): of_agenda(lambda agenda: escaped(agenda.token())),
    d("supported-report-set"): always(AGENDA_REPORTS),
    cs("getctag"): of_agenda(lambda agenda: f'"{agenda.epoch}-{agenda.seq}"'.encode()),
    d("getetag"): of_agenda(lambda agenda: f'"{agenda.epoch}-{agenda.seq}"'.encode()),
    c("calendar-description"): of_agenda(lambda agenda: text(agenda.description)),
    c("calendar-timezone"): of_agenda(lambda agenda: text(agenda.timezone)),
    c("calendar-timezone-id"): of_agenda(lambda agenda: escaped(agenda.zone)),
    c("supported-calendar-component-set"): of_agenda(components),
    c("supported-calendar-data"): always(b'<C:calendar-data content-type="text/calendar" version="2.0"/>'),
    c("max-resource-size"): always(str(OBJECT_BYTES_MAX).encode()),
    c("max-attendees-per-instance"): always(str(ATTENDEES_MAX).encode()),
    c("max-instances"): always(str(INSTANCES_MAX).encode()),
    c("min-date-time"): always(b"19000101T000000Z"),
    c("max-date-time"): always(b"21001231T235959Z"),
    c("supported-collation-set"): always(COLLATIONS),
    c("schedule-calendar-transp"): of_agenda(lambda agenda: element(c("transparent" if agenda.is_transparent else "opaque"))),
    child_of(APPLE, "calendar-color"): of_agenda(lambda agenda: text(agenda.color)),
    child_of(APPLE, "calendar-order"): of_agenda(lambda agenda: None if agenda.position is None else str(agenda.position).encode()),
}
INBOX_PROPERTIES: Mapping[Name, Property] = {
    **AGENDA,
    d("resourcetype"): always(element(d("collection")) + element(c("schedule-inbox"))),
    d("current-user-privilege-set"): always(privileges(*INBOX)),
    c("schedule-default-calendar-URL"): owned(lambda home: f"{home}agenda/"),
    c("calendar-free-busy-set"): owned(lambda home: f"{home}agenda/"),
}
OUTBOX_PROPERTIES: Mapping[Name, Property] = {
    **{name: read for name, read in AGENDA.items() if name not in (c("schedule-calendar-transp"), d("sync-token"))},
    d("resourcetype"): always(element(d("collection")) + element(c("schedule-outbox"))),
    d("current-user-privilege-set"): always(privileges(*OUTBOX)),
}
OBJECT: Mapping[Name, Property] = {
    **{name: read for name, read in COMMON.items() if name != d("supported-report-set")},
    d("resourcetype"): always(b""),
    d("supported-report-set"): always(b""),
    d("getetag"): of_entry(lambda entry: entry.etag.encode()),
    d("getcontenttype"): of_entry(lambda entry: f"text/calendar; charset=utf-8; component={entry.component.lower()}".encode()),
    d("getcontentlength"): of_entry(lambda entry: str(entry.size_bytes).encode()),
    d("getlastmodified"): of_entry(lambda entry: format_datetime(entry.modified_at, usegmt=True).encode()),
    d("creationdate"): of_entry(lambda entry: entry.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
    d("resource-id"): of_entry(lambda entry: href_of(f"urn:uuid:{entry.id}")),
    c("schedule-tag"): of_entry(lambda entry: text(entry.schedule_tag)),
}
TABLES: Mapping[str, Mapping[Name, Property]] = {
    "front": FRONT, "principals": FRONT, "calendars": FRONT, "principal": PRINCIPAL, "home": HOME, "agenda": AGENDA, "object": OBJECT,
    "inbox": INBOX_PROPERTIES, "outbox": OUTBOX_PROPERTIES,
}  # fmt: skip
IN_ALLPROP = frozenset(
    d(one) for one in ("resourcetype", "displayname", "creationdate", "getetag", "getcontenttype", "getcontentlength", "getlastmodified")
)
"""What a client gets that does not say what it wants (RFC 4918 §9.1): CalDAV's own are asked for by name (RFC 4791 §5.2)."""


def table_of(subject: Subject) -> Mapping[Name, Property]:
    kind = subject.agenda.kind if subject.place.kind == "agenda" and subject.agenda is not None else subject.place.kind
    return TABLES[kind]


def dead_properties(subject: Subject) -> Mapping[str, str]:
    """Those that clients have set, as they set them."""
    if subject.place.kind == "agenda" and subject.agenda is not None:
        return subject.agenda.properties
    if subject.place.kind == "home" and subject.home is not None:
        return subject.home.properties
    return {}


def find(subject: Subject, names: tuple[Name, ...]) -> tuple[list[bytes], list[Name]]:
    """The elements of those that are there, and the names of those that are not."""
    table, dead = table_of(subject), dead_properties(subject)
    found: list[bytes] = []
    missing: list[Name] = []
    for name in names:
        read = table.get(name)
        inner = read(subject) if read is not None else None
        if inner is not None:
            found.append(element(name, inner))
        elif name in dead:
            found.append(dead[name].encode())
        else:
            missing.append(name)
    return found, missing
