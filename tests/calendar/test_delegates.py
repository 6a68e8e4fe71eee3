"""A colleague who is let write into one's agenda, and a delegate who also invites and answers in one's name; nobody else."""

from pathlib import Path

import pytest
from parvis_kit.testing.databases import queries

from .conftest import NAMESPACES, Desk, event
from .test_availability import new
from .test_departures import leaves
from .test_judges import run
from .test_meetings import inbox, lying, meeting, partstat, person

CLIENT = """
import os, caldav
url, boss = os.environ["DAV_URL"], os.environ["DAV_BOSS"]
client = caldav.DAVClient(url=url, username="bob@example.org", password=os.environ["DAV_PASSWORD"])
principal = caldav.Principal(client=client, url=f"{url}dav/principals/{boss}/")
agendas = {one.url.path.rstrip("/").rpartition("/")[2]: one for one in principal.calendars()}
assert sorted(agendas) == ["agenda", "tasks"], agendas
agenda = agendas["agenda"]
made = agenda.add_event(os.environ["DAV_EVENT"])
[found] = agenda.events()
found.data = found.data.replace("SUMMARY:first", "SUMMARY:second")
found.save()
[again] = agenda.events()
assert "SUMMARY:second" in again.data
assert len(agenda.get_objects_by_sync_token()) == 1
again.delete()
assert agenda.events() == []
print("done")
"""


async def lets(desk: Desk, level: str, *, owner: str = "ada", whom: str = "bob") -> None:
    assert (await desk.call("PUT", f"privacy/{desk.ids[whom]}", {"level": level}, by=owner))[0] == 204


async def audited(desk: Desk) -> list[tuple[str, str]]:
    rows = await desk.rows("SELECT who, what, reason FROM calendar.audit WHERE what LIKE 'delegate.%' ORDER BY seq")
    assert all(str(desk.ids["ada"]) in reason for _, _, reason in rows)
    names = {str(one): name for name, one in desk.ids.items()}
    return [(names[who], what) for who, what, _ in rows]


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_the_caldav_client_writes_into_the_agenda_of_who_lets_it(desk: Desk, clients: dict[str, str], tmp_path: Path) -> None:
    await lets(desk, "write")
    (tmp_path / "client.py").write_text(CLIENT)
    told = {"DAV_PASSWORD": desk.passwords["bob"], "DAV_BOSS": str(desk.ids["ada"]), "DAV_EVENT": event("d", title="first").decode()}
    status, said = await run(desk, clients, "client.py", folder=tmp_path, **told)
    assert (status, said.strip().rpartition("\n")[2]) == (0, "done"), said
    assert await audited(desk) == [("bob", "delegate.put"), ("bob", "delegate.put"), ("bob", "delegate.delete")]
    owners = [said["owner_id"] for kind, said in await desk.facts() if kind.startswith("event.")]
    assert set(owners) == {str(desk.ids["ada"])}, "facts name whose event it is"


async def doors(desk: Desk, by: str) -> list[int]:
    """What somebody is answered who tries all doors of ada's agenda."""
    path = desk.agenda() + "x.ics"
    window = "events?from=2026-11-01T00:00:00Z&to=2026-12-31T00:00:00Z"
    (own,) = (one for one in (await desk.get("calendars"))["items"] if one["is_default"])
    body = new("secret", calendar_id=own["id"])
    seen = await desk.get(f"{window}&calendar={own['id']}", by=by)
    of_all = await desk.get(f"{window}&owner={desk.ids['ada']}", by=by)
    assert of_all == seen, "the one agenda and all of them"
    both = await desk.call("GET", f"{window}&owner={desk.ids['ada']}&calendar={own['id']}", by=by)
    assert both[0] == 422, "which of the two"
    listed = await desk.get(f"calendars?owner={desk.ids['ada']}", by=by)
    dav = [
        await desk.put(path, event("x"), by=by), await desk.dav("GET", desk.agenda() + "a.ics", by=by),
        await desk.propfind(desk.agenda(), "D:getetag", depth="1", by=by), await desk.propfind(desk.home(), "D:owner", by=by),
        await desk.sync(desk.agenda(), by=by), await desk.dav("DELETE", path, by=by),
    ]  # fmt: skip
    made, _ = await desk.call("POST", "events", body, by=by)
    return [*(one.status for one in dav), made, len(seen["items"]), len(listed["items"])]


COMES_IN, STAYS_OUT = [201, 200, 207, 207, 207, 204, 201, 1, 2], [409, 404, 404, 404, 404, 404, 404, 0, 0]


@pytest.mark.parametrize(
    ("level", "whom", "is_let_in"),
    [("write", "bob", True), ("delegate", "bob", True), ("details", "bob", False), ("delegate", "eve", False)],
    ids=["write", "delegate", "details", "another ministry"],
)
async def test_who_is_let_write_comes_in_by_all_doors_and_others_by_none(desk: Desk, level: str, whom: str, is_let_in: bool) -> None:
    await desk.put(desk.agenda() + "a.ics", event("a"))
    assert await doors(desk, whom) == STAYS_OUT
    await lets(desk, level, whom=whom)
    assert await doors(desk, whom) == (COMES_IN if is_let_in else STAYS_OUT)
    await lets(desk, "none", whom=whom)
    assert (await desk.dav("GET", desk.agenda() + "a.ics", by=whom)).status == 404, "at once"


