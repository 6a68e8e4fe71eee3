"""An event of one's own is changed on the web: what is said of it, when it is, and who comes."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from parvis_kit.testing.waiting import until

from .conftest import Visitor

FIELD = re.compile(r'<input [^>]*name="(\w+)"[^>]*value="([^"]*)"')
CHOSEN = re.compile(r'<option value="(\d+)" selected>')
DAY = datetime.now(UTC) + timedelta(days=9)


def form_of(visitor: Visitor) -> dict[str, str]:
    """Of the event's page, as a browser would send it."""
    inside = visitor.text.partition('action="/agenda/events/')[2].partition("</form>")[0]
    found = {name: unescape(value) for name, value in FIELD.findall(inside)}
    return found | ({"minutes": CHOSEN.findall(inside)[0]} if "minutes" in inside else {}) | {"do": "make"}


async def made(visitor: Visitor, **more: Any) -> tuple[str, str]:
    """A title that nobody else has, and where the event's page is."""
    title = f"Point {uuid4().hex[:8]}"
    body = {
        "title": title, "starts_at": f"{DAY:%Y-%m-%d}T09:00:00Z", "ends_at": f"{DAY:%Y-%m-%d}T09:50:00Z", "location": "Salle 1", **more,
    }  # fmt: skip
    token = {"Authorization": f"Bearer {visitor.suite.person('agent')['token']}", "Idempotency-Key": uuid4().hex}
    async with visitor.session.post(f"{visitor.suite.base}/api/calendar/v1/events", json=body, headers=token) as answer:
        assert answer.status == 201, await answer.text()
        return title, f"/agenda/events/{(await answer.json())['event_id']}"


