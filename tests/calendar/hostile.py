"""Data that hung or killed a peer, or is beyond a limit: (what it is, octets, the precondition by which it is refused; empty: taken)."""

from collections.abc import Iterator
from uuid import UUID

HEAD = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//Test//EN"]
EVENT = ["DTSTAMP:20261101T000000Z", "DTSTART:20261124T090000Z", "DTEND:20261124T100000Z", "SUMMARY:hostile"]
EVERY_PART = (
    "FREQ=YEARLY;BYMONTH=1,2,3,4,5,6,7,8,9,10,11,12;BYWEEKNO=" + ",".join(map(str, range(1, 54)))
    + ";BYMONTHDAY=" + ",".join(map(str, range(1, 32))) + ";BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=" + ",".join(map(str, range(24)))
    + ";BYMINUTE=" + ",".join(map(str, range(60))) + ";BYSECOND=" + ",".join(map(str, range(60)))
)  # fmt: skip
"""766 bytes that cost a peer 2.4 s, and eight of which froze another's agent for ten."""
LAUGHS = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


def event(uid: str, *lines: str, start: str = "") -> bytes:
    inside = [start, *EVENT[2:]] if start else EVENT[1:]
    return text(["BEGIN:VEVENT", f"UID:{uid}", EVENT[0], *(inside if not start else [start, EVENT[3]]), *lines, "END:VEVENT"])


def text(lines: list[str]) -> bytes:
    return "\r\n".join([*HEAD, *lines, "END:VCALENDAR", ""]).encode()


def objects() -> Iterator[tuple[str, bytes, str]]:
    yield "every second for ever", event("s", "RRULE:FREQ=SECONDLY"), ""
    yield "every minute for ever", event("m", "RRULE:FREQ=MINUTELY"), ""
    yield "a thirtieth of February", event("f", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), ""
    yield "every second of a thirtieth of February", event("g", "RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"), ""
    yield "week 53 of a month that has none", event("w", "RRULE:FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6"), ""
    yield "every part of a rule at once", event("e", f"RRULE:{EVERY_PART}"), ""
    yield "every day since the year 1", event("y", "RRULE:FREQ=DAILY", start="DTSTART:00010101T000000Z"), ""
    yield "every second since the year 1", event("z", "RRULE:FREQ=SECONDLY", start="DTSTART:00010101T000000Z"), ""
    yield "a rule taken out by another for ever", event("x", "RRULE:FREQ=DAILY", "EXRULE:FREQ=SECONDLY"), ""
    yield "twenty rules", event("t", *[f"RRULE:FREQ=HOURLY;INTERVAL={n}" for n in range(1, 21)]), ""
    yield "50,000 components in one another", text(["BEGIN:VEVENT"] * 50_000), "valid-calendar-data"
    yield "a line of ten megabytes", event("l", "X-LONG:" + "x" * 10**7), "max-resource-size"
    yield "a line of a megabyte less a bit", event("l", "X-LONG:" + "x" * (2**20 - 500)), ""
    yield "a line folded at every character", event("c", "X-LONG:" + "\r\n x" * 100_000), ""
    observances = ["BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0100", "TZOFFSETTO:+0100", "END:STANDARD"]
    zone = ["BEGIN:VTIMEZONE", "TZID:X", *observances * 9_000, "END:VTIMEZONE"]
    yield "9,000 observances in a megabyte", text([*zone, "BEGIN:VEVENT", "UID:o", *EVENT, "END:VEVENT"]), ""
    yield (
        "20,000 observances",
        text([*zone[:2], *observances * 20_000, zone[-1], "BEGIN:VEVENT", "UID:p", *EVENT, "END:VEVENT"]),
        ("max-resource-size"),
    )
    yield "26,000 times in zones that nobody knows", event("n", *[f"CREATED;TZID=Z{n}:20260101T000000" for n in range(26_000)]), ""
    yield "2,000 zones that nobody knows", event("n", *[f"RDATE;TZID=Z{n}:20261124T090000" for n in range(2_000)]), "valid-calendar-data"
    yield "250,000 parameters", event("n", "ATTENDEE" + ";a=b" * 250_000 + ":mailto:x@y"), "valid-calendar-data"
    yield "145,000 lines", event("n", *["X-A:b"] * 145_000), "valid-calendar-data"
    yield "a megabyte every hour for two months", event("n", "RRULE:FREQ=HOURLY;UNTIL=20270125T000000Z", "X-LONG:" + "x" * 10**6), ""
    yield "1,001 who are invited", event("a", *[f"ATTENDEE:mailto:{n}@example.org" for n in range(1_001)]), "max-attendees-per-instance"
    yield "2,001 dates", event("d", "RDATE:" + ",".join(["20261124T090000Z"] * 2_001)), "max-instances"
    single = [line for n in range(1_002) for line in ("BEGIN:VEVENT", "UID:v", *EVENT, f"RECURRENCE-ID:2026{n // 28 % 12 + 1:02}{n % 28 + 1:02}T090000Z", "END:VEVENT")]  # fmt: skip  # noqa: E501
    yield "1,002 occurrences that differ", text(single), "max-instances"
    alarm = ["BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-PT15M", "DESCRIPTION:!", "END:VALARM"]
    yield "21 alarms", event("b", *alarm * 21), "valid-calendar-data"
    yield "65 KiB attached as they are", event("h", "ATTACH;ENCODING=BASE64;VALUE=BINARY:" + "A" * 66_560), "max-resource-size"


def requests() -> Iterator[tuple[str, str, bytes, int]]:
    """What it is, the method, the body, and the status."""
    yield "XML 100,000 deep", "PROPFIND", b"<a>" * 100_000 + b"</a>" * 100_000, 400
    yield "XML never closed", "PROPFIND", b"<a>" * 100_000, 400
    yield "entities that multiply", "PROPFIND", f"{LAUGHS}]><propfind xmlns='DAV:'><prop>&j;</prop></propfind>".encode(), 400
    yield "a file as an entity", "PROPFIND", (
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><propfind xmlns="DAV:"><prop><a>&a;</a></prop></propfind>'
    ), 400  # fmt: skip
    yield "50,000 properties", "PROPFIND", b'<propfind xmlns="DAV:"><prop>' + b"<x/>" * 50_000 + b"</prop></propfind>", 400
    filters = '<C:comp-filter name="X">' * 20 + "</C:comp-filter>" * 20
    yield "filters in one another", "REPORT", (
        f'<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav"><C:filter>{filters}</C:filter></C:calendar-query>'.encode()
    ), 403  # fmt: skip
    hrefs = "<D:href>/dav/x</D:href>" * 10_001
    yield "10,001 hrefs", "REPORT", (
        f'<C:calendar-multiget xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:">{hrefs}</C:calendar-multiget>'.encode()
    ), 507  # fmt: skip
    hrefs = "".join(f"<D:href>/dav/calendars/{UUID(int=number)}/agenda/a.ics</D:href>" for number in range(9_000))
    yield "9,000 hrefs in as many homes", "REPORT", (
        f'<C:calendar-multiget xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:">{hrefs}</C:calendar-multiget>'.encode()
    ), 507  # fmt: skip
    yield "three megabytes of XML", "PROPFIND", b"<a>" + b" " * 3 * 2**20 + b"</a>", 413
