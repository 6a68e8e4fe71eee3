"""Agendas, devices, cost and onboarding, by forms and links."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from parvis_kit.testing.waiting import until
from parvis_portal.pages.costs import by_service

from .conftest import ROOT
from .test_files import details, own_folder, send


@pytest.mark.parametrize("who, path", [("agent", "/finance"), ("agent", "/health"), ("agent", "/onboarding"), ("administrator", "/health")])
async def test_pages_of_others_are_refused(visit: Any, who: str, path: str) -> None:
    visitor = await visit(who)
    assert f'href="{path}"' not in visitor.text
    await visitor.see(path)
    assert visitor.status == 403


async def test_a_page_that_is_reloaded_neither_makes_a_password_again_nor_shows_it_again(visit: Any) -> None:
    visitor = await visit("agent")
    await visitor.see("/devices")
    form = {"client": "thunderbird", "name": f"poste {uuid4()}", "days": "90", "key": uuid4().hex}
    first = await visitor.post("/devices", form)
    secret = re.search(r'id="secret">(parvis_[^<]+)<', first)
    assert secret and visitor.headers["Cache-Control"] == "no-store"
    again = await visitor.post("/devices", form)
    assert secret[1] not in again and again.count(f'row">{form["name"]}') == 1


async def test_finance_downloads_the_report_and_no_cell_is_a_formula(visit: Any) -> None:
    visitor = await visit("finance")
    text = await visitor.see("/finance/report.csv")
    assert visitor.headers["Content-Disposition"].startswith("attachment") and "Ministère de l'Intérieur" in text
    assert not re.search(r'(^|;)"?[=+@]', text, re.MULTILINE)
    report = json.loads(await visitor.see("/finance/report.json"))
    assert {one["name"] for one in report["perimeters"]} == {"hosting", "suite", "complete"}
    chart = await visitor.see("/finance/chart.svg?perimeter=suite")
    assert visitor.headers["Content-Type"].startswith("image/svg+xml") and chart.count("<rect") == 1 + 4, "three ministries and all"


async def test_the_cost_page_shows_an_agent_their_own_figure(visit: Any) -> None:
    visitor = await visit("agent")
    text = await visitor.see("/cost")
    async with visitor.session.get(
        f"{visitor.suite.base}/api/billing/v1/me", headers={"Authorization": f"Bearer {visitor.suite.person('agent')['token']}"}
    ) as answer:
        said = await answer.json()
    cents = said["micro_eur"]["suite"] * 12 / 10_000
    assert f"{cents / 100:.2f}".replace(".", ",") in text
    [part] = said["parts"]
    use = part["use"]
    assert use["files.actions"] and use["files.byte_seconds"], "the demonstration's agents store files"
    row = {name: text.partition(f'<th scope="row">{name}</th>')[2].partition("</tr>")[0] for name in ("Fichiers", "Agendas", "Portail")}
    assert f"rangements de fichiers : {use['files.actions']}<" in row["Fichiers"] and "en moyenne sur le mois" in row["Fichiers"]
    meetings = use.get("calendar.meetings")
    assert (f"Réunions organisées : {meetings}<" if meetings else "Un compte ouvert") in row["Agendas"]
    assert "Un compte ouvert" in row["Portail"] and all("€" in one for one in row.values()), "each beside its cost"
    assert "byte_seconds" not in text


def test_a_month_that_was_corrected_shows_what_holds_now_and_use_in_units_that_people_have() -> None:
    def part(booked: str, ministry: str, micro: int, **use: int) -> dict[str, Any]:
        step = {"service": "files", "micro_eur": micro, "perimeters": ["suite", "complete"]}
        return {"booked": booked, "ministry_id": ministry, "provisioned": 1, "use": use, "steps": [step]}

    days = 30 * 86_400
    parts = [
        part("2026-11", "a", 100, **{"files.byte_seconds": 1_000_000 * days, "messaging.messages": 3}),
        part("2026-12", "a", 130, **{"files.byte_seconds": 2_000_000 * days, "messaging.messages": 4, "video.minutes": 1_500}),
        part("2026-11", "b", 7, **{"files.byte_seconds": 500_000 * days}),
    ]
    found = {name: (used, sums) for name, used, sums, _ in by_service({"month": "2026-11", "parts": parts}, "fr")}
    assert found["files"] == (["2,5\N{NO-BREAK SPACE}Mo conservés, en moyenne sur le mois"], {"suite": 137, "hosting": 0, "complete": 137})
    assert found["messaging"][0] == ["Messages écrits : 4"] and found["messaging"][1]["suite"] == 0, "what cost nothing is shown too"
    assert found["video"][0] == ["video.minutes : 1\N{NARROW NO-BREAK SPACE}500"]


async def send_roster(visitor: Any, lines: list[str], *, partial: bool) -> None:
    await visitor.see("/onboarding")
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("csrf", visitor.csrf)
    if partial:
        form.add_field("partial", "1")
    titles = "matricule;nom;prénom;courriel;direction;date de départ"
    form.add_field("file", "\r\n".join([titles, *lines, ""]).encode("cp1252"), filename="agents.csv", content_type="text/csv")
    await visitor.post("/onboarding", form)
    assert visitor.status == 200, visitor.text


async def test_a_file_that_closes_many_accounts_is_confirmed_by_their_number(visit: Any) -> None:
    visitor = await visit("administrator")
    one = uuid4().hex[:8]
    await send_roster(visitor, [f"{one};Durand;Anne;anne.{one}@interieur.example.org;;"], partial=False)
    job = visitor.url.removeprefix(visitor.suite.base)
    if "deactivations" not in visitor.text:
        pytest.skip("nobody of this ministry came by a file yet, so nobody leaves by one")
    await visitor.post(f"{job}/confirm", {"deactivations": "0"})
    assert visitor.status == 422 and 'aria-invalid="true"' in visitor.text
    await visitor.post(f"{job}/discard")
    assert visitor.status == 200


async def test_an_hour_is_found_for_several_and_the_meeting_stands_in_both_agendas(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    email, title = visitor.suite.person("colleague")["email"], f"Réunion {uuid4().hex[:8]}"
    await visitor.see("/agenda/meet")
    form = {"title": title, "place": "Salle 1", "email": email, "day": f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}", "minutes": "30"}
    text = await visitor.post("/agenda/meet", {**form, "do": "find"})
    assert visitor.status == 200 and f'value="{title}"' in text, text
    slot = re.search(r'name="slot" value="([^"]+)"', text)
    assert slot and "tout le monde est libre" in text
    text = await visitor.post("/agenda/meet", {**form, "slot": slot[1]})
    assert visitor.status == 200 and title in text, text

    async def is_invited() -> bool:
        return title in await colleague.see("/agenda")

    await until(is_invited, "the invitation is there", 60)
    meeting = re.search(r"/agenda/meetings/[0-9a-f-]+/answer", colleague.text.partition(title)[2])
    assert meeting
    await colleague.post(meeting[0], {"answer": "tentative"})
    assert "you may come" in colleague.text.partition(title)[2].partition("</li>")[0]
    await colleague.post(meeting[0], {"answer": "maybe"})
    assert colleague.status == 422


@pytest.mark.parametrize(
    "wrong, field",
    [({"title": ""}, "title"), ({"day": "demain"}, "day"), ({"hour": "25:00"}, "hour"), ({"email": "nobody@example.org"}, "email")],
)
async def test_what_cannot_be_an_event_is_told_at_its_field(visit: Any, wrong: dict[str, str], field: str) -> None:
    visitor = await visit("agent")
    await visitor.see("/agenda/meet")
    text = await visitor.post("/agenda/meet", {"title": "t", "day": "2026-12-01", "hour": "10:00", "minutes": "30", "do": "make"} | wrong)
    assert visitor.status == 422 and f'href="#field-{field}"' in text and f'id="error-{field}"' in text


async def test_a_colleague_is_told_of_what_was_shared_reads_it_and_chooses_how_to_be_told(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    title = f"avis-{uuid4().hex[:8]}.txt"
    folder = await own_folder(visitor)
    await send(visitor, folder, title, b"pour vous")
    item = details(visitor, title)
    await visitor.see(item)
    await visitor.post(f"{item}/shares", {"kind": "agent", "email": visitor.suite.person("colleague")["email"], "role": "reader"})

    async def is_told() -> bool:
        return f'href="{item}"' in await colleague.see("/notices")

    await until(is_told, "the notice is there", 60)
    assert f'href="{item}"' in await colleague.see("/notices") and "Mark as read" in colleague.text
    await colleague.post("/notices/read")
    assert colleague.status == 200 and "Mark as read" not in colleague.text
    chosen = {"kinds": "file_shared", "file_shared-portal": "1"}
    await colleague.post("/notices/preferences", chosen)
    assert re.search(r'name="file_shared-portal" value="1" checked', colleague.text)
    assert not re.search(r'name="file_shared-matrix" value="1" checked', colleague.text)
    await colleague.post("/notices/preferences", chosen | {"file_shared-matrix": "1"})
    assert re.search(r'name="file_shared-matrix" value="1" checked', colleague.text)


@pytest.mark.parametrize("role", [None, "agent"])
async def test_an_address_where_nothing_is_shows_a_page_to_a_browser_and_a_problem_to_a_program(visit: Any, role: str | None) -> None:
    visitor = await visit(role) if role else await visit()
    url = f"{visitor.suite.base}/fichiers/nulle-part"
    async with visitor.session.get(url, headers={"Accept": "text/html,*/*;q=0.8", "Accept-Language": "fr"}) as answer:
        text = await answer.text()
        assert answer.status == 404 and answer.content_type == "text/html" and "Ceci n’existe pas" in text and 'href="/"' in text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert ("sign-out" in text) is bool(role)
    for method, accept in (("GET", "*/*"), ("POST", "text/html")):
        async with visitor.session.request(method, url, headers={"Accept": accept}) as answer:
            assert (answer.status, answer.content_type) == (404, "application/problem+json")


async def test_a_form_that_is_sent_twice_makes_one_event_and_one_folder(visit: Any) -> None:
    visitor = await visit("agent")
    title = f"Deux fois {uuid4().hex[:8]}"
    day = f"{datetime.now(UTC) + timedelta(days=5):%Y-%m-%d}"
    await visitor.see("/agenda/meet")
    form = {"title": title, "day": day, "hour": "10:00", "minutes": "30", "do": "make", "once": once_in(visitor)}
    for _ in range(2):
        await visitor.post("/agenda/meet", form)
        assert visitor.status == 200 and visitor.text.count(f"{title}</span></summary>") == 1, visitor.text
    await visitor.post("/agenda/meet", form | {"hour": "11:00"})
    assert visitor.text.count(f"{title}</span></summary>") == 2, "what says something else is another act"
    folder = await own_folder(visitor)
    form = {"name": title, "once": once_in(visitor)}
    for _ in range(2):
        await visitor.post(f"{folder}/folders", form)
        assert visitor.status == 200 and 'id="done"' in visitor.text, visitor.text


def once_in(visitor: Any) -> str:
    found = re.search(r'name="once" value="([^"]+)"', visitor.text)
    assert found
    return found[1]


async def test_a_week_shows_events_that_are_too_large_for_one_page_of_calendar(visit: Any) -> None:
    visitor = await visit("colleague")
    person, mark = visitor.suite.person("colleague"), uuid4().hex[:8]
    basic = aiohttp.encode_basic_auth(person["email"], person["app_password"])
    headers = {"Authorization": basic, "Content-Type": "text/calendar"}
    for number in range(3):
        times = [f"{name}:20310106T1{number}{minute}00Z" for name, minute in (("DTSTART", "00"), ("DTEND", "30"))]
        inside = [f"UID:{mark}-{number}", "DTSTAMP:20261101T000000Z", *times, f"SUMMARY:{mark} {number}", "X-PADDING:" + "x" * 10**6]
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//Test//EN", "BEGIN:VEVENT", *inside, "END:VEVENT", "END:VCALENDAR", ""]
        where = f"{person['dav']['calendar']}{mark}{number}.ics"
        async with aiohttp.ClientSession(headers=headers) as client, client.put(where, data="\r\n".join(lines)) as answer:
            assert answer.status == 201
    text = await visitor.see("/agenda?day=2031-01-06")
    assert [f"{mark} {number}" in text for number in range(3)] == [True] * 3


async def test_an_event_is_called_off_from_the_agenda_and_whoever_is_invited_loses_it(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    title, day = f"Annulée {uuid4().hex[:8]}", f"{datetime.now(UTC) + timedelta(days=6):%Y-%m-%d}"
    await visitor.see("/agenda/meet")
    email = visitor.suite.person("colleague")["email"]
    await visitor.post("/agenda/meet", {"title": title, "email": email, "day": day, "hour": "10:00", "minutes": "30", "do": "make"})
    way = re.search(r'action="(/agenda/events/[0-9a-f-]+/cancel)"', visitor.text.partition(title)[2])
    assert way and "Les personnes invitées sont prévenues" in visitor.text.partition(title)[2]

    async def is_invited(expected: bool = True) -> bool:
        text = await colleague.see("/agenda")
        return (title in text.partition('id="events"')[0]) is expected

    await until(is_invited, "the invitation is there", 60)
    assert f"{title}</span></summary>" not in await colleague.see(f"/agenda?day={day}"), "it is not theirs to call off"
    await visitor.post(way[1], {"day": day})
    assert visitor.status == 200 and 'id="done"' in visitor.text and title not in visitor.text

    async def is_gone() -> bool:
        return await is_invited(False)

    await until(is_gone, "the invitation is gone", 60)


@pytest.mark.parametrize(
    "content, said",
    [
        ("nom;prénom\r\nA;B\r\n".encode("cp1252"), "Il manque : "),
        (b"PK\x03\x04\x00\x00", "Enregistrer sous"),
        (b"", "Enregistrer sous"),
    ],
)
async def test_a_file_that_is_no_list_of_agents_is_told_where_it_was_chosen(visit: Any, content: bytes, said: str) -> None:
    visitor = await visit("administrator")
    await visitor.see("/onboarding")
    form = aiohttp.FormData()
    form.add_field("csrf", visitor.csrf)
    form.add_field("file", content, filename="agents.csv", content_type="text/csv")
    await visitor.post("/onboarding", form)
    assert visitor.status == 422 and said in visitor.text and 'href="#field-file"' in visitor.text, visitor.text
    assert 'action="/onboarding"' in visitor.text, "and another can be sent at once"


async def test_one_s_own_language_is_a_click_away_and_the_page_stays(visit: Any) -> None:
    visitor = await visit()
    person = visitor.suite.demo["agents"][18]
    await visitor.post("/sign-in", {"email": person["email"], "password": person["password"]}, csrf=False)
    first, other = ("fr", "en") if '<html lang="fr">' in visitor.text else ("en", "fr")
    for language in (other, first):
        await visitor.see("/agenda")
        assert f'name="language" value="{language}"' in visitor.text
        await visitor.post("/language", {"language": language, "back": "/agenda"})
        assert visitor.url.endswith("/agenda") and f'<html lang="{language}">' in visitor.text
    await visitor.post("/language", {"language": "de", "back": "/agenda"}, Referer=f"{visitor.suite.base}/agenda?day=2026-12-01")
    assert visitor.status == 422 and 'href="/agenda?day=2026-12-01"' in visitor.text, "back to where it was asked"
    await visitor.post("/language", {"language": first, "back": "//elsewhere.test/"})
    assert visitor.url == f"{visitor.suite.base}/"


async def test_months_that_are_no_period_are_told_at_their_field(visit: Any) -> None:
    visitor = await visit("finance")
    for query in ("first=2030-01&last=2029-01", "first=2026-13", "first=1990-01&last=2026-01"):
        text = await visitor.see(f"/finance?{query}")
        assert visitor.status == 422 and 'href="#field-first"' in text and 'id="error-first"' in text


async def test_what_is_too_long_or_one_s_own_is_said_so(visit: Any) -> None:
    visitor = await visit("agent")
    await visitor.see("/agenda/meet")
    text = await visitor.post("/agenda/meet", {"title": "y" * 600, "day": "2026-12-01", "hour": "10:00", "minutes": "30", "do": "make"})
    assert visitor.status == 422 and "trop long" in text and 'id="error-title"' in text
    folder = await own_folder(visitor)
    await send(visitor, folder, name := f"à moi {uuid4()}.txt", b"1")
    item = details(visitor, name)
    await visitor.see(item)
    email = visitor.suite.person("agent")["email"]
    text = await visitor.post(f"{item}/shares", {"kind": "agent", "email": email.upper(), "role": "reader"})
    assert visitor.status == 422 and "votre propre adresse" in text


async def test_one_chooses_how_much_of_one_s_agenda_a_colleague_sees(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    owner, other = visitor.suite.person("agent"), visitor.suite.person("colleague")
    starts = datetime.now(UTC) + timedelta(days=1)
    question = {"agents": [owner["id"]], "starts_at": starts.isoformat(), "ends_at": (starts + timedelta(days=1)).isoformat(), "slots": 0}

    async def seen() -> str:
        headers = {"Authorization": f"Bearer {other['token']}"}
        async with colleague.session.post(f"{visitor.suite.base}/api/calendar/v1/availability", json=question, headers=headers) as answer:
            return str((await answer.json())["found"][0]["privacy"])

    contract = json.loads((ROOT / "calendar/openapi.json").read_text())["components"]["schemas"]["Showing"]["properties"]["level"]["enum"]
    assert re.findall(r'<option value="([a-z-]+)"', (await visitor.see("/agenda")).partition('id="field-level"')[2]) == contract
    for level, words in (
        ("delegate", "en votre nom"), ("write", "n’appartient qu’à vous"), ("details", "le titre de vos événements"),
        ("none", "ne voit plus rien"), ("free-busy", ""),
    ):  # fmt: skip
        text = await visitor.post("/agenda/privacy", {"email": other["email"], "level": level})
        stands = text.partition('id="given"')[2].partition("</ul>")[0]
        assert visitor.status == 200 and "C’est enregistré." in text and await seen() == level
        assert words in stands and (other["name"] in stands) == (level != "free-busy"), "what is as for everybody needs no line"
    for form, field in (
        ({"email": other["email"], "level": "everything"}, "level"),
        ({"email": "nobody@example.org", "level": "none"}, "email"),
        ({"email": owner["email"], "level": "none"}, "email"),
    ):
        text = await visitor.post("/agenda/privacy", form)
        assert visitor.status == 422 and f'href="#field-{field}"' in text and f'id="error-{field}"' in text, form
    assert await seen() == "free-busy"


async def test_one_finds_the_agendas_that_colleagues_have_opened_and_looks_into_them(visit: Any) -> None:
    visitor, colleague = await visit("agent"), await visit("colleague")
    me, other = visitor.suite.person("agent"), visitor.suite.person("colleague")
    page, day, title = f"/agenda/of/{other['id']}", datetime.now(UTC) + timedelta(days=5), f"Audience {uuid4().hex[:6]}"

    async def received() -> str:
        return (await visitor.see("/agenda")).partition('id="received"')[2].partition("</section>")[0]

    await colleague.see("/agenda/meet")
    form = {"title": title, "day": f"{day:%Y-%m-%d}", "hour": "10:00", "minutes": "30", "do": "make"}
    assert title in await colleague.post("/agenda/meet", form)
    for level, words in (("details", ""), ("write", "n’appartient qu’à cette personne"), ("delegate", "en son nom")):
        await colleague.see("/agenda")
        await colleague.post("/agenda/privacy", {"email": me["email"], "level": level})
        told = await received()
        assert words in told and (other["name"] in told) == (page in told) == (level != "details"), "titles are a program's to show"
        text = await visitor.see(f"{page}?day={day:%Y-%m-%d}")
        assert (visitor.status, title in text) == ((404, False) if level == "details" else (200, True))
    assert f"<h1>Agenda : {other['name']}</h1>" in text and f"/dav/principals/{other['id']}/</code>" in text
    assert '/cancel"><input type="hidden" name="csrf"' in text and f'name="of" value="{other["id"]}"' in text, "calling off leads back"
    assert f'href="{page}?day={day - timedelta(days=day.weekday() + 7):%Y-%m-%d}"' in text, "its weeks are its own"
    assert title in await visitor.see(f"{page}?view=list&day={day:%Y-%m-%d}")
    assert title not in await visitor.see(f"/agenda?day={day:%Y-%m-%d}")
    await colleague.see("/agenda")
    await colleague.post("/agenda/privacy", {"email": me["email"], "level": "free-busy"})
    assert await received() == ""
    assert "/agenda/of/" not in (await visitor.see(f"/agenda/of/{me['id']}"), visitor.url)[1], "one's own is elsewhere"
    for nobody in (page, f"/agenda/of/{uuid4()}", "/agenda/of/x"):
        await visitor.see(nobody)
        assert visitor.status == 404, nobody
