"""An agent leaves: agendas are frozen, meetings stay, go to a colleague or are called off, and calendar says so."""

from typing import Any
from uuid import uuid4

import pytest
from parvis_contracts.directory import AgentLeft, AgentReinstated, AgentState

from .conftest import Desk
from .test_availability import administrator, new
from .test_meetings import lying, meeting, partstat


async def leaves(desk: Desk, name: str = "ada") -> None:
    one = desk.ids[name]
    await desk.hears(AgentLeft(at=desk.clock(), about=str(one), agent_id=one, ministry_id=desk.ministries["interieur"]))


async def chosen(desk: Desk, choice: str, to: str = "", *, by: str = "bob") -> int:
    body = {"meetings": choice, **({"to": str(desk.ids[to])} if to else {})}
    return (await desk.call("PUT", f"departures/{desk.ids['ada']}", body, by=by))[0]


async def done(desk: Desk) -> list[str]:
    rows = await desk.rows("SELECT data FROM calendar.log WHERE type = 'calendar.leaver.settled.v1' ORDER BY seq") or await desk.rows(
        "SELECT data FROM calendar.outbox WHERE type = 'calendar.leaver.settled.v1' ORDER BY id"
    )
    return [bytes(one[0]).decode() for one in rows]


async def a_meeting(desk: Desk) -> None:
    await administrator(desk, "bob")
    await desk.add("cyd", "interieur")
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob", "eve", start="20261201T090000Z", end="20261201T100000Z"))
    which = (await desk.rows("SELECT meeting_id FROM calendar.invitation"))[0][0]
    assert await desk.answer("eve", which, "accepted") == 204


async def test_without_a_choice_the_meetings_of_who_left_stay_as_they_are(desk: Desk) -> None:
    await a_meeting(desk)
    await leaves(desk)
    (theirs,) = await lying(desk, "eve")
    assert "CANCELLED" not in theirs
    assert (await desk.put(f"{desk.agenda()}n.ics", meeting("n"))).status in (401, 403)
    _, shown = await desk.call("GET", f"departures/{desk.ids['ada']}", by="bob")
    assert (shown["meetings"], shown["open_meetings"]) == ("keep", 1) and shown["settled_at"]
    assert (await desk.said()).count("leaver.settled.v1") == 1


@pytest.mark.parametrize("first", ["chosen", "left"])
async def test_meetings_are_called_off_whether_it_is_said_before_or_after(desk: Desk, first: str) -> None:
    await a_meeting(desk)
    if first == "chosen":
        assert await chosen(desk, "cancel") == 204
        await leaves(desk)
    else:
        await leaves(desk)
        assert await chosen(desk, "cancel") == 204
    for name in ("bob", "eve"):
        assert "STATUS:CANCELLED" in (await lying(desk, name))[0]
    said = await desk.said()
    assert (said.count("meeting.withdrawn.v1"), said.count("event.cancelled.v1")) == (2, 1)
    assert any("meetings cancelled" in one for one in await done(desk))
    await leaves(desk)
    assert (await desk.said()).count("meeting.withdrawn.v1") == 2, "done twice, it is done once"


@pytest.mark.parametrize(("first", "to"), [("chosen", "cyd"), ("left", "cyd"), ("left", "bob")])
async def test_meetings_go_to_a_colleague_with_the_answers_that_were_given(desk: Desk, first: str, to: str) -> None:
    await a_meeting(desk)
    if first == "chosen":
        assert await chosen(desk, "hand_over", to) == 204
        await leaves(desk)
    else:
        await leaves(desk)
        assert await chosen(desk, "hand_over", to) == 204
    (theirs,) = await lying(desk, to)
    assert f"mailto:{to}@example.org" in next(one for one in theirs.splitlines() if one.startswith("ORGANIZER"))
    assert partstat(theirs, "eve") == "ACCEPTED" and "ada@example.org" not in theirs
    (hers,) = await lying(desk, "eve")
    assert partstat(hers, "eve") == "ACCEPTED" and f"mailto:{to}@example.org" in hers
    which = {str(one[0]) for one in await desk.rows("SELECT meeting_id FROM calendar.invitation")}
    assert len(which) == 1
    assert await desk.answer("eve", which.pop(), "declined") == 204
    assert partstat((await lying(desk, to))[0], "eve") == "DECLINED"
    assert any("meetings handed over" in one for one in await done(desk))
    before, after = (fact for kind, fact in await desk.facts() if kind == "event.scheduled.v1")
    assert after["continues"] == before["event_id"], "who counts meetings has counted this one"


async def test_only_administrators_of_the_ministry_choose_and_only_what_can_be(desk: Desk) -> None:
    await a_meeting(desk)
    assert await chosen(desk, "cancel", by="cyd") == 403
    assert await chosen(desk, "cancel", by="eve") == 404
    assert await chosen(desk, "hand_over") == 422
    assert await chosen(desk, "hand_over", "eve") == 422
    assert await chosen(desk, "hand_over", "ada") == 422
    assert await chosen(desk, "cancel", "cyd") == 422
    assert (await desk.call("PUT", f"departures/{uuid4()}", {"meetings": "cancel"}, by="bob"))[0] == 404


async def test_who_comes_back_finds_their_agenda_thawed(desk: Desk) -> None:
    await leaves(desk)
    one = desk.ids["ada"]
    await desk.hears(AgentReinstated(at=desk.clock(), about=str(one), agent_id=one))
    status, made = await desk.call("POST", "events", new())
    assert status == 201, made


async def test_an_invitation_to_who_has_left_says_that_it_does_not_arrive(desk: Desk) -> None:
    one: Any = desk.ids["bob"]
    gone = AgentState(
        at=desk.clock(), about=str(one), agent_id=one, ministry_id=desk.ministries["interieur"], kind="agent", state="left",
        email="bob@example.org", given_name="Bob", family_name="Martin", roles=("agent",),
    )  # fmt: skip
    await desk.hears(gone, AgentLeft(at=desk.clock(), about=str(one), agent_id=one, ministry_id=desk.ministries["interieur"]))
    await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))
    mine = (await desk.dav("GET", f"{desk.agenda()}m.ics")).body.decode().replace("\r\n ", "")
    assert "SCHEDULE-STATUS=5.1" in next(line for line in mine.splitlines() if "bob@" in line)
    assert (await desk.said()).count("meeting.delivery_failed.v1") == 1
