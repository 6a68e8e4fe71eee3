"""calendar-query, multiget and free-busy: what is found, how it is given, and how much of it."""

import pytest

from .conftest import Desk, calendar, event, filtered

WEEKLY = event(
    "weekly",
    "RRULE:FREQ=WEEKLY",
    "EXDATE;TZID=Europe/Paris:20261201T100000",
    start="DTSTART;TZID=Europe/Paris:20160105T100000",
    end="DURATION:PT1H",
)
FRENCH = '<C:param-filter name="LANGUAGE"><C:text-match>fr</C:text-match></C:param-filter>'
DAY = event("day", start="DTSTART;VALUE=DATE:20261124", end="")
FLOATING = event("floating", start="DTSTART:20261124T080000", end="DTEND:20261124T083000")


async def found(desk: Desk, start: str, end: str) -> list[str]:
    return sorted(one.rpartition("/")[2] for one in (await desk.query(desk.agenda(), start, end)).hrefs)


async def test_a_week_holds_what_takes_place_in_it(desk: Desk) -> None:
    for name, octets in (
        ("a", event("a")),
        ("weekly", WEEKLY),
        ("day", DAY),
        ("floating", FLOATING),
        ("long", event("long", end="DTEND:20261210T100000Z")),
    ):
        assert (await desk.put(f"{desk.agenda()}{name}", octets)).status == 201
    assert await found(desk, "20261123T000000Z", "20261130T000000Z") == ["a", "day", "floating", "long", "weekly"]
    assert await found(desk, "20261201T000000Z", "20261202T000000Z") == ["long"], "the occurrence was taken out"
    assert await found(desk, "20261124T070000Z", "20261124T071500Z") == ["day", "floating"], "eight o'clock in Paris"
    assert await found(desk, "20400103T000000Z", "20400104T000000Z") == ["weekly"], "beyond the horizon"
    assert await found(desk, "20160105T000000Z", "20160106T000000Z") == ["weekly"]
    assert await found(desk, "20150105T000000Z", "20150106T000000Z") == []


@pytest.mark.parametrize(
    "asked", ["from=0001-01-01T00:00:00%2B05:00&to=2026-01-01T00:00:00Z", "from=2026-01-01T00:00:00Z&to=9999-12-31T23:59:59-05:00"]
)
async def test_a_moment_that_is_none_in_utc_is_refused(desk: Desk, asked: str) -> None:
    assert (await desk.call("GET", f"events?{asked}"))[0] == 422


async def test_an_occurrence_moved_by_an_override_of_another_sequence_leaves_nothing_behind(desk: Desk) -> None:
    moved = calendar(
        "BEGIN:VEVENT", "UID:m", "DTSTAMP:20261101T000000Z", "DTSTART:20261124T090000Z", "DTEND:20261124T100000Z",
        "RRULE:FREQ=DAILY;COUNT=3", "END:VEVENT",
        "BEGIN:VEVENT", "UID:m", "DTSTAMP:20261101T000000Z", "SEQUENCE:7", "RECURRENCE-ID:20261125T090000Z", "DTSTART:20261127T150000Z",
        "DTEND:20261127T160000Z", "END:VEVENT",
    )  # fmt: skip
    await desk.put(desk.agenda() + "m", moved)
    assert await found(desk, "20261125T000000Z", "20261126T000000Z") == []
    assert await found(desk, "20261127T000000Z", "20261128T000000Z") == ["m"]


async def test_occurrences_are_written_out_in_utc_and_days_stay_days(desk: Desk) -> None:
    await desk.put(desk.agenda() + "weekly", WEEKLY)
    await desk.put(
        desk.agenda() + "day",
        event("day", "RRULE:FREQ=DAILY;COUNT=2", start="DTSTART;VALUE=DATE:20261124", end="DTEND;VALUE=DATE:20261125"),
    )
    data = '<C:calendar-data><C:expand start="20261123T000000Z" end="20261207T000000Z"/></C:calendar-data>'
    answer = await desk.query(desk.agenda(), "20261123T000000Z", "20261207T000000Z", data=data)
    texts = dict(zip([one.rpartition("/")[2] for one in answer.hrefs], answer.texts(".//C:calendar-data"), strict=True))
    assert texts["weekly"].count("BEGIN:VEVENT") == 1 and "DTSTART:20261124T090000Z" in texts["weekly"]
    assert "RECURRENCE-ID:20261124T090000Z" in texts["weekly"] and "RRULE" not in texts["weekly"] and "TZID" not in texts["weekly"]
    assert "DTSTART;VALUE=DATE:20261124" in texts["day"] and "DTSTART;VALUE=DATE:20261125" in texts["day"]