async def test_whether_one_is_let_in_is_asked_once_for_a_home_of_many_agendas(desk: Desk) -> None:
    await lets(desk, "write")

    async def asked() -> int:
        with queries(desk.calendar.database) as sent:
            assert (await desk.propfind(desk.home(), "D:getetag", depth="1", by="bob")).status == 207
        return len(sent)

    before = await asked()
    for name in ("one", "two", "three"):
        assert (await desk.dav("MKCALENDAR", desk.agenda(agenda=name))).status == 201
    assert await asked() == before


async def test_neither_inbox_nor_the_agenda_itself_is_a_delegate_s(desk: Desk) -> None:
    await lets(desk, "delegate")
    assert (await desk.propfind(desk.agenda(agenda="inbox"), "D:getetag", by="bob")).status == 404
    hrefs = (await desk.propfind(desk.home(), "D:getetag", depth="1", by="bob")).hrefs
    assert hrefs == [desk.home(), desk.agenda(), desk.agenda(agenda="tasks")]
    named = "<D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set>"
    for path in (desk.agenda(), desk.home()):
        changed = await desk.report(path, "D:propertyupdate", named, method="PROPPATCH", by="bob")
        assert changed.status in (403, 404), path
    assert (await desk.dav("DELETE", desk.agenda(agenda="tasks"), by="bob")).status == 403
    assert (await desk.dav("MKCALENDAR", desk.agenda(agenda="other"), by="bob")).status == 409
    await desk.put(desk.agenda() + "a.ics", event("a"))
    into = f"http://parvis.test{desk.agenda('bob')}a.ics"
    assert (await desk.dav("MOVE", desk.agenda() + "a.ics", Destination=into, by="bob")).status == 403
    may = await desk.propfind(desk.agenda(), "D:current-user-privilege-set", by="bob")
    assert b"write-content" in may.body and b"<D:all/>" not in may.body


async def test_who_may_write_meets_nobody_in_the_owner_s_name(desk: Desk) -> None:
    await desk.add("lea", "interieur")
    await lets(desk, "write")
    before = await desk.said()
    refused = await desk.put(desk.agenda() + "m.ics", meeting("m", "lea"), by="bob")
    assert (refused.status, refused.precondition) == (403, "need-privileges")
    body = new(attendees=[str(desk.ids["lea"])], calendar_id=(await desk.get("calendars"))["items"][0]["id"])
    assert (await desk.call("POST", "events", body, by="bob"))[0] == 403
    assert await desk.said() == before
    await desk.put(desk.agenda() + "m.ics", meeting("m", "lea"))
    assert (await desk.put(desk.agenda() + "m.ics", event("m"), by="bob")).status == 403, "nor call it off"
    assert (await desk.dav("DELETE", desk.agenda() + "m.ics", by="bob")).status == 403
    assert await audited(desk) == []


async def test_a_delegate_invites_and_it_says_who_sent_it(desk: Desk) -> None:
    await desk.add("lea", "interieur")
    await lets(desk, "delegate")
    assert (await desk.put(desk.agenda() + "m.ics", meeting("m", "lea"), by="bob")).status == 201
    (theirs,) = await lying(desk, "lea")
    organizer = next(line for line in theirs.splitlines() if line.startswith("ORGANIZER"))
    assert organizer == 'ORGANIZER;SENT-BY="mailto:bob@example.org":mailto:ada@example.org'
    (invited,) = [said for kind, said in await desk.facts() if kind == "meeting.invited.v1"]
    assert (invited["organizer_id"], invited["attendee_id"]) == (str(desk.ids["ada"]), str(desk.ids["lea"]))
    assert len(await inbox(desk, "lea")) == 1 and await audited(desk) == [("bob", "delegate.put")]
    mine = (await desk.dav("GET", desk.agenda() + "m.ics")).body.replace(b"\r\n ", b"")
    assert (await desk.put(desk.agenda() + "m.ics", mine.replace("Réunion".encode(), b"Point"))).status == 204
    (theirs,) = await lying(desk, "lea")
    assert "SENT-BY" not in theirs, "this time she did it herself"
    found = (await desk.get("events?from=2026-11-01T00:00:00Z&to=2026-12-31T00:00:00Z"))["items"][0]
    moved = {"starts_at": "2026-11-25T09:00:00Z", "ends_at": "2026-11-25T10:00:00Z"}
    assert (await desk.call("PATCH", f"events/{found['event_id']}", moved, by="bob", If_Match=found["etag"]))[0] == 200
    assert (await desk.call("DELETE", f"events/{found['event_id']}", by="bob"))[0] == 204
    assert "STATUS:CANCELLED" in (await lying(desk, "lea"))[0]
    assert await audited(desk) == [("bob", "delegate.put"), ("bob", "delegate.put"), ("bob", "delegate.delete")]


