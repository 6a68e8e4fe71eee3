"""Meetings: an invitation arrives, the answer comes back, both are facts; whoever is left out or does not exist is dealt with, too."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from parvis_contracts.messaging import CommandReceived

from .conftest import Desk, event

PATH = "20261125T000000Z"


def person(name: str, *parameters: str) -> str:
    return ";".join(["ATTENDEE", *parameters]) + f":mailto:{name}@example.org"


def meeting(uid: str, *invited: str, start: str = "20261124T090000Z", end: str = "20261124T100000Z", more: tuple[str, ...] = ()) -> bytes:
    lines = [
        "ORGANIZER:mailto:ada@example.org",
        person("ada", "PARTSTAT=ACCEPTED"),
        *(one if ":" in one else person(one) for one in invited),
    ]
    return event(uid, *lines, *more, start=f"DTSTART:{start}", end=f"DTEND:{end}")


async def lying(desk: Desk, name: str, agenda: str = "agenda") -> list[str]:
    """What is in somebody's agenda, unfolded."""
    found = await desk.query(desk.agenda(name, agenda), "20260101T000000Z", "20290101T000000Z", by=name)
    return [one.replace("\r\n ", "").replace("\n ", "") for one in found.texts("D:response/D:propstat/D:prop/C:calendar-data")]


async def inbox(desk: Desk, name: str) -> list[str]:
    there = await desk.propfind(desk.agenda(name, "inbox"), "D:getetag", depth="1", by=name)
    hrefs = [one for one in there.hrefs if one.endswith(".ics")]
    return [(await desk.dav("GET", one, by=name)).body.decode().replace("\r\n ", "") for one in hrefs]


async def place_of(desk: Desk, name: str) -> str:
    there = await desk.propfind(desk.agenda(name), "D:getetag", depth="1", by=name)
    return next(one for one in there.hrefs if one.endswith(".ics"))


def partstat(octets: str, name: str) -> str:
    line = next(one for one in octets.splitlines() if one.startswith("ATTENDEE") and f"{name}@example.org" in one)
    return next((one[9:] for one in line.partition(":")[0].split(";") if one.startswith("PARTSTAT=")), "NEEDS-ACTION")


async def meeting_id(desk: Desk) -> Any:
    return (await desk.rows("SELECT meeting_id FROM calendar.invitation"))[0][0]


async def test_an_invitation_arrives_and_the_answer_comes_back(desk: Desk) -> None:
    made = await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob", "eve"))
    assert made.status == 201 and "ETag" not in made.headers and made.headers["Schedule-Tag"]
    (theirs,) = await lying(desk, "bob")
    assert "UID:m" in theirs and partstat(theirs, "bob") == "NEEDS-ACTION"
    (item,) = await inbox(desk, "bob")
    assert "METHOD:REQUEST" in item and "METHOD" not in theirs

    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    assert "SCHEDULE-STATUS=1.2" in mine
    place = await place_of(desk, "bob")
    answer = theirs.replace("ATTENDEE:mailto:bob", "ATTENDEE;PARTSTAT=ACCEPTED:mailto:bob")
    assert answer != theirs
    assert (await desk.put(place, answer.encode(), by="bob")).status == 204
    after = await desk.dav("GET", f"{desk.agenda()}m.ics")
    assert partstat(after.body.decode().replace("\r\n ", ""), "bob") == "ACCEPTED"
    assert after.headers["Schedule-Tag"] == made.headers["Schedule-Tag"], "an answer is no reason for the organizer's client to ask anew"
    said = await desk.said()
    assert [one for one in said if one.startswith("meeting")] == ["meeting.invited.v1", "meeting.invited.v1", "meeting.answered.v1"]
    assert said.count("event.scheduled.v1") == 1


