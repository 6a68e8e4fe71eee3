"""An hour for several, as far as each shows when they are busy; rooms that nobody gets twice; events made over JSON."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parvis_calendar.rules.availability import Hours, best_slots, candidates, merged
from parvis_calendar.rules.composing import vtimezone
from parvis_calendar.rules.reading import read_object
from parvis_contracts.directory import AgentState

from .conftest import Desk, event
from .test_meetings import lying, partstat

MONDAY = "2026-11-30"


def new(title: str = "Point", start: str = "10:00", end: str = "11:00", day: str = MONDAY, **more: Any) -> dict[str, Any]:
    return {"title": title, "starts_at": f"{day}T{start}:00+01:00", "ends_at": f"{day}T{end}:00+01:00", **more}


def meet(desk: Desk, *names: str, **more: Any) -> dict[str, Any]:
    times = {"starts_at": f"{MONDAY}T00:00:00+01:00", "ends_at": "2026-12-05T00:00:00+01:00"}
    return {"agents": [str(desk.ids[one]) for one in names], **times, **more}


async def administrator(desk: Desk, name: str = "ada") -> None:
    state = AgentState(
        at=desk.clock(), about=str(desk.ids[name]), agent_id=desk.ids[name], ministry_id=desk.ministries["interieur"], kind="agent",
        state="active", email=f"{name}@example.org", given_name=name.title(), family_name="Martin",
        roles=("agent", "ministry_administrator"),
    )  # fmt: skip
    await desk.hears(state)


async def room(desk: Desk, name: str = "Salle 3") -> dict[str, Any]:
    await administrator(desk)
    status, made = await desk.call("POST", "resources", {"kind": "room", "name": name, "seats": 8})
    assert status == 201, made
    return dict(made)


async def test_an_event_made_over_json_is_one_for_every_client(desk: Desk) -> None:
    status, made = await desk.call(
        "POST", "events", new("Réunion; hebdo, n° 1", attendees=[str(desk.ids["bob"])], recurrence="FREQ=WEEKLY;COUNT=3")
    )
    assert status == 201, made
    octets = (await desk.dav("GET", made["href"])).body
    what = read_object(octets)
    assert (what.summary, what.organizer.email if what.organizer else "") == ("Réunion; hebdo, n° 1", "ada@example.org")
    assert b"BEGIN:VTIMEZONE" in octets and b"DTSTART;TZID=Europe/Paris:20261130T100000" in octets
    (theirs,) = await lying(desk, "bob")
    assert partstat(theirs, "bob") == "NEEDS-ACTION"
    (invitation,) = (await desk.get("invitations", by="bob"))["items"]
    assert (invitation["title"], invitation["meeting_id"], invitation["answer"]) == (
        "Réunion; hebdo, n° 1",
        made["event_id"],
        "needs-action",
    )
    assert await desk.answer("bob", made["event_id"], "accepted") == 204
    assert (await desk.get("invitations", by="bob"))["items"][0]["answer"] == "accepted"


async def test_an_event_is_changed_by_its_owner_alone_and_with_the_etag_they_read(desk: Desk) -> None:
    _, made = await desk.call("POST", "events", new(attendees=[str(desk.ids["bob"])]))
    await desk.answer("bob", made["event_id"], "accepted")
    found = (await desk.get("events?from=2026-11-01T00:00:00Z&to=2026-12-31T00:00:00Z"))["items"][0]
    path = f"events/{made['event_id']}"
    assert await desk.get(path) == found, "an event by itself is as the list has it"
    assert (await desk.call("GET", path, by="bob"))[0] == (await desk.call("GET", f"events/{uuid4()}"))[0] == 404
    assert (await desk.call("PATCH", path, {"title": "x"}, by="bob", If_Match=found["etag"]))[0] == 404
    assert (await desk.call("PATCH", path, {"title": "x"}, If_Match='"other"'))[0] == 412
    status, again = await desk.call("PATCH", path, {"title": "Autre"}, If_Match=found["etag"])
    assert status == 200, again
    (theirs,) = await lying(desk, "bob")
    assert "SUMMARY:Autre" in theirs and partstat(theirs, "bob") == "ACCEPTED"
    moved = {"starts_at": f"{MONDAY}T15:00:00+01:00", "ends_at": f"{MONDAY}T16:00:00+01:00"}
    assert (await desk.call("PATCH", path, moved, If_Match=again["etag"]))[0] == 200
    (theirs,) = await lying(desk, "bob")
    assert "T150000" in theirs and partstat(theirs, "bob") == "NEEDS-ACTION"
    assert (await desk.call("DELETE", path, by="eve"))[0] == 404
    assert (await desk.call("DELETE", path))[0] == 204
    assert "STATUS:CANCELLED" in (await lying(desk, "bob"))[0]


async def test_an_event_by_itself_has_the_times_of_its_first_occurrence_as_they_are_written(desk: Desk) -> None:
    _, made = await desk.call("POST", "events", new(recurrence="FREQ=WEEKLY;COUNT=9"))
    found = await desk.get(f"events/{made['event_id']}")
    assert (found["starts_at"], found["ends_at"], found["recurs"]) == (f"{MONDAY}T09:00:00Z", f"{MONDAY}T10:00:00Z", True)
    for uid, start, end, expected in (
        ("day", "DTSTART;VALUE=DATE:20261130", "DTEND;VALUE=DATE:20261202", (MONDAY, "2026-11-29T23:00:00Z")),
        ("wall", "DTSTART:20261130T100000", "DURATION:PT1H", (None, f"{MONDAY}T09:00:00Z")),
    ):
        await desk.put(f"{desk.agenda()}{uid}.ics", event(uid, start=start, end=end))
        (one,) = [
            each for each in (await desk.get(f"events?from={MONDAY}T00:00:00Z&to=2026-12-03T00:00:00Z"))["items"] if each["uid"] == uid
        ]
        found = await desk.get(f"events/{one['event_id']}")
        assert (found["day"], found["starts_at"]) == expected and found == one


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_zone": "Nowhere/City"}, {"recurrence": "FREQ=SOMETIMES"}, {"recurrence": "FREQ=DAILY\nATTENDEE:mailto:x@y"},
        {"attendees": [str(uuid4())]}, {"resources": [str(uuid4())]}, {"ends_at": "2026-11-29T00:00:00Z"},
        {"ends_at": "9999-12-31T23:59:59-05:00"}, {"starts_at": "0001-01-01T00:00:00+05:00"},
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_and_says_nothing(desk: Desk, wrong: dict[str, Any]) -> None:
    before = await desk.said()
    assert (await desk.call("POST", "events", {**new(), **wrong}))[0] == 422
    assert await desk.said() == before


async def test_an_hour_is_found_in_which_all_can(desk: Desk) -> None:
    await desk.call("POST", "events", new(start="09:00", end="12:00"))
    await desk.call("POST", "events", new(start="13:00", end="18:00"), by="bob")
    status, found = await desk.call("POST", "availability", meet(desk, "ada", "bob", slots=2))
    assert status == 200, found
    assert [(one["starts_at"], one["busy"]) for one in found["slots"]] == [(f"{MONDAY}T11:00:00Z", []), ("2026-12-01T08:00:00Z", [])]
    ada, bob = found["found"]
    assert (ada["privacy"], bob["privacy"]) == ("write", "free-busy")
    assert [(one["starts_at"], one["kind"], one["title"]) for one in bob["busy"]] == [(f"{MONDAY}T12:00:00Z", "busy", "")]


@pytest.mark.parametrize(
    ("who", "level", "shown", "busy"),
    [
        ("bob", "none", "none", []), ("bob", "free-busy", "free-busy", [""]), ("bob", "details", "details", ["Secret"]),
        ("eve", "details", "free-busy", [""]), ("eve", "none", "none", []),
    ],
)  # fmt: skip
async def test_one_sees_of_another_what_they_show_and_of_another_ministry_no_more_than_busy(
    desk: Desk, who: str, level: str, shown: str, busy: list[str]
) -> None:
    await desk.call("POST", "events", new("Secret"), by=who)
    assert (await desk.call("PUT", f"privacy/{desk.ids['ada']}", {"level": level}, by=who))[0] == 204
    _, found = await desk.call("POST", "availability", meet(desk, who))
    (one,) = found["found"]
    assert (one["privacy"], [each["title"] for each in one["busy"]]) == (shown, busy)


@pytest.mark.parametrize(
    ("line", "title"), [("CLASS:PUBLIC", "Bilan"), ("CLASS:private", ""), ("CLASS:CONFIDENTIAL", ""), ("CLASS:X-MINE", "")]
)
async def test_what_is_private_is_busy_and_has_no_title_but_for_its_owner(desk: Desk, line: str, title: str) -> None:
    octets = event("one", line, start="DTSTART:20261130T090000Z", end="DTEND:20261130T100000Z", title="Bilan")
    assert (await desk.put(desk.agenda("bob") + "one.ics", octets, by="bob")).status == 201
    await desk.call("PUT", f"privacy/{desk.ids['ada']}", {"level": "details"}, by="bob")
    for who, shown in (("ada", title), ("bob", "Bilan")):
        _, found = await desk.call("POST", "availability", meet(desk, "bob"), by=who)
        assert [(each["kind"], each["title"]) for each in found["found"][0]["busy"]] == [("busy", shown)]


async def test_who_asks_about_several_others_is_written_in_the_audit(desk: Desk) -> None:
    reads = "SELECT who, about, reason FROM calendar.audit WHERE what = 'availability.read'"
    await desk.call("POST", "availability", meet(desk, "ada", "bob"))
    assert not await desk.rows(reads), "one other is no search through a ministry"
    await desk.call("POST", "availability", meet(desk, "ada", "bob", "eve", "bob"))
    ((who, about, reason),) = await desk.rows(reads)
    assert (who, about.split()[:2], reason.split()) == (
        str(desk.ids["ada"]),
        ["2", "agents"],
        sorted(str(desk.ids[one]) for one in ("bob", "eve")),
    )
    many = {**meet(desk), "agents": [str(uuid4()) for _ in range(300)]}
    assert (await desk.call("POST", "availability", many, by="eve"))[0] == 200
    who, about, reason = (await desk.rows(reads))[1]
    assert (who, about.split()[0], len(reason.split())) == (str(desk.ids["eve"]), "300", 12)


async def test_nobody_of_that_id_looks_like_somebody_who_shows_nothing(desk: Desk) -> None:
    body = meet(desk, "ada")
    body["agents"] = [str(uuid4())]
    _, found = await desk.call("POST", "availability", body)
    assert found["found"][0]["privacy"] == "none" and found["found"][0]["busy"] == []


async def test_a_room_is_booked_with_its_meeting_and_free_again_with_it(desk: Desk) -> None:
    salle = await room(desk)
    assert (await desk.call("POST", "resources", {"kind": "room", "name": "x"}, by="bob"))[0] == 403
    status, made = await desk.call("POST", "events", new(resources=[salle["id"]]))
    assert status == 201, made
    assert (await desk.call("POST", "events", new(start="10:30", end="11:30", resources=[salle["id"]]), by="bob"))[1]["type"].endswith(
        "resource-taken"
    )
    assert (await desk.call("POST", "events", new(start="11:00", end="12:00", resources=[salle["id"]]), by="bob"))[0] == 201
    _, found = await desk.call("POST", "availability", meet(desk, "ada", resources=[salle["id"]]))
    assert len(found["found"][1]["busy"]) == 2 and found["found"][1]["privacy"] is None
    assert (await desk.call("DELETE", f"events/{made['event_id']}"))[0] == 204
    said = [one for one in await desk.said() if one.startswith("resource")]
    assert said == ["resource.booked.v1", "resource.booked.v1", "resource.released.v1"]
    assert (await desk.call("POST", "events", new(start="10:30", end="11:00", resources=[salle["id"]]), by="bob"))[0] == 201


async def test_another_ministry_s_room_is_none(desk: Desk) -> None:
    salle = await room(desk)
    assert (await desk.call("POST", "events", new(resources=[salle["id"]]), by="eve"))[0] == 422
    assert (await desk.get("resources", by="eve"))["items"] == []


async def test_a_room_declines_by_caldav_what_it_cannot_take(desk: Desk) -> None:
    salle = await room(desk)
    lines = ("ORGANIZER:mailto:ada@example.org", f"ATTENDEE;CUTYPE=ROOM:{salle['address']}")
    for uid in ("one", "two"):
        assert (await desk.put(f"{desk.agenda()}{uid}.ics", event(uid, *lines))).status == 201
    answers = [(await desk.dav("GET", f"{desk.agenda()}{uid}.ics")).body.decode().replace("\r\n ", "") for uid in ("one", "two")]
    assert ["PARTSTAT=ACCEPTED" in one for one in answers] == [True, False] and "PARTSTAT=DECLINED" in answers[1]


async def test_of_twenty_who_want_one_room_at_once_one_gets_it(desk: Desk) -> None:
    salle = await room(desk)
    wanted = [desk.call("POST", "events", new(resources=[salle["id"]]), by=("ada", "bob")[one % 2]) for one in range(20)]
    answers = [status for status, _ in await asyncio.gather(*wanted)]
    assert sorted(answers) == [201] + [409] * 19
    assert len(await desk.rows("SELECT 1 FROM calendar.booking")) == 1
    assert (await desk.said()).count("resource.booked.v1") == 1


SPAN = st.tuples(st.integers(0, 4 * 86_400), st.integers(1, 30_000)).map(lambda one: (one[0], one[0] + one[1]))


@given(st.lists(st.lists(SPAN, max_size=12), min_size=1, max_size=6), st.integers(900, 9000), st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_the_best_slots_are_those_that_a_slow_search_finds(people: list[list[tuple[int, int]]], seconds: int, many: int) -> None:
    hours = Hours(ZoneInfo("UTC"), datetime(1, 1, 1, 9, tzinfo=UTC).time(), datetime(1, 1, 1, 18, tzinfo=UTC).time(), frozenset(range(7)))
    busy = {uuid4(): merged(spans) for spans in people}

    def count(at: int) -> int:
        return sum(any(first < at + seconds and last > at for first, last in spans) for spans in busy.values())

    slow: list[int] = []
    for at in sorted(candidates(0, 4 * 86_400, seconds, hours), key=lambda one: (count(one), one)):
        if len(slow) < many and all(abs(at - other) >= seconds for other in slow):
            slow.append(at)
    found = best_slots(busy, 0, 4 * 86_400, seconds, hours, many)
    assert [one.starts_at for one in found] == slow
    assert [len(one.busy) for one in found] == [count(at) for at in slow]


@pytest.mark.parametrize(
    "name", ["Europe/Paris", "America/New_York", "Asia/Tokyo", "Pacific/Noumea", "Africa/Casablanca", "America/Cayenne"]
)
def test_a_zone_that_is_written_out_says_of_its_year_what_iana_says(name: str) -> None:
    text = "\r\n".join(["BEGIN:VCALENDAR", *vtimezone(name, 2026), "END:VCALENDAR", ""])
    import icalendar

    zone: Any = icalendar.Calendar.from_ical(text).walk("VTIMEZONE")[0].to_tz()
    for day in range(10, 360, 10):
        shown = datetime(2026, 1, 1, 12) + timedelta(days=day)  # noqa: DTZ001
        assert shown.replace(tzinfo=zone).utcoffset() == shown.replace(tzinfo=ZoneInfo(name)).utcoffset(), shown
