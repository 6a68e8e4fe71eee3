"""Objects of a megabyte hold up nobody but their owner: they are counted before they are loaded, and taken apart in a thread."""

import asyncio
import threading
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from parvis_calendar.caldav import changes, searches
from parvis_calendar.queries import searching
from parvis_calendar.rules import lexing, reading, sheets, timezones, trees

from .conftest import Desk, event, filtered

MIB = 2**20
PADDING = f"X-PADDING:{'x' * 1_000_000}"  # a megabyte, which still is one when its lines are folded
ATTENDEES = ("ORGANIZER:mailto:ada@example.org", "ATTENDEE:mailto:ada@example.org", "ATTENDEE:mailto:bob@example.org")
WEEK = ("20261123T000000Z", "20261130T000000Z")
AVAILABILITY = {"starts_at": "2026-11-24T00:00:00Z", "ends_at": "2026-11-28T00:00:00Z", "slots": 0}
Done = TypeVar("Done")


def heavy(uid: str, *lines: str, **more: str) -> bytes:
    return event(uid, *lines, PADDING, **more)


async def peak_mib(act: Awaitable[Done]) -> tuple[Done, float]:
    """What it gave, and the most memory that it took, in MiB; the client's half is in it."""
    tracemalloc.start()
    try:
        return await act, tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


@pytest.fixture
async def dozen(desk: Desk) -> Desk:
    """Events of a megabyte, one each hour of a day."""
    for number in range(12):
        times = {"start": f"DTSTART:20261124T{number:02}0000Z", "end": f"DTEND:20261124T{number:02}3000Z"}
        assert (await desk.put(f"{desk.agenda()}{number}.ics", heavy(f"u{number}", title=f"n{number}", **times))).status == 201
    return desk