async def test_both_are_busy_once_the_meeting_is_there(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    weeks = await desk.rows("SELECT owner_id FROM calendar.busy_week")
    assert len(weeks) == 2


async def test_other_times_ask_anew_and_another_title_does_not(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", person("bob", "PARTSTAT=ACCEPTED")))
    retitled = meeting("m", person("bob", "PARTSTAT=ACCEPTED")).replace("Réunion".encode(), b"Point")
    again = await desk.put(f"{desk.agenda()}m.ics", retitled)
    assert again.status == 204, again.body
    (theirs,) = await lying(desk, "bob")
    assert "SUMMARY:Point" in theirs and partstat(theirs, "bob") == "ACCEPTED"
    assert (await desk.said()).count("meeting.invited.v1") == 1
    moved = meeting("m", person("bob", "PARTSTAT=ACCEPTED"), start="20261125T090000Z", end="20261125T100000Z", more=("SEQUENCE:1",))
    await desk.put(f"{desk.agenda()}m.ics", moved)
    (theirs,) = await lying(desk, "bob")
    assert "DTSTART:20261125T090000Z" in theirs and partstat(theirs, "bob") == "NEEDS-ACTION"
    assert (await desk.said()).count("meeting.invited.v1") == 2


async def test_an_answer_that_came_meanwhile_survives_the_organizer_s_next_change(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    assert (await desk.answer("bob", await meeting_id(desk), "accepted")) == 204
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob", "eve"))
    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    assert partstat(mine, "bob") == "ACCEPTED"


async def test_who_is_left_out_and_who_is_called_off_see_it(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob", "eve"))
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    (theirs,) = await lying(desk, "eve")
    assert "STATUS:CANCELLED" in theirs
    (item,) = await inbox(desk, "eve")
    assert "METHOD:CANCEL" in item
    assert (await desk.dav("DELETE", f"{desk.agenda()}m.ics")).status == 204
    (theirs,) = await lying(desk, "bob")
    assert "STATUS:CANCELLED" in theirs
    said = [one for one in await desk.said() if one != "calendar.created.v1"]
    assert said.count("meeting.withdrawn.v1") == 2 and said.count("event.cancelled.v1") == 1
    assert not await desk.rows("SELECT 1 FROM calendar.invitation")


async def test_deleting_an_invitation_declines_it(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    assert (await desk.dav("DELETE", await place_of(desk, "bob"), by="bob")).status == 204
    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    assert partstat(mine, "bob") == "DECLINED"


async def test_nobody_of_that_address_is_said_on_the_invitation_and_once_as_a_fact(desk: Desk) -> None:
    for _ in range(2):
        await desk.put(f"{desk.agenda()}m.ics", meeting("m", "nobody", "bob"))
    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    assert "SCHEDULE-STATUS=3.7" in next(one for one in mine.splitlines() if "nobody@" in one)
    assert (await desk.said()).count("meeting.delivery_failed.v1") == 1


async def test_a_client_that_tells_people_itself_is_left_to_it(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", person("bob", "SCHEDULE-AGENT=CLIENT")))
    assert await lying(desk, "bob") == []
    assert not [one for one in await desk.said() if one.startswith("meeting")]


async def test_alarms_of_the_organizer_stay_their_own(desk: Desk) -> None:
    alarm = ("BEGIN:VALARM", "TRIGGER:-PT5M", "ACTION:DISPLAY", "DESCRIPTION:x", "END:VALARM")
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob", more=alarm))
    (theirs,) = await lying(desk, "bob")
    assert "VALARM" not in theirs
    invited = (await desk.said()).count("meeting.invited.v1")
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    assert (await desk.said()).count("meeting.invited.v1") == invited


async def test_one_occurrence_is_answered_alone(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob", more=("RRULE:FREQ=DAILY;COUNT=5",)))
    (theirs,) = await lying(desk, "bob")
    body = theirs[theirs.index("BEGIN:VEVENT") : theirs.index("END:VCALENDAR")]
    alone = "".join(f"{one}\r\n" for one in body.splitlines() if not one.startswith("RRULE"))
    alone = alone.replace("DTSTART:20261124", "DTSTART:20261126").replace("DTEND:20261124", "DTEND:20261126")
    alone = alone.replace("UID:m", "UID:m\r\nRECURRENCE-ID:20261126T090000Z").replace(
        "ATTENDEE:mailto:bob", "ATTENDEE;PARTSTAT=DECLINED:mailto:bob"
    )
    octets = theirs.replace("END:VCALENDAR", alone + "END:VCALENDAR").encode()
    assert (await desk.put(await place_of(desk, "bob"), octets, by="bob")).status == 204
    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    series, occurrence = mine.split("END:VEVENT")[:2]
    assert partstat(series, "bob") == "NEEDS-ACTION" and "RECURRENCE-ID:20261126T090000Z" in occurrence
    assert partstat(occurrence, "bob") == "DECLINED"


@pytest.mark.parametrize(("command", "becomes"), [("accept", "ACCEPTED"), ("decline", "DECLINED"), ("tentative", "TENTATIVE")])
async def test_an_answer_in_the_thread_is_an_answer_and_said_twice_it_is_said_once(desk: Desk, command: Any, becomes: str) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    which = await meeting_id(desk)
    for _ in range(2):
        fact = CommandReceived(
            at=desk.clock(), about=str(which), command=command, agent_id=desk.ids["bob"], meeting_id=which, room_id="!r:x", message_id="$m"
        )
        await desk.hears(fact)
    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    assert partstat(mine, "bob") == becomes
    assert partstat((await lying(desk, "bob"))[0], "bob") == becomes
    assert (await desk.said()).count("meeting.answered.v1") == 1


async def test_an_answer_to_nothing_changes_nothing(desk: Desk) -> None:
    before = await desk.said()
    fact = CommandReceived(
        at=desk.clock(), about="x", command="accept", agent_id=desk.ids["bob"], meeting_id=uuid4(), room_id="!r:x", message_id="$m"
    )
    await desk.hears(fact)
    assert await desk.said() == before
    assert await desk.answer("bob", uuid4(), "accepted") == 404


async def test_many_who_invite_each_other_and_answer_at_once_do_not_lock_each_other_out(desk: Desk) -> None:
    names = ("ada", "bob", "eve")

    def by(name: str, uid: str) -> bytes:
        return event(uid, f"ORGANIZER:mailto:{name}@example.org", *(person(one) for one in names))

    made = await asyncio.gather(
        *(desk.put(f"{desk.agenda(name)}{uid}.ics", by(name, uid), by=name) for name in names for uid in (name + "1", name + "2"))
    )
    assert [one.status for one in made] == [201] * 6
    rows = await desk.rows("SELECT meeting_id, attendee_id FROM calendar.invitation")
    assert len(rows) == 12
    who = {str(one): name for name, one in desk.ids.items()}
    names_of = [
        (str(meeting), who[str(attendee) if "-" in str(attendee) else str(uuid4().__class__(attendee))]) for meeting, attendee in rows
    ]
    answers = await asyncio.gather(*(desk.answer(name, which, "accepted") for which, name in names_of))
    assert answers == [204] * 12
    assert (await desk.said()).count("meeting.answered.v1") == 12


async def test_a_meeting_that_moves_to_another_agenda_stays_the_meeting_that_it_was(desk: Desk) -> None:
    """Seen without: it took another id, and whoever was invited could answer no more."""
    await desk.dav("MKCALENDAR", desk.agenda(agenda="other"))
    made = await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    moved = await desk.dav("MOVE", f"{desk.agenda()}m.ics", Destination=f"http://parvis.test{desk.agenda(agenda='other')}m.ics")
    assert moved.status == 201
    assert (await desk.answer("bob", await meeting_id(desk), "accepted")) == 204
    mine = await desk.dav("GET", f"{desk.agenda(agenda='other')}m.ics")
    assert partstat(mine.body.decode().replace("\r\n ", ""), "bob") == "ACCEPTED"
    assert mine.headers["Schedule-Tag"] == made.headers["Schedule-Tag"]
    assert (await desk.said()).count("event.scheduled.v1") == 1


async def test_what_a_meeting_is_moved_over_is_called_off(desk: Desk) -> None:
    await desk.dav("MKCALENDAR", desk.agenda(agenda="other"))
    await desk.put(f"{desk.agenda(agenda='other')}m.ics", meeting("old", "eve"))
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    to = {"Destination": f"http://parvis.test{desk.agenda(agenda='other')}m.ics"}
    assert (await desk.dav("MOVE", f"{desk.agenda()}m.ics", Overwrite="F", **to)).status == 412
    assert (await desk.dav("MOVE", f"{desk.agenda()}m.ics", **to)).status == 204
    (theirs,) = await lying(desk, "eve")
    assert "STATUS:CANCELLED" in theirs
    assert "event.cancelled.v1" in await desk.said()


async def test_an_agenda_deleted_whole_calls_off_the_meetings_that_are_to_come(desk: Desk) -> None:
    await desk.dav("MKCALENDAR", desk.agenda(agenda="other"))
    place = desk.agenda(agenda="other")
    await desk.put(f"{place}m.ics", meeting("m", "bob"))
    await desk.put(f"{place}over.ics", meeting("over", "eve", start="20200101T090000Z", end="20200101T100000Z"))
    assert (await desk.dav("DELETE", place)).status == 204
    (theirs,) = await lying(desk, "bob")
    assert "STATUS:CANCELLED" in theirs
    said = await desk.said()
    assert said.count("event.cancelled.v1") == 2 and said.count("meeting.withdrawn.v1") == 1, "what is over is not called off"


async def test_an_agenda_deleted_whole_declines_what_its_owner_was_invited_to(desk: Desk) -> None:
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    await desk.dav("MKCALENDAR", desk.agenda("bob", "other"), by="bob")
    there = await place_of(desk, "bob")
    to = f"http://parvis.test{desk.agenda('bob', 'other')}m.ics"
    assert (await desk.dav("MOVE", there, by="bob", Destination=to)).status == 201
    assert (await desk.dav("DELETE", desk.agenda("bob", "other"), by="bob")).status == 204
    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    assert partstat(mine, "bob") == "DECLINED"
