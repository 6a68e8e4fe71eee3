"""An event that becomes a meeting while somebody is about to change it: they are told to ask again, and no invitation is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from parvis_calendar import queries
from parvis_calendar.store import objects

from .conftest import Desk, event
from .test_meetings import lying, meeting


class Held:
    """The first who looks is held up after they have looked, until they are let go."""

    def __init__(self, look: Callable[..., Any]) -> None:
        self.look, self.has_looked, self.may_go = look, asyncio.Event(), asyncio.Event()

    async def __call__(self, *given: Any) -> Any:
        found = await self.look(*given)
        if not self.has_looked.is_set():
            self.has_looked.set()
            await self.may_go.wait()
        return found


async def a_meeting_meanwhile(desk: Desk, held: Held, act: Any) -> Any:
    """What is answered to `act`, which has looked at a plain event before it became a meeting."""
    late = asyncio.ensure_future(act)
    await held.has_looked.wait()
    assert (await desk.put(f"{desk.agenda()}m.ics", meeting("m", "bob"))).status == 204
    held.may_go.set()
    return await late


@pytest.fixture
async def plain(desk: Desk) -> Desk:
    assert (await desk.put(f"{desk.agenda()}m.ics", event("m"))).status == 201
    return desk


async def test_a_change_that_did_not_see_the_meeting_is_asked_for_again(plain: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(queries.object_named)
    monkeypatch.setattr(queries, "object_named", held)
    late = await a_meeting_meanwhile(plain, held, plain.put(f"{plain.agenda()}m.ics", event("m", title="late")))
    assert late.status == 503 and "Retry-After" in late.headers
    assert "ORGANIZER" in (await plain.dav("GET", f"{plain.agenda()}m.ics")).body.decode()
    assert (await plain.put(f"{plain.agenda()}m.ics", event("m", title="late"))).status == 204, "asked again, it calls the meeting off"
    (theirs,) = await lying(plain, "bob")
    assert "STATUS:CANCELLED" in theirs


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
async def test_a_deletion_that_did_not_see_the_meeting_is_asked_for_again(plain: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite nobody comes between: it looks and deletes as the one writer."""
    held = Held(objects.find)
    monkeypatch.setattr(objects, "find", held)
    late = await a_meeting_meanwhile(plain, held, plain.dav("DELETE", f"{plain.agenda()}m.ics"))
    assert late.status == 503 and "Retry-After" in late.headers
    (theirs,) = await lying(plain, "bob")
    assert "STATUS:CANCELLED" not in theirs
    assert (await plain.dav("DELETE", f"{plain.agenda()}m.ics")).status == 204
    (theirs,) = await lying(plain, "bob")
    assert "STATUS:CANCELLED" in theirs