async def test_an_event_is_read_once_for_its_titles_however_often_it_takes_place(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a.ics", heavy("a", "RRULE:FREQ=HOURLY;UNTIL=20270125T000000Z", end="DTEND:20261124T093000Z"))
    asked = {"agents": [str(desk.ids["ada"])], **AVAILABILITY}
    (status, found), peak = await peak_mib(desk.call("POST", "availability", asked))
    busy = found["found"][0]["busy"]
    assert (status, len(busy), {one["title"] for one in busy}) == (200, 87, {"Réunion"})
    assert peak < 24, "87 times a megabyte"


async def test_titles_that_are_too_large_together_are_left_out_and_nobody_looks_free(dozen: Desk) -> None:
    asked = {"agents": [str(dozen.ids["ada"])], **AVAILABILITY}
    (_, found), peak = await peak_mib(dozen.call("POST", "availability", asked))
    busy = found["found"][0]["busy"]
    assert len(busy) == 12 and 1 <= len([one for one in busy if one["title"]]) < 12
    assert peak < 8
    await pages_end_where_events_are_too_large_and_the_next_goes_on(dozen)


async def test_who_takes_place_more_often_than_titles_are_shown_is_still_busy_all_the_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parvis_calendar.queries.availability.SHOWN_MAX", 5)
    await desk.put(desk.agenda() + "a.ics", event("a", "RRULE:FREQ=HOURLY;COUNT=9", end="DTEND:20261124T093000Z"))
    _, found = await desk.call("POST", "availability", {"agents": [str(desk.ids["ada"])], **AVAILABILITY})
    assert [one["title"] for one in found["found"][0]["busy"]] == [""] * 9


async def pages_end_where_events_are_too_large_and_the_next_goes_on(dozen: Desk) -> None:
    path, pages, titles = "events?from=2026-11-24T00:00:00Z&to=2026-11-25T00:00:00Z&limit=15", 0, []
    page: dict[str, Any] = {"next": "0"}
    while page["next"] is not None:
        page, peak = await peak_mib(dozen.get(f"{path}&after={page['next']}"))
        pages, titles = pages + 1, titles + [one["title"] for one in page["items"]]
        assert peak < 8
    assert titles == [f"n{number}" for number in range(12)] and pages > 2


@pytest.fixture
def small_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that twelve megabytes are more than one answer holds."""
    for room in (searches, searching, changes):
        monkeypatch.setattr(room, "ANSWER_BYTES_MAX", 2 * MIB)


def asks_of_all(inside: str) -> str:
    return f"<D:prop><D:getetag/><C:calendar-data/></D:prop>{filtered(inside)}"


TIMES = '<C:time-range start="20261124T000000Z" end="20261125T000000Z"/>'
TEXT = '<C:prop-filter name="SUMMARY"><C:text-match>n</C:text-match></C:prop-filter>'


@pytest.mark.usefixtures("small_answers")
async def test_no_more_is_loaded_than_an_answer_holds_and_it_says_so(dozen: Desk) -> None:
    for inside in ("", TIMES, TEXT):
        asked = asks_of_all(f'<C:comp-filter name="VEVENT">{inside}</C:comp-filter>')
        found, peak = await peak_mib(dozen.report(dozen.agenda(), "C:calendar-query", asked, Depth="1"))
        assert found.status == 207 and found.names("D:response/D:error") == ["number-of-matches-within-limits"]
        assert (len(found.texts(".//C:calendar-data")), peak < 14) == (2, True), inside
    hrefs = "".join(f"<D:href>{dozen.agenda()}{number}.ics</D:href>" for number in (*range(12), 99))
    asked = f"<D:prop><D:getetag/><C:calendar-data/></D:prop>{hrefs}"
    found, peak = await peak_mib(dozen.report(dozen.agenda(), "C:calendar-multiget", asked))
    assert (len(found.hrefs), len(found.texts(".//C:calendar-data")), found.body.count(b"507 ")) == (13, 2, 10)
    assert found.body.count(b"404 ") == 1 and peak < 12


async def test_what_grows_too_large_when_it_is_expanded_is_told_so(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a.ics", heavy("a", "RRULE:FREQ=HOURLY", end="DTEND:20261124T093000Z"))
    await desk.put(desk.agenda() + "b.ics", event("b"))
    data = f'<C:calendar-data><C:expand start="{WEEK[0]}" end="{WEEK[1]}"/></C:calendar-data>'
    found, peak = await peak_mib(desk.query(desk.agenda(), *WEEK, data=data))
    assert found.status == 207 and found.names("D:response/D:error") == ["number-of-matches-within-limits"]
    assert len(found.texts(".//C:calendar-data")) == 1 and peak < 32, "159 times a megabyte"


async def test_a_home_holds_so_many_bytes_and_says_when_it_is_full(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parvis_calendar.actions.objects.HOME_BYTES_MAX", 5 * MIB // 2)
    other = desk.agenda(agenda="other")
    await desk.dav("MKCALENDAR", other)
    assert [(await desk.put(path, heavy("a"))).status for path in (desk.agenda() + "a.ics", other + "a.ics")] == [201, 201]
    refused = await desk.put(desk.agenda() + "b.ics", heavy("b"))
    assert (refused.status, refused.precondition) == (507, "quota-not-exceeded")
    assert (await desk.put(desk.agenda() + "b.ics", event("b"))).status == 201, "what is small always has room"
    assert (await desk.put(desk.agenda() + "a.ics", heavy("a", title="x"))).status == 204, "nothing is added"
    assert (await desk.put(desk.agenda("bob") + "b.ics", heavy("b"), by="bob")).status == 201, "another's home"
    await desk.dav("DELETE", other + "a.ics")
    assert (await desk.put(desk.agenda() + "c.ics", heavy("c"))).status == 201


@pytest.fixture
def taken_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """In which threads large objects are taken apart: all that does it unfolds them first."""
    threads: list[str] = []
    unfolded = lexing.unfolded

    def watched(octets: bytes) -> str:
        if len(octets) > 64 * 1024:
            threads.append(threading.current_thread().name)
        return unfolded(octets)

    for room in (lexing, reading, sheets, timezones, trees):
        monkeypatch.setattr(room, "unfolded", watched)
    yield threads


async def test_whatever_is_done_with_a_large_object_its_octets_are_taken_apart_in_a_thread(desk: Desk, taken_apart: list[str]) -> None:
    path, other = desk.agenda() + "a.ics", desk.agenda(agenda="other")
    await desk.dav("MKCALENDAR", other)

    async def done(what: str, act: Awaitable[Any], *statuses: int) -> None:
        taken_apart.clear()
        answer = await act
        status = answer if isinstance(answer, int) else answer[0] if isinstance(answer, tuple) else answer.status
        assert status in statuses, (what, answer)
        assert taken_apart, f"{what}: none was looked at"
        assert threading.main_thread().name not in taken_apart, what

    meeting = heavy("m", *ATTENDEES, "RRULE:FREQ=DAILY")
    await done("put", desk.put(path, heavy("a")), 201)
    await done("put again", desk.put(path, heavy("a", title="other")), 204)
    await done("copy", desk.dav("COPY", path, Destination=f"http://parvis.test{other}a.ics"), 201)
    await done("delete", desk.dav("DELETE", other + "a.ics"), 204)
    await done("move", desk.dav("MOVE", path, Destination=f"http://parvis.test{other}b.ics"), 201)
    await done("a meeting", desk.put(desk.agenda() + "m.ics", meeting), 201)
    await done("a meeting again", desk.put(desk.agenda() + "m.ics", meeting.replace(b"090000", b"080000")), 204)
    invitation = (await desk.get("invitations", by="bob"))["items"][0]
    await done("an answer", desk.call("POST", f"meetings/{invitation['meeting_id']}/answer", {"answer": "accepted"}, by="bob"), 204)
    own = (await desk.get("events?from=2026-11-24T00:00:00Z&to=2026-11-25T00:00:00Z"))["items"]
    etag, event_id = next((one["etag"], one["event_id"]) for one in own if one["uid"] == "m")
    await done("a change over JSON", desk.call("PATCH", f"events/{event_id}", {"title": "n"}, If_Match=etag), 200)
    await done("events", desk.call("GET", "events?from=2026-11-24T00:00:00Z&to=2026-11-25T00:00:00Z"), 200)
    await done("invitations", desk.call("GET", "invitations", by="bob"), 200)
    await done("availability", desk.call("POST", "availability", {"agents": [str(desk.ids["ada"])], **AVAILABILITY}), 200)
    await done("far away", desk.query(desk.agenda(), "20991123T000000Z", "20991130T000000Z"), 207)
    times = '<C:time-range start="20991123T000000Z" end="20991130T000000Z"/>'
    await done("busy far away", desk.report(desk.agenda(), "C:free-busy-query", times), 200)
    text = f'<C:comp-filter name="VEVENT">{TEXT}</C:comp-filter>'
    await done("by text", desk.report(desk.agenda(), "C:calendar-query", asks_of_all(text), Depth="1"), 207)
    await done("of one", desk.report(desk.agenda() + "m.ics", "C:calendar-query", asks_of_all(text), Depth="0"), 207)
    part = '<C:calendar-data><C:comp name="VCALENDAR"><C:prop name="VERSION"/></C:comp></C:calendar-data>'
    hrefs = f"<D:prop>{part}</D:prop><D:href>{desk.agenda()}m.ics</D:href>"
    await done("a part", desk.report(desk.agenda(), "C:calendar-multiget", hrefs), 207)
    await done("synchronized in part", desk.sync(desk.agenda(), props=part), 207)
    zone = "BEGIN:VTIMEZONE\r\nTZID:Asia/Tokyo\r\nEND:VTIMEZONE\r\n"
    inside = f"<D:set><D:prop><C:calendar-timezone>{zone}</C:calendar-timezone></D:prop></D:set>"
    await done("another zone", desk.report(desk.agenda(), "D:propertyupdate", inside, method="PROPPATCH"), 207)
    await done("called off", desk.dav("DELETE", desk.agenda() + "m.ics"), 204)
    await desk.put(other + "m.ics", heavy("n", *ATTENDEES))
    await done("an agenda deleted", desk.dav("DELETE", other), 204)


async def test_a_neighbour_is_answered_while_a_large_object_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.put(desk.agenda() + "a.ics", heavy("a"))
    await desk.put(desk.agenda("bob") + "b.ics", event("b"), by="bob")
    held, let_go = threading.Event(), threading.Event()
    unfolded = lexing.unfolded

    def held_up(octets: bytes) -> str:
        if len(octets) > 64 * 1024:
            held.set()
            assert threading.current_thread() is not threading.main_thread() and let_go.wait(60)
        return unfolded(octets)

    monkeypatch.setattr(lexing, "unfolded", held_up)
    window = "from=2026-11-24T00:00:00Z&to=2026-11-25T00:00:00Z"
    for ask in (
        lambda: desk.get(f"events?{window}"),
        lambda: desk.call("POST", "availability", {"agents": [str(desk.ids["ada"])], **AVAILABILITY}),
        lambda: desk.put(desk.agenda() + "c.ics", heavy("c")),
    ):
        await a_neighbour_is_answered(desk, ask, held, let_go)


async def a_neighbour_is_answered(desk: Desk, ask: Callable[[], Awaitable[Any]], held: threading.Event, let_go: threading.Event) -> None:
    held.clear()
    let_go.clear()
    heavy_one = asyncio.ensure_future(ask())
    try:
        assert await asyncio.to_thread(held.wait, 60)
        assert (await desk.dav("GET", desk.agenda("bob") + "b.ics", by="bob")).status == 200
        assert (await desk.put(desk.agenda("bob") + "b.ics", event("b", title="x"), by="bob")).status == 204
        assert not heavy_one.done()
    finally:
        let_go.set()
        await heavy_one
