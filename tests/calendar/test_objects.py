"""What is taken as a calendar object, what is read of it, and under which precondition everything else is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parvis_calendar.rules.instances import instances
from parvis_calendar.rules.lexing import folded
from parvis_calendar.rules.reading import read_object
from parvis_calendar.rules.refusals import NotTaken
from parvis_calendar.rules.times import UTC_ZONE

START = "DTSTART:20260302T080000Z\r\n"


def event(*lines: str, uid: str = "one@example.org") -> str:
    return f"BEGIN:VEVENT\r\nUID:{uid}\r\n{START}" + "".join(f"{one}\r\n" for one in lines) + "END:VEVENT\r\n"


def wrapped(*components: str) -> bytes:
    return ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + "".join(components) + "END:VCALENDAR\r\n").encode()


def refused(octets: bytes) -> str:
    with pytest.raises(NotTaken) as refusal:
        read_object(octets)
    assert refusal.value.status == 403 and refusal.value.detail
    return refusal.value.condition


def test_what_is_looked_at_is_read_as_it_was_meant() -> None:
    title = "SUMMARY;LANGUAGE=fr:Réunion\\, point\\; n° 1\\nsuite : " + "é" * 80
    octets = wrapped(
        event(
            folded(title).decode().rstrip("\r\n"), "LOCATION:Salle « 3 »", "SEQUENCE:4", "TRANSP:TRANSPARENT", "STATUS:TENTATIVE",
            'ORGANIZER;CN="Ada; L.":MAILTO:Ada@Example.org',
            'ATTENDEE;PARTSTAT=declined;ROLE=OPT-PARTICIPANT;RSVP=TRUE;SCHEDULE-AGENT=CLIENT;CN="B: ob":mailto:bob@example.org',
            "ATTENDEE;CUTYPE=ROOM:urn:uuid:7", "BEGIN:VALARM", "TRIGGER:-PT5M", "SUMMARY:not this one", "UID:nor this", "END:VALARM",
        )
    )  # fmt: skip
    what = read_object(octets)
    assert (what.uid, what.component, what.sequence) == ("one@example.org", "VEVENT", 4)
    assert (what.status, what.transparency) == ("TENTATIVE", "TRANSPARENT")
    assert what.summary == "Réunion, point; n° 1\nsuite : " + "é" * 80
    assert what.location == "Salle « 3 »" and what.first.alarms == 1
    assert what.organizer is not None and (what.organizer.email, what.organizer.name) == ("ada@example.org", "Ada; L.")
    bob, room = what.attendees
    assert (bob.email, bob.partstat, bob.role, bob.schedule_agent, bob.rsvp, bob.name) == (
        "bob@example.org", "DECLINED", "OPT-PARTICIPANT", "CLIENT", True, "B: ob",
    )  # fmt: skip
    assert (room.address, room.email, room.cutype, room.partstat) == ("urn:uuid:7", "", "ROOM", "NEEDS-ACTION")


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        (b"", "valid-calendar-data"),
        (b"\xff\xfe", "valid-calendar-data"),
        (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "valid-calendar-object-resource"),
        (wrapped(event())[:-15], "valid-calendar-data"),
        (wrapped(event("END:VEVENT")), "valid-calendar-data"),
        (wrapped(event("SUMMARY:bell \x07")), "valid-calendar-data"),
        (wrapped(event("no content line")), "valid-calendar-data"),
        (wrapped(event("RRULE:FREQ=FORTNIGHTLY")), "valid-calendar-data"),
        (wrapped(event("RRULE:FREQ=DAILY;INTERVAL=0")), "valid-calendar-data"),
        (wrapped(event("RRULE:FREQ=DAILY;BYHOUR=24")), "valid-calendar-data"),
        (wrapped(event("RRULE:RSCALE=CHINESE;FREQ=YEARLY")), "supported-rscale"),
        (wrapped(event("DTEND:20260231T080000Z")), "valid-calendar-data"),
        (wrapped(event("DTEND;VALUE=DATE:20260303")), "valid-calendar-data"),
        (wrapped(event("DURATION:soon")), "valid-calendar-data"),
        (wrapped(event("SEQUENCE:-1")), "valid-calendar-data"),
        (wrapped(event().replace(START, "")), "valid-calendar-data"),
        (wrapped(event().replace("UID:one@example.org\r\n", "")), "valid-calendar-object-resource"),
        (wrapped(event(), event()), "valid-calendar-object-resource"),
        (wrapped(event(), event("RECURRENCE-ID:20260302T080000Z", uid="two")), "valid-calendar-object-resource"),
        (wrapped("METHOD:REQUEST\r\n", event()), "valid-calendar-object-resource"),
        (wrapped(event(), "BEGIN:VTODO\r\nUID:one@example.org\r\nEND:VTODO\r\n"), "valid-calendar-object-resource"),
        (wrapped(event()) * 2, "valid-calendar-object-resource"),
        (wrapped("BEGIN:VFREEBUSY\r\nUID:x\r\nEND:VFREEBUSY\r\n"), "supported-calendar-component"),
        (wrapped("BEGIN:X-MINE\r\nUID:x\r\nEND:X-MINE\r\n"), "supported-calendar-component"),
    ],
)
def test_what_is_no_calendar_object_is_refused_by_the_precondition_that_it_breaks(octets: bytes, condition: str) -> None:
    assert refused(octets) == condition


@pytest.mark.parametrize(
    ("most", "too_many", "condition"),
    [
        (event("X-A:" + "x" * 2**19), event("X-A:" + "x" * 2**20), "max-resource-size"),
        (event(*["ATTENDEE:mailto:a@b"] * 1000), event(*["ATTENDEE:mailto:a@b"] * 1001), "max-attendees-per-instance"),
        (
            event("RDATE:" + "20260401T080000Z," * 1999 + "20260401"),
            event("EXDATE:" + "20260401T080000Z," * 2000 + "20260401"),
            "max-instances",
        ),
        (
            event() + event("RECURRENCE-ID:20260302T080000Z") * 1000,
            event() + event("RECURRENCE-ID:20260302T080000Z") * 1001,
            "max-instances",
        ),
        (event(*["BEGIN:VALARM", "END:VALARM"] * 20), event(*["BEGIN:VALARM", "END:VALARM"] * 21), "valid-calendar-data"),
        (event("ATTACH;ENCODING=BASE64:" + "A" * 65_536), event("ATTACH;ENCODING=BASE64:" + "A" * 65_537), "max-resource-size"),
        (event("BEGIN:X-A", "BEGIN:X-B", "END:X-B", "END:X-A"), event(*["BEGIN:X-A"] * 3, *["END:X-A"] * 3), "valid-calendar-data"),
        (event("UID:" + "u" * 500), event("UID:" + "u" * 501), "valid-calendar-object-resource"),
    ],
)
def test_each_limit_takes_what_it_names_and_refuses_one_more(most: str, too_many: str, condition: str) -> None:
    assert read_object(wrapped(most))
    assert refused(wrapped(too_many)) == condition


@pytest.mark.parametrize(
    "octets",
    [
        b"BEGIN:VCALENDAR\r\n" + b"BEGIN:VEVENT\r\n" * 50_000,
        b"BEGIN:VCALENDAR\r\n" + b"BEGIN:A\r\nEND:A\r\n" * 50_000 + b"END:VCALENDAR\r\n",
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:" + b"x" * 10_000_000 + b"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        b"BEGIN:VCALENDAR\r\n" + b'ATTENDEE;CN="' * 70_000,
        b"BEGIN:VCALENDAR\r\nATTENDEE" + b";A=\"b\"" * 150_000,
        b"BEGIN:VCALENDAR\r\n" + b"\r\n " * 300_000,
        wrapped(
            "BEGIN:VTIMEZONE\r\nTZID:x\r\n" + "BEGIN:STANDARD\r\nEND:STANDARD\r\n" * 20_000 + "END:VTIMEZONE\r\n",
            event("DTEND;TZID=x:20260302T090000"),
        ),
    ],
    ids=["nested", "many components", "a long line", "open quotes", "parameters", "folds", "observances"],
)  # fmt: skip
def test_hostile_octets_are_read_or_refused_and_nothing_else(octets: bytes) -> None:
    try:
        assert read_object(octets).uid
    except NotTaken as refusal:
        assert refusal.condition


WORDS = """
BEGIN:VCALENDAR|END:VCALENDAR|BEGIN:VEVENT|END:VEVENT|BEGIN:VTODO|END:VTODO|UID:1|DTSTART:20260302T080000Z|DTSTART:20260302
DTSTART;TZID=Europe/Paris:20260329T023000|DTEND:99991231T235959Z|DUE:00010101|DURATION:P9999W|DURATION:PT1H|RRULE:FREQ=HOURLY
RRULE:FREQ=YEARLY;BYWEEKNO=53;COUNT=3|EXRULE:FREQ=DAILY|RDATE;VALUE=PERIOD:20260303T080000Z/PT1H|EXDATE;VALUE=DATE:20260302
RECURRENCE-ID:20260302T080000Z|RECURRENCE-ID;RANGE=THISANDFUTURE:20260302T080000Z|SEQUENCE:1|ATTENDEE;CN="a:b;c":mailto:a@b
ATTENDEE;CN=a"b:mailto:a@b|TRANSP:TRANSPARENT|COMPLETED:20260101T000000Z|CREATED:20260101|DTSTART;TZID=../../etc/passwd:20260302T080000
DTSTART;TZID=a/b/c/d/e/f/g/h/i:20260302T080000|DTSTART;TZID=Etc:20260302T080000| folded|X|:
"""


@given(st.lists(st.sampled_from(WORDS.strip().replace("\n", "|").split("|")), max_size=14), st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_the_lines_it_is_refused_by_name_or_expanded(lines: list[str], is_event: bool) -> None:
    inner = ["BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT"] if is_event else lines
    octets = "\r\n".join(["BEGIN:VCALENDAR", *inner, "END:VCALENDAR", ""]).encode()
    try:
        what = read_object(octets)
    except NotTaken:
        return
    found = instances(what, 1_770_000_000, 1_800_000_000, UTC_ZONE)
    assert all(one.starts_at <= one.ends_at for one in found.found)
    assert list(found.found) == sorted(found.found, key=lambda one: (one.starts_at, one.recurrence_at))