async def test_a_delegate_answers_and_it_says_who_did(desk: Desk) -> None:
    await desk.add("lea", "interieur")
    invites = event("m", "ORGANIZER:mailto:lea@example.org", person("lea", "PARTSTAT=ACCEPTED"), person("ada"))
    assert (await desk.put(desk.agenda("lea") + "m.ics", invites, by="lea")).status == 201
    (invitation,) = (await desk.get("invitations"))["items"]
    path, answer = f"meetings/{invitation['meeting_id']}/answer", {"answer": "accepted", "agent_id": str(desk.ids["ada"])}
    for level in ("free-busy", "write"):
        await lets(desk, level)
        assert (await desk.call("POST", path, answer, by="bob"))[0] == 404
    await lets(desk, "delegate")
    assert (await desk.call("POST", path, answer, by="eve"))[0] == 404
    assert (await desk.call("POST", path, answer, by="bob"))[0] == 204
    kept = (await desk.dav("GET", desk.agenda("lea") + "m.ics", by="lea")).body.decode().replace("\r\n ", "")
    line = next(one for one in kept.splitlines() if one.startswith("ATTENDEE") and "ada@" in one)
    assert partstat(kept, "ada") == "ACCEPTED" and 'SENT-BY="mailto:bob@example.org"' in line
    (answered,) = [said for kind, said in await desk.facts() if kind == "meeting.answered.v1"]
    assert answered["attendee_id"] == str(desk.ids["ada"]) and await audited(desk) == [("bob", "delegate.answer")]


async def told(desk: Desk, by: str) -> list[tuple[str, str]]:
    names = {str(one): name for name, one in desk.ids.items()}
    return sorted((names[one["agent_id"]], one["level"]) for one in (await desk.get("privacy/received", by=by))["items"])


async def writes_for(desk: Desk, by: str, *, whose: str = "bob") -> list[str] | None:
    """What a principal says of itself to a client like DAVx5; None: nothing."""
    answer = await desk.propfind(f"/dav/principals/{desk.ids[whose]}/", "CS:calendar-proxy-write-for", "D:displayname", by=by)
    assert answer.texts(".//D:displayname")[0], "the principal itself is there"
    found = answer.root.find(".//D:propstat[D:status='HTTP/1.1 200 OK']//CS:calendar-proxy-write-for", NAMESPACES)
    return None if found is None else [one.text or "" for one in found]


async def test_one_is_told_whose_agendas_one_may_use_and_nobody_else_is(desk: Desk) -> None:
    for name in ("lea", "max", "zoe"):
        await desk.add(name, "interieur")
    assert await told(desk, "bob") == [] == await writes_for(desk, "bob")
    for owner, level in (("ada", "delegate"), ("lea", "details"), ("max", "write"), ("zoe", "none"), ("eve", "delegate")):
        await lets(desk, level, owner=owner)
    assert await told(desk, "bob") == [("ada", "delegate"), ("lea", "details"), ("max", "write")], "another ministry's never holds"
    theirs = sorted(f"/dav/principals/{desk.ids[one]}/" for one in ("ada", "max"))
    assert sorted(await writes_for(desk, "bob") or ()) == theirs
    assert await writes_for(desk, "lea") is None, "a colleague sees the principal, and not for whom it acts"
    assert await told(desk, "lea") == [] == await told(desk, "eve")
    await lets(desk, "free-busy", owner="max")
    assert await told(desk, "bob") == [("ada", "delegate"), ("lea", "details")], "at once"
    assert {one["level"] for one in (await desk.get("privacy", by="max"))["items"]} == set(), "what holds for everybody needs no line"


async def test_whose_owner_has_left_is_told_no_more(desk: Desk) -> None:
    await lets(desk, "delegate")
    await leaves(desk, "ada")
    assert await told(desk, "bob") == [] == await writes_for(desk, "bob"), "nothing in them changes any more"


async def test_a_client_finds_the_agendas_that_it_may_write_by_itself(desk: Desk) -> None:
    await lets(desk, "write")
    (owner,) = await writes_for(desk, "bob") or ()
    (home,) = (await desk.propfind(owner, "C:calendar-home-set", by="bob")).texts(".//C:calendar-home-set/D:href")
    listed = await desk.propfind(home, "D:resourcetype", depth="1", by="bob")
    assert listed.hrefs == [desk.home(), desk.agenda(), desk.agenda(agenda="tasks")]


async def test_what_was_given_and_received_comes_in_pages(desk: Desk) -> None:
    others = [f"agent{number}" for number in range(5)]
    for name in others:
        await desk.add(name, "interieur")
        await lets(desk, "details", owner=name)
        await lets(desk, "details", whom=name)
    for path, by in (("privacy/received", "bob"), ("privacy", "ada")):
        for limit, lengths in ((2, [2, 2, 1]), (5, [5])):
            seen, after = [], ""
            while True:
                page = await desk.get(f"{path}?limit={limit}{after}", by=by)
                seen.append([one["agent_id"] for one in page["items"]])
                if page["next"] is None:
                    break
                after = f"&after={page['next']}"
            assert [len(some) for some in seen] == lengths
            assert sorted(sum(seen, [])) == sorted(str(desk.ids[name]) for name in others)
