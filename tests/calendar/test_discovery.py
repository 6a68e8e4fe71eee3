"""From an address and an app password to one's agendas, as clients find their way."""

import pytest

from .conftest import NAMESPACES, Desk

FRONTS = ["/", "/.well-known/caldav", "/principals/", "/dav/"]


@pytest.mark.parametrize("path", FRONTS)
async def test_whoever_comes_without_a_password_is_asked_for_one_by_basic(desk: Desk, path: str) -> None:
    answer = await desk.propfind(path, "D:current-user-principal", by="")
    assert (answer.status, answer.headers["WWW-Authenticate"].partition(" ")[0]) == (401, "Basic")


@pytest.mark.parametrize("path", FRONTS)
async def test_the_principal_is_told_directly(desk: Desk, path: str) -> None:
    answer = await desk.propfind(path, "D:current-user-principal", "D:resourcetype")
    assert answer.status == 207
    assert answer.texts(".//D:current-user-principal/D:href") == [desk.principal()]


async def test_a_browser_is_led_on(desk: Desk) -> None:
    answer = await desk.dav("GET", "/.well-known/caldav", by="")
    assert (answer.status, answer.headers["Location"]) == (301, "/dav/principals/")


@pytest.mark.parametrize("path", [*FRONTS, "principal", "home", "agenda"])
async def test_everybody_may_ask_what_is_spoken_here(desk: Desk, path: str) -> None:
    path = {"principal": desk.principal(), "home": desk.home(), "agenda": desk.agenda()}.get(path, path)
    answer = await desk.dav("OPTIONS", path, by="")
    assert answer.status == 200
    assert {"1", "3", "calendar-access", "calendar-auto-schedule"} <= set(answer.headers["DAV"].split(", "))


async def test_the_principal_leads_to_the_home_inbox_and_outbox(desk: Desk) -> None:
    answer = await desk.propfind(
        desk.principal(),
        "C:calendar-home-set",
        "C:schedule-inbox-URL",
        "C:schedule-outbox-URL",
        "C:calendar-user-address-set",
        "D:displayname",
    )
    assert answer.texts(".//C:calendar-home-set/D:href") == [desk.home()]
    assert answer.texts(".//C:schedule-inbox-URL/D:href") == [desk.agenda(agenda="inbox")]
    assert answer.texts(".//C:schedule-outbox-URL/D:href") == [desk.agenda(agenda="outbox")]
    assert "mailto:ada@example.org" in answer.texts(".//C:calendar-user-address-set/D:href")
    assert answer.texts(".//D:displayname") == ["Ada Martin"]


async def test_the_home_holds_an_agenda_a_list_of_tasks_inbox_and_outbox(desk: Desk) -> None:
    answer = await desk.propfind(desk.home(), "D:resourcetype", "C:supported-calendar-component-set", depth="1")
    kinds = {
        href: [one.split("}")[1] for one in [e.tag for e in answer.of(href).find(".//D:resourcetype", NAMESPACES)]] for href in answer.hrefs
    }
    assert kinds == {
        desk.home(): ["collection"],
        desk.agenda(): ["collection", "calendar"],
        desk.agenda(agenda="tasks"): ["collection", "calendar"],
        desk.agenda(agenda="inbox"): ["collection", "schedule-inbox"],
        desk.agenda(agenda="outbox"): ["collection", "schedule-outbox"],
    }
    tasks = answer.of(desk.agenda(agenda="tasks")).findall(".//C:comp", NAMESPACES)
    assert [one.get("name") for one in tasks] == ["VTODO"]


async def test_what_is_not_there_is_left_out_for_those_who_want_little(desk: Desk) -> None:
    for headers in ({"Prefer": "return=minimal"}, {"Brief": "t"}):
        assert b"404" not in (await desk.propfind(desk.agenda(), "D:displayname", "D:quota-used-bytes", **headers)).body
    assert b"404" in (await desk.propfind(desk.agenda(), "D:displayname", "D:quota-used-bytes")).body


async def test_a_collection_without_its_slash_is_answered_as_with_it(desk: Desk) -> None:
    assert (await desk.propfind(desk.agenda()[:-1], "D:displayname")).hrefs == [desk.agenda()]


async def test_depth_infinity_is_refused_by_name(desk: Desk) -> None:
    answer = await desk.propfind(desk.home(), "D:displayname", depth="infinity")
    assert (answer.status, answer.precondition) == (403, "propfind-finite-depth")


async def test_a_home_is_made_once_and_its_agendas_are_told(desk: Desk) -> None:
    assert await desk.said() == ["calendar.created.v1"] * 6
    from parvis_contracts.directory import AgentJoined

    one = desk.ids["ada"]
    await desk.hears(AgentJoined(at=desk.clock(), about=str(one), agent_id=one, ministry_id=desk.ministries["interieur"], kind="agent"))
    assert await desk.said() == ["calendar.created.v1"] * 6


async def test_who_has_left_reads_and_changes_nothing_any_more(desk: Desk) -> None:
    from parvis_contracts.directory import AgentLeft, AgentReinstated

    from .conftest import event

    one, ministry = desk.ids["ada"], desk.ministries["interieur"]
    await desk.hears(AgentLeft(at=desk.clock(), about=str(one), agent_id=one, ministry_id=ministry))
    refused = await desk.put(desk.agenda() + "a.ics", event("a"))
    assert (refused.status, refused.precondition) == (403, "need-privileges")
    assert (await desk.said())[-1] == "leaver.settled.v1"
    await desk.hears(AgentReinstated(at=desk.clock(), about=str(one), agent_id=one, ministry_id=ministry))
    assert (await desk.put(desk.agenda() + "a.ics", event("a"))).status == 201


async def test_people_are_found_by_name_and_address_in_one_s_own_ministry(desk: Desk) -> None:
    search = "<D:property-search><D:prop><D:displayname/></D:prop><D:match>{}</D:match></D:property-search>"
    wanted = "<D:prop><D:displayname/><C:calendar-user-address-set/></D:prop>"
    found = await desk.report("/dav/principals/", "D:principal-property-search", search.format("BÓB") + wanted)
    assert found.hrefs == [desk.principal("bob")]
    assert "mailto:bob@example.org" in found.texts(".//C:calendar-user-address-set/D:href")
    assert (await desk.report("/dav/principals/", "D:principal-property-search", search.format("eve") + wanted)).hrefs == []