async def read(visitor: Visitor, way: str, who: str = "agent") -> Any:
    url = f"{visitor.suite.base}/api/calendar/v1/events/{way.rpartition('/')[2]}"
    async with visitor.session.get(url, headers={"Authorization": f"Bearer {visitor.suite.person(who)['token']}"}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_an_event_is_changed_from_the_agenda_and_stays_as_it_is_where_nothing_was_typed(visit: Any) -> None:
    visitor = await visit("agent")
    title, way = await made(visitor)
    await visitor.see(f"/agenda?day={DAY:%Y-%m-%d}")
    assert f'<a href="{way}">Modifier<span class="unseen"> {title}' in visitor.text
    await visitor.see(way)
    form, before = form_of(visitor), await read(visitor, way)
    assert (form["title"], form["place"], form["minutes"]) == (title, "Salle 1", "50")
    await visitor.post(way, form)
    assert visitor.status == 200 and (await read(visitor, way)) == before, "nothing was typed"
    await visitor.post(way, form | {"title": f"{title} bis", "place": "", "minutes": "90"})
    assert visitor.status == 200 and 'id="done"' in visitor.text and f"{title} bis" in visitor.text
    found = await read(visitor, way)
    assert (found["title"], found["place"], found["starts_at"]) == (f"{title} bis", "", before["starts_at"])
    assert datetime.fromisoformat(found["ends_at"]) - datetime.fromisoformat(found["starts_at"]) == timedelta(minutes=90)


async def test_guests_are_asked_anew_when_the_hour_is_another_and_not_when_the_title_is(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    guest = visitor.suite.person("colleague")
    title, way = await made(visitor, attendees=[guest["id"]])

    async def answered() -> str:
        return next(one["answer"] for one in (await read(visitor, way))["attendees"] if one["email"] == guest["email"])

    async def is_invited() -> bool:
        return title in await colleague.see("/agenda")

    await until(is_invited, "the invitation is there", 60)
    await colleague.post(f"/agenda/meetings/{way.rpartition('/')[2]}/answer", {"answer": "accepted"})

    async def is_accepted() -> bool:
        return await answered() == "accepted"

    await until(is_accepted, "the answer is there", 60)
    await visitor.see(way)
    assert form_of(visitor)["email"] == guest["email"] and "elles répondent à nouveau" in visitor.text
    await visitor.post(way, form_of(visitor) | {"title": f"{title} bis"})
    assert await answered() == "accepted"
    await visitor.see(way)
    await visitor.post(way, form_of(visitor) | {"hour": "16:00"})
    assert await answered() == "needs-action"
    await visitor.see(way)
    found = await visitor.post(way, form_of(visitor) | {"do": "find", "minutes": "30"})
    slot = re.search(r'name="slot" value="([^"]+)"', found)
    assert slot and f"{title} bis" in found
    await visitor.post(way, form_of(visitor) | {"do": "", "slot": slot[1], "minutes": "30"})
    assert datetime.fromisoformat((await read(visitor, way))["starts_at"]) == datetime.fromisoformat(slot[1])
    await visitor.see(way)
    await visitor.post(way, form_of(visitor) | {"email": ""})
    assert (await read(visitor, way))["attendees"] == []

    async def is_gone() -> bool:
        return title not in (await colleague.see("/agenda")).partition('id="events"')[0]

    await until(is_gone, "who is no longer invited is told", 60)


async def test_what_was_changed_elsewhere_meanwhile_is_not_written_over(visit: Any) -> None:
    visitor = await visit("agent")
    title, way = await made(visitor)
    await visitor.see(way)
    form = form_of(visitor)
    await visitor.post(way, form | {"place": "Salle 2"})
    await visitor.see(way)
    await visitor.post(way, form | {"place": "Salle 3"})
    assert visitor.status == 412 and "Salle 3" in visitor.text, visitor.text
    assert (await read(visitor, way))["place"] == "Salle 2"
    await visitor.post(way, form_of(visitor) | {"place": "Salle 3"})
    assert (await read(visitor, way))["place"] == "Salle 3", "once they have been told"


async def test_an_hour_of_a_series_moves_all_of_it_and_a_whole_day_keeps_its_date(visit: Any) -> None:
    visitor = await visit("agent")
    _, way = await made(visitor, recurrence="FREQ=WEEKLY;COUNT=3")
    await visitor.see(way)
    assert "toutes ses dates changent" in visitor.text and form_of(visitor)["day"] == f"{DAY:%Y-%m-%d}"
    await visitor.post(way, form_of(visitor) | {"hour": "15:00"})
    last = f"{DAY + timedelta(weeks=2):%Y-%m-%d}"
    events = (await visitor.see(f"/agenda?view=list&day={last}")).partition(f'href="{way}"')[0].rpartition('<div class="slot">')[2]
    assert "15:00</time>" in events
    uid, person = uuid4().hex, visitor.suite.person("agent")
    dates = [f"DTSTART;VALUE=DATE:{DAY:%Y%m%d}", f"DTEND;VALUE=DATE:{DAY + timedelta(days=1):%Y%m%d}"]
    inside = ["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20261101T000000Z", *dates, f"SUMMARY:{uid}", "END:VEVENT"]
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//Test//EN", *inside, "END:VCALENDAR", ""]
    headers = {"Authorization": aiohttp.encode_basic_auth(person["email"], person["app_password"]), "Content-Type": "text/calendar"}
    async with aiohttp.ClientSession(headers=headers) as client:
        async with client.put(f"{person['dav']['calendar']}{uid}.ics", data="\r\n".join(lines)) as answer:
            assert answer.status == 201
    text = await visitor.see(f"/agenda?view=list&day={DAY:%Y-%m-%d}")
    whole = re.findall(r'href="(/agenda/events/[0-9a-f-]+)"', text.partition(f"{uid}</span></a>")[0])[-1]
    await visitor.see(whole)
    assert "Toute la journée" in visitor.text and 'name="hour"' not in visitor.text
    await visitor.post(whole, form_of(visitor) | {"title": f"{uid} bis"})
    found = await read(visitor, whole)
    assert (found["title"], found["day"]) == (f"{uid} bis", f"{DAY:%Y-%m-%d}")


@pytest.mark.parametrize(
    "wrong, field",
    [({"title": " "}, "title"), ({"hour": "25:00"}, "hour"), ({"day": "demain"}, "day"), ({"email": "x@example.org"}, "email")],
)
async def test_what_cannot_be_is_told_at_its_field_and_nothing_is_changed(visit: Any, wrong: dict[str, str], field: str) -> None:
    visitor = await visit("agent")
    _, way = await made(visitor)
    before = await read(visitor, way)
    await visitor.see(way)
    await visitor.post(way, form_of(visitor) | wrong)
    assert visitor.status == 422 and f'id="error-{field}"' in visitor.text and next(iter(wrong.values())) in visitor.text
    assert await read(visitor, way) == before


async def test_an_event_of_others_is_not_changed_here(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    title, way = await made(visitor, attendees=[visitor.suite.person("colleague")["id"]])
    theirs = ""

    async def is_there() -> bool:
        nonlocal theirs
        person = visitor.suite.person("colleague")
        query = {"from": f"{DAY:%Y-%m-%d}T00:00:00Z", "to": f"{DAY + timedelta(days=1):%Y-%m-%d}T00:00:00Z"}
        headers = {"Authorization": f"Bearer {person['token']}"}
        async with visitor.session.get(f"{visitor.suite.base}/api/calendar/v1/events", params=query, headers=headers) as answer:
            theirs = next((one["event_id"] for one in (await answer.json())["items"] if one["title"] == title), "")
        return bool(theirs)

    await until(is_there, "it is in the colleague's agenda", 60)
    for where, status in ((f"/agenda/events/{theirs}", 403), (way, 404), (f"/agenda/events/{uuid4()}", 404)):
        await colleague.see(where)
        assert colleague.status == status, where
    await colleague.see("/agenda/meet")
    await colleague.post(f"/agenda/events/{theirs}", {"title": "x", "do": "make"})
    assert colleague.status == 403 and (await read(visitor, way))["title"] == title


async def test_a_delegate_makes_changes_and_calls_off_in_a_colleague_s_name(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    me, other, guest = (visitor.suite.person(who) for who in ("agent", "colleague", "administrator"))
    page, meet, title = f"/agenda/of/{other['id']}", f"/agenda/meet?of={other['id']}", f"Audience {uuid4().hex[:6]}"

    async def lets(level: str) -> None:
        await colleague.see("/agenda")
        await colleague.post("/agenda/privacy", {"email": me["email"], "level": level})

    await lets("free-busy")
    await visitor.see(meet)
    assert visitor.status == 404
    await lets("delegate")
    assert f'href="{meet}"' in await visitor.see(page) and "en son nom" in await visitor.see(meet)
    form = {"of": other["id"], "title": title, "email": guest["email"], "day": f"{DAY:%Y-%m-%d}", "hour": "16:00", "minutes": "30"}
    found = await visitor.post("/agenda/meet", form | {"do": "find"})
    assert 'name="slot"' in found and f'name="of" value="{other["id"]}"' in found
    text = await visitor.post("/agenda/meet", form | {"do": "make"})
    assert page in visitor.url and title in text and title not in await visitor.see(f"/agenda?day={DAY:%Y-%m-%d}")
    way = re.findall(r'href="(/agenda/events/[0-9a-f-]+)"', text.partition(title)[2])[0]
    kept = await read(visitor, way, "colleague")
    assert (kept["organizer"]["email"], kept["owner_id"]) == (other["email"], other["id"])
    assert guest["email"] in [one["email"] for one in kept["attendees"]]

    await visitor.see(way)
    assert visitor.status == 200 and f'<a href="{page}">' in visitor.text
    await visitor.post(way, form_of(visitor) | {"title": f"{title} bis"})
    assert page in visitor.url and f"{title} bis" in visitor.text
    await lets("write")
    assert "/cancel" not in (await visitor.see(f"{page}?day={DAY:%Y-%m-%d}")).partition(title)[2].partition('<div class="slot">')[0]
    await visitor.see(way)
    assert visitor.status == 403, "who may only write calls nobody together in another's name"
    assert 'name="email"' not in await visitor.see(meet)
    alone = await visitor.post(
        "/agenda/meet", {"of": other["id"], "title": f"{title} seul", "day": form["day"], "hour": "18:00", "do": "make"}
    )
    assert page in visitor.url and f"{title} seul" in alone

    await lets("delegate")
    await visitor.see(f"{page}?day={DAY:%Y-%m-%d}")
    text = await visitor.post(f"{way}/cancel", {"of": other["id"], "day": f"{DAY:%Y-%m-%d}"})
    assert page in visitor.url and visitor.status == 200 and f"{title} bis" not in text and f"{title} seul" in text
    await lets("free-busy")
    for where in (way, page, meet):
        await visitor.see(where)
        assert visitor.status == 404, where
    await visitor.see("/agenda/meet")
    await visitor.post("/agenda/meet", form | {"do": "make"})
    assert visitor.status == 404, "and nothing was made"