async def test_a_part_of_the_data_is_given_to_whoever_names_it(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a", event("a", "X-OTHER:1"))
    comp = '<C:comp name="VCALENDAR"><C:comp name="VEVENT"><C:prop name="SUMMARY"/><C:prop name="UID"/></C:comp></C:comp>'
    answer = await desk.query(desk.agenda(), "20261124T000000Z", "20261125T000000Z", data=f"<C:calendar-data>{comp}</C:calendar-data>")
    [text] = answer.texts(".//C:calendar-data")
    assert "SUMMARY:Réunion" in text and "DTSTART" not in text and "X-OTHER" not in text


def events(inside: str) -> str:
    return "<D:prop><D:getetag/></D:prop>" + filtered(f'<C:comp-filter name="VEVENT">{inside}</C:comp-filter>')


@pytest.mark.parametrize(
    "inside, names",
    [
        ('<C:prop-filter name="SUMMARY"><C:text-match>RÉUN</C:text-match></C:prop-filter>', []),
        ('<C:prop-filter name="SUMMARY"><C:text-match collation="i;unicode-casemap">REUN</C:text-match></C:prop-filter>', ["a"]),
        ('<C:prop-filter name="SUMMARY"><C:text-match>budget</C:text-match></C:prop-filter>', ["b"]),
        ('<C:prop-filter name="SUMMARY"><C:text-match negate-condition="yes">budget</C:text-match></C:prop-filter>', ["a"]),
        ('<C:prop-filter name="UID"><C:text-match collation="i;octet">b</C:text-match></C:prop-filter>', ["b"]),
        ('<C:prop-filter name="LOCATION"><C:is-not-defined/></C:prop-filter>', ["a"]),
        (f'<C:prop-filter name="LOCATION">{FRENCH}</C:prop-filter>', ["b"]),
        ('<C:comp-filter name="VALARM"/>', ["b"]),
        ('<C:comp-filter name="VALARM"><C:time-range start="20261124T084000Z" end="20261124T084600Z"/></C:comp-filter>', ["b"]),
        ('<C:comp-filter name="VALARM"><C:time-range start="20261124T084600Z" end="20261124T093000Z"/></C:comp-filter>', []),
    ],
)
async def test_a_filter_finds_what_it_names(desk: Desk, inside: str, names: list[str]) -> None:
    await desk.put(desk.agenda() + "a", event("a"))
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:!", "TRIGGER:-PT15M", "END:VALARM")
    await desk.put(desk.agenda() + "b", event("b", "LOCATION;LANGUAGE=fr:Salle", *alarm, title="Budget 2027"))
    answer = await desk.report(desk.agenda(), "C:calendar-query", events(inside), Depth="1")
    assert [one.rpartition("/")[2] for one in answer.hrefs] == names


@pytest.mark.parametrize(
    "asked, precondition",
    [
        ('<C:filter><C:comp-filter name="VEVENT"/></C:filter>', "valid-filter"),
        (
            filtered('<C:prop-filter name="X"><C:text-match collation="i;x">a</C:text-match></C:prop-filter>'),
            "supported-collation",
        ),
        (
            filtered('<C:comp-filter name="VEVENT"><C:time-range start="soon"/></C:comp-filter>'),
            "valid-filter",
        ),
    ],
)
async def test_a_filter_that_cannot_be_understood_is_refused_by_name(desk: Desk, asked: str, precondition: str) -> None:
    answer = await desk.report(desk.agenda(), "C:calendar-query", f"<D:prop><D:getetag/></D:prop>{asked}", Depth="1")
    assert (answer.status, answer.precondition) == (403, precondition)


async def test_a_query_may_be_answered_in_part_and_says_so(desk: Desk) -> None:
    for number in range(4):
        await desk.put(f"{desk.agenda()}{number}", event(str(number)))
    limit = "<D:limit><D:nresults>2</D:nresults></D:limit>"
    answer = await desk.report(desk.agenda(), "C:calendar-query", events("") + limit, Depth="1")
    assert len(answer.hrefs) == 3 and b"507" in answer.body and b"number-of-matches-within-limits" in answer.body


async def test_several_objects_are_got_at_once_and_those_that_are_gone_are_told(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a", event("a"))
    hrefs = "".join(f"<D:href>{desk.agenda()}{one}</D:href>" for one in ("a", "gone"))
    answer = await desk.report(desk.agenda(), "C:calendar-multiget", f"<D:prop><C:calendar-data/></D:prop>{hrefs}")
    assert answer.texts(".//C:calendar-data") == [event("a").decode()]
    assert "404" in answer.of(desk.agenda() + "gone").findtext("{DAV:}status")


async def test_more_hrefs_than_are_looked_up_at_once_are_refused(desk: Desk) -> None:
    hrefs = f"<D:href>{desk.agenda()}a</D:href>" * 10_001
    assert (await desk.report(desk.agenda(), "C:calendar-multiget", f"<D:prop><D:getetag/></D:prop>{hrefs}")).status == 507


async def test_free_and_busy_is_told_without_titles(desk: Desk) -> None:
    for name, octets in (
        ("a", event("a")), ("b", event("b", start="DTSTART:20261124T093000Z", end="DTEND:20261124T110000Z")),
        ("free", event("free", "TRANSP:TRANSPARENT", start="DTSTART:20261125T090000Z", end="DTEND:20261125T110000Z")),
        ("maybe", event("maybe", "STATUS:TENTATIVE", start="DTSTART:20261126T090000Z", end="DTEND:20261126T110000Z")), ("weekly", WEEKLY),
    ):  # fmt: skip
        await desk.put(desk.agenda() + name, octets)
    times = '<C:time-range start="20261123T000000Z" end="20261130T000000Z"/>'
    expected = ["FREEBUSY:20261124T090000Z/20261124T110000Z", "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20261126T090000Z/20261126T110000Z"]
    for path in (desk.agenda(), desk.home()):
        answer = await desk.report(path, "C:free-busy-query", times)
        text = answer.body.decode()
        assert [line for line in text.split("\r\n") if line.startswith("FREEBUSY")] == expected and "Réunion" not in text


async def test_busy_weeks_follow_every_change(desk: Desk) -> None:
    times = '<C:time-range start="20261123T000000Z" end="20261207T000000Z"/>'

    async def busy() -> list[str]:
        text = (await desk.report(desk.home(), "C:free-busy-query", times)).body.decode()
        return [line.partition(":")[2] for line in text.split("\r\n") if line.startswith("FREEBUSY")]

    await desk.put(desk.agenda() + "a", event("a"))
    await desk.put(desk.agenda() + "b", event("b", start="DTSTART:20261124T093000Z", end="DTEND:20261124T094500Z"))
    assert await busy() == ["20261124T090000Z/20261124T100000Z"]
    await desk.put(desk.agenda() + "a", event("a", start="DTSTART:20261201T090000Z", end="DTEND:20261201T100000Z"))
    assert await busy() == ["20261124T093000Z/20261124T094500Z", "20261201T090000Z/20261201T100000Z"]
    await desk.dav("DELETE", desk.agenda() + "b")
    assert await busy() == ["20261201T090000Z/20261201T100000Z"]


async def test_colleagues_are_asked_when_they_are_busy_by_the_outbox(desk: Desk) -> None:
    await desk.put(desk.agenda("bob") + "a", event("a"), by="bob")
    asked = calendar(
        "METHOD:REQUEST", "BEGIN:VFREEBUSY", "UID:q", "DTSTAMP:20261101T000000Z", "DTSTART:20261124T000000Z", "DTEND:20261125T000000Z",
        "ORGANIZER:mailto:ada@example.org", "ATTENDEE:mailto:bob@example.org", "ATTENDEE:mailto:eve@example.org", "END:VFREEBUSY",
    )  # fmt: skip
    answer = await desk.dav("POST", desk.agenda(agenda="outbox"), asked, Content_Type="text/calendar")
    assert answer.status == 200
    assert answer.texts(".//C:request-status") == ["2.0;Success", "3.7;Invalid calendar user"]
    [data] = answer.texts(".//C:calendar-data")
    assert "FREEBUSY:20261124T090000Z/20261124T100000Z" in data and "METHOD:REPLY" in data
    refused = await desk.dav("POST", desk.agenda("bob", "outbox"), asked, by="bob", Content_Type="text/calendar")
    assert (refused.status, refused.precondition) == (403, "organizer-allowed")
    reads = "SELECT about FROM calendar.audit WHERE what = 'availability.read'"
    assert not await desk.rows(reads)
    await desk.add("lea", "interieur")
    asked = asked.replace(b"END:VFREEBUSY", b"ATTENDEE:mailto:lea@example.org\r\nEND:VFREEBUSY")
    assert (await desk.dav("POST", desk.agenda(agenda="outbox"), asked, Content_Type="text/calendar")).status == 200
    assert [one[0].split()[0] for one in await desk.rows(reads)] == ["2"], "the audit knows who looked at several"


async def test_tasks_are_found_by_when_they_are_due(desk: Desk) -> None:
    tasks = desk.agenda(agenda="tasks")
    due = calendar("BEGIN:VTODO", "UID:due", "DTSTAMP:20261101T000000Z", "DUE:20261124T100000Z", "SUMMARY:x", "END:VTODO")
    assert (await desk.put(tasks + "due", due)).status == 201
    assert (await desk.query(tasks, "20261124T090000Z", "20261124T110000Z", component="VTODO")).hrefs == [tasks + "due"]
    assert (await desk.query(tasks, "20261125T090000Z", "20261125T110000Z", component="VTODO")).hrefs == []


async def test_the_api_lists_agendas_and_what_takes_place(desk: Desk) -> None:
    await desk.put(desk.agenda() + "weekly", WEEKLY)
    await desk.put(desk.agenda() + "day", DAY)
    calendars = (await desk.get("calendars"))["items"]
    assert [(one["name"], one["is_default"]) for one in calendars] == [("agenda", True), ("tasks", False)]
    events = (await desk.get("events?from=2026-11-23T00:00:00Z&to=2026-12-14T00:00:00Z"))["items"]
    assert [(one["uid"], one["starts_at"]) for one in events] == [
        ("day", "2026-11-23T23:00:00Z"), ("weekly", "2026-11-24T09:00:00Z"), ("weekly", "2026-12-08T09:00:00Z")
    ]  # fmt: skip
    assert events[0]["day"] == "2026-11-24" and events[1]["recurs"]
    assert (await desk.get("events?from=2026-11-23T00:00:00Z&to=2026-12-14T00:00:00Z", by="bob"))["items"] == []
