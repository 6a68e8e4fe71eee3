"""What hung or killed a peer is refused by name, or taken and bounded: a week is still read. Its CPU is measured in a bench."""

import pytest

from . import hostile
from .conftest import Desk, event

OBJECTS = {what: (octets, precondition) for what, octets, precondition in hostile.objects()}
REQUESTS = {what: (method, body, status) for what, method, body, status in hostile.requests()}


@pytest.mark.parametrize("what", OBJECTS)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_an_object_is_refused_by_name_or_hangs_nobody(desk: Desk, what: str) -> None:
    octets, precondition = OBJECTS[what]
    answer = await desk.put(desk.agenda() + "hostile.ics", octets)
    if precondition:
        assert (answer.status, answer.precondition) == (403, precondition)
    else:
        assert answer.status == 201
        assert (await desk.dav("GET", desk.agenda() + "hostile.ics")).body == octets
    assert (await desk.put(desk.agenda() + "a.ics", event("another"))).status == 201
    for expand in ("<C:calendar-data/>", '<C:calendar-data><C:expand start="20261123T000000Z" end="20261130T000000Z"/></C:calendar-data>'):
        week = await desk.query(desk.agenda(), "20261123T000000Z", "20261130T000000Z", data=expand)
        assert week.status == 207 and desk.agenda() + "a.ics" in week.hrefs
    far = await desk.query(desk.agenda(), "20991123T000000Z", "20991130T000000Z")
    assert far.status == 207


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_a_request_is_refused_as_dav_refuses(desk: Desk, what: str) -> None:
    method, body, status = REQUESTS[what]
    answer = await desk.dav(method, desk.agenda(), body, Depth="1")
    assert answer.status == status and answer.body.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n<D:error')
    assert b"root:" not in answer.body
