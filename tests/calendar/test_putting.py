"""Objects put, read, changed and deleted: the octets stay what they were, and tags tell what has changed."""

import asyncio

import pytest

from .conftest import Desk, calendar, event

A = event("a")


async def test_an_object_is_given_back_as_it_was_put(desk: Desk) -> None:
    octets = event("a", 'X-ODD;P="é,;:":  folded \\, text\r\n  and on', "CATEGORIES:x,y").replace(b"\r\nSUMMARY", b"\nSUMMARY")
    made = await desk.put(desk.agenda() + "a.ics", octets)
    assert made.status == 201
    got = await desk.dav("GET", desk.agenda() + "a.ics")
    assert (got.status, got.body, got.headers["ETag"]) == (200, octets, made.headers["ETag"])
    assert got.headers["Content-Type"].startswith("text/calendar")


async def test_what_is_said_when_an_event_comes_moves_and_goes(desk: Desk) -> None:
    path, before = desk.agenda() + "a.ics", len(await desk.said())
    await desk.put(path, A)
    await desk.put(path, event("a", title="other words"))
    await desk.put(path, event("a", start="DTSTART:20261125T090000Z", end="DTEND:20261125T100000Z"))
    await desk.dav("DELETE", path)
    assert (await desk.said())[before:] == ["event.scheduled.v1", "event.rescheduled.v1", "event.cancelled.v1"]


@pytest.mark.parametrize(
    "headers, status",
    [({"If_None_Match": "*"}, 412), ({"If_Match": '"other"'}, 412), ({"If_Match": "*"}, 204), ({"If": '(["other"])'}, 412), ({}, 204)],
)
async def test_a_change_is_made_only_to_what_was_read(desk: Desk, headers: dict[str, str], status: int) -> None:
    await desk.put(desk.agenda() + "a.ics", A)
    assert (await desk.put(desk.agenda() + "a.ics", event("a", title="new"), **headers)).status == status


async def test_an_etag_that_was_read_allows_the_change(desk: Desk) -> None:
    etag = (await desk.put(desk.agenda() + "a.ics", A)).headers["ETag"]
    assert (await desk.put(desk.agenda() + "a.ics", event("a", title="new"), If_Match=etag)).status == 204
    assert (await desk.dav("DELETE", desk.agenda() + "a.ics", If_Match=etag)).status == 412
    assert (await desk.dav("DELETE", desk.agenda() + "a.ics")).status == 204
    assert (await desk.dav("GET", desk.agenda() + "a.ics")).status == 404


async def test_of_eight_who_create_the_same_name_one_does(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.put(desk.agenda() + "a.ics", event(f"u{n}"), If_None_Match="*") for n in range(8)))
    assert sorted(one.status for one in answers) == [201] + [412] * 7
    assert (await desk.dav("DELETE", desk.agenda() + "a.ics")).status == 204
    assert (await desk.dav("GET", desk.agenda() + "a.ics")).status == 404


async def test_of_eight_who_create_the_same_uid_one_does(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.put(f"{desk.agenda()}{n}.ics", A) for n in range(8)))
    assert sorted(one.status for one in answers) == [201] + [409] * 7


async def test_a_uid_that_is_taken_is_refused_with_the_href_that_has_it(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a%20b.ics", A)
    refused = await desk.put(desk.agenda() + "b.ics", A)
    assert (refused.status, refused.precondition) == (409, "no-uid-conflict")
    assert refused.texts(".//D:href") == [desk.agenda() + "a%20b.ics"]


@pytest.mark.parametrize("name", ["a@b+c:d;e.ics", "a%40b%2Bc%3Ad%3Be.ics", "%C3%A9t%C3%A9%20%25.ics", "A(1)&'x'.ics", "no-extension"])
async def test_a_name_is_found_again_however_it_is_written(desk: Desk, name: str) -> None:
    assert (await desk.put(desk.agenda() + name, A)).status == 201
    assert (await desk.dav("GET", desk.agenda() + name)).body == A
    [listed] = (await desk.propfind(desk.agenda(), "D:getetag", depth="1")).hrefs[1:]
    assert (await desk.dav("GET", listed)).body == A
    asked = f"<D:prop><D:getetag/></D:prop><D:href>{(desk.agenda() + name).replace('&', '&amp;')}</D:href>"
    assert (await desk.report(desk.agenda(), "C:calendar-multiget", asked)).hrefs == [desk.agenda() + name]


@pytest.mark.parametrize(
    "octets, status, precondition",
    [
        (b"no calendar", 403, "valid-calendar-data"),
        (calendar("BEGIN:VEVENT", "UID:a", "DTSTAMP:20261101T000000Z", "END:VEVENT"), 403, "valid-calendar-data"),
        (calendar("BEGIN:VTODO", "UID:a", "DTSTAMP:20261101T000000Z", "END:VTODO"), 403, "supported-calendar-component"),
        (event("a", "X-LONG:" + "x" * 2**20), 403, "max-resource-size"),
        (event("a").replace(b"VERSION:2.0", b"METHOD:REQUEST"), 403, "valid-calendar-object-resource"),
    ],
)
async def test_what_is_not_taken_is_refused_by_the_name_of_its_rule(desk: Desk, octets: bytes, status: int, precondition: str) -> None:
    refused = await desk.put(desk.agenda() + "a.ics", octets)
    assert (refused.status, refused.precondition) == (status, precondition)
    assert (await desk.propfind(desk.agenda(), "D:getetag", depth="1")).hrefs == [desk.agenda()]


async def test_nobody_sees_another_s_agenda(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a.ics", A)
    for by in ("bob", "eve"):
        assert (await desk.dav("GET", desk.agenda() + "a.ics", by=by)).status == 404
        assert (await desk.propfind(desk.agenda(), "D:resourcetype", by=by)).status == 404
        assert (await desk.put(desk.agenda() + "b.ics", event("b"), by=by)).status == 409
        assert (await desk.dav("DELETE", desk.agenda() + "a.ics", by=by)).status == 404


async def test_an_event_moves_to_another_agenda(desk: Desk) -> None:
    await desk.dav("MKCALENDAR", desk.agenda(agenda="other"))
    await desk.put(desk.agenda() + "a.ics", A)
    token = (await desk.sync(desk.agenda())).texts("D:sync-token")[0]
    moved = await desk.dav("MOVE", desk.agenda() + "a.ics", Destination=f"http://parvis.test{desk.agenda(agenda='other')}b.ics")
    assert moved.status == 201
    assert (await desk.dav("GET", desk.agenda(agenda="other") + "b.ics")).body == A
    gone = await desk.sync(desk.agenda(), token)
    assert gone.hrefs == [desk.agenda() + "a.ics"] and b"404" in gone.body
    assert [one for one in await desk.said() if one.startswith("event")] == ["event.scheduled.v1"], "it is the event that it was"
