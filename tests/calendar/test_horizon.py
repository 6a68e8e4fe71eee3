"""What is written down of recurring events goes on as time does, and follows what an agenda says of its zone and of being busy."""

import pytest
import sqlalchemy as sa
from parvis_calendar import actions

from .conftest import DECLARED, Desk, event

DAILY = event("daily", "RRULE:FREQ=DAILY")
FLOATING = event("floating", start="DTSTART:20261124T080000", end="DTEND:20261124T083000")
BUSY = '<C:time-range start="20261123T000000Z" end="20261130T000000Z"/>'


async def last_written(desk: Desk) -> int:
    [(last,)] = await desk.rows("SELECT max(starts_at) FROM calendar.instance")
    return int(last)


async def busy(desk: Desk, times: str = BUSY) -> list[str]:
    text = (await desk.report(desk.home(), "C:free-busy-query", times)).body.decode()
    return [line.partition(":")[2] for line in text.split("\r\n") if line.startswith("FREEBUSY")]


async def test_as_time_passes_more_is_written_down(desk: Desk) -> None:
    await desk.put(desk.agenda() + "daily", DAILY)
    before = await last_written(desk)
    assert await actions.renew_expansions(desk.calendar.database, desk.clock) == 0, "nothing is due yet"
    desk.later(days=100)
    assert await actions.renew_expansions(desk.calendar.database, desk.clock) == 1
    assert 99 <= (await last_written(desk) - before) // 86_400 <= 101
    assert await actions.renew_expansions(desk.calendar.database, desk.clock) == 0
    far = await busy(desk, '<C:time-range start="20290101T000000Z" end="20290103T000000Z"/>')
    assert far == ["20290101T090000Z/20290101T100000Z", "20290102T090000Z/20290102T100000Z"]


async def test_an_event_that_cannot_be_read_holds_up_no_other(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one", "two", "three"):
        await desk.put(desk.agenda() + name, event(name, "RRULE:FREQ=DAILY"))
    [(bad,)] = await desk.rows("SELECT object_id FROM calendar.instance ORDER BY object_id LIMIT 1")
    async with desk.calendar.database.transaction() as tx:
        await tx.execute(sa.text("UPDATE calendar.object SET octets = :octets WHERE id = :id"), {"octets": b"\xff no event", "id": bad})
    before = await last_written(desk)
    desk.later(days=100)
    [sweep] = [one for one in desk.calendar.sweeps if one.name == "horizon"]
    for _ in range(2):
        await sweep.action()
    written = {row[0]: int(row[1]) for row in await desk.rows("SELECT object_id, max(starts_at) FROM calendar.instance GROUP BY object_id")}
    assert written.pop(bad) == before and all(last > before for last in written.values()) and len(written) == 2
    assert caplog.text.count("is left for the next time") == 2, "it is tried again at each turn"


async def test_another_zone_of_the_agenda_moves_what_floats(desk: Desk) -> None:
    await desk.put(desk.agenda() + "floating", FLOATING)
    assert await busy(desk) == ["20261124T070000Z/20261124T073000Z"], "eight o'clock in Paris"
    zone = "<C:calendar-timezone-id>Indian/Reunion</C:calendar-timezone-id>"
    changed = await desk.dav(
        "PROPPATCH", desk.agenda(), f"<D:propertyupdate {DECLARED}><D:set><D:prop>{zone}</D:prop></D:set></D:propertyupdate>"
    )
    assert changed.texts(".//D:status") == ["HTTP/1.1 200 OK"]
    assert await busy(desk) == ["20261124T040000Z/20261124T043000Z"], "eight o'clock in Saint-Denis"


async def test_an_agenda_that_makes_nobody_busy_is_not_counted(desk: Desk) -> None:
    await desk.put(desk.agenda() + "a", event("a"))
    for inside, expected in (("transparent", []), ("opaque", ["20261124T090000Z/20261124T100000Z"])):
        prop = f"<C:schedule-calendar-transp><C:{inside}/></C:schedule-calendar-transp>"
        await desk.dav(
            "PROPPATCH", desk.agenda(), f"<D:propertyupdate {DECLARED}><D:set><D:prop>{prop}</D:prop></D:set></D:propertyupdate>"
        )
        assert await busy(desk) == expected


async def test_an_agenda_that_is_deleted_takes_its_events_and_their_hours_along(desk: Desk) -> None:
    other = desk.agenda(agenda="other")
    assert (await desk.dav("MKCALENDAR", other)).status == 201
    await desk.put(other + "a", event("a"))
    assert await busy(desk)
    assert (await desk.dav("DELETE", other)).status == 204
    assert await busy(desk) == [] and (await desk.said())[-1] == "event.cancelled.v1"
    assert (await desk.dav("GET", other + "a")).status == 404
    assert (await desk.dav("DELETE", desk.agenda())).precondition == "default-calendar-needed"


async def test_of_several_properties_all_are_set_or_none(desk: Desk) -> None:
    props = "<D:displayname>Autre</D:displayname><D:getetag>1</D:getetag>"
    answer = await desk.dav(
        "PROPPATCH", desk.agenda(), f"<D:propertyupdate {DECLARED}><D:set><D:prop>{props}</D:prop></D:set></D:propertyupdate>"
    )
    assert sorted(one.split()[1] for one in answer.texts(".//D:status")) == ["403", "424"]
    assert (await desk.propfind(desk.agenda(), "D:displayname")).texts(".//D:displayname") == ["Agenda"]
    mine = '<X:note xmlns:X="urn:x" a="1">é &lt;<X:b/></X:note>'
    await desk.dav("PROPPATCH", desk.agenda(), f"<D:propertyupdate {DECLARED}><D:set><D:prop>{mine}</D:prop></D:set></D:propertyupdate>")
    kept = (
        await desk.dav(
            "PROPFIND", desk.agenda(), '<D:propfind xmlns:D="DAV:"><D:prop><note xmlns="urn:x"/></D:prop></D:propfind>', Depth="0"
        )
    ).body
    assert 'a="1">é &lt;'.encode() in kept
