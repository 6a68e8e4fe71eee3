"""What a page says when services do not answer: the rest of it is there, and works."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from parvis_kit.http import mount
from parvis_kit.settings import Platform
from parvis_portal.app import build
from parvis_portal.settings import Settings

LEFT_AT = "2026-11-23T09:00:00Z"


@pytest.fixture
async def alone(tmp_path: Any) -> AsyncIterator[TestClient[Any, Any]]:
    """A portal whose directory answers, and whose other services do not."""

    async def token(request: web.Request) -> web.Response:
        return web.json_response({"access_token": "h.eyJzdWIiOiAiYSJ9.s", "token_type": "Bearer", "expires_in": 600})

    async def agent(request: web.Request) -> web.Response:
        person = {"given_name": "Ada", "family_name": "Seule", "email": "ada@example.org", "language": "fr"}
        return web.json_response({"id": str(uuid4()), "ministry_id": str(uuid4()), "roles": ["ministry_administrator"], **person})

    async def departure(request: web.Request) -> web.Response:
        done = [{"service": "files", "done_at": LEFT_AT, "what": ["personal space frozen", "something new"]}]
        return web.json_response({"left_at": LEFT_AT, "settled_at": None, "done": done, "missing": ["calendar"]})

    directory = web.Application()
    directory.router.add_post("/auth/token", token)
    directory.router.add_get("/api/directory/v1/agents/{id}", agent)
    directory.router.add_get("/api/directory/v1/agents/{id}/departure", departure)
    server = TestServer(directory)
    await server.start_server()
    gone = f"http://127.0.0.1:{unused_port()}"
    services = {"directory": str(server.make_url("")).rstrip("/"), **dict.fromkeys(("files", "billing", "calendar", "messaging"), gone)}
    platform = Platform(data=tmp_path, access_log=False)
    doors = build(platform, settings=Settings(services=services))
    app = web.Application()
    mount(app, doors, platform)
    for run in doors.before:
        await run()
    client = TestClient(TestServer(app), cookies={"parvis_session": "s", "parvis_portal": "c"}, cookie_jar=aiohttp.CookieJar(unsafe=True))
    client.session.cookie_jar.update_cookies({"parvis_session": "s", "parvis_portal": "c"})
    await client.start_server()
    yield client
    await client.close()
    for run in doors.after:
        await run()
    await server.close()


async def test_a_service_that_is_away_is_a_panel_that_says_so(alone: TestClient[Any, Any]) -> None:
    async with alone.get("/") as answer:
        text = await answer.text()
    assert answer.status == 200 and "Bonjour, Ada Seule" in text
    assert text.count("ne répond pas en ce moment") == 3


async def test_a_page_about_a_thing_of_a_service_that_is_away_is_unavailable(alone: TestClient[Any, Any]) -> None:
    async with alone.get(f"/files/items/{uuid4()}") as answer:
        assert answer.status == 503 and "ne répond pas" in await answer.text()


async def test_a_leaver_s_page_shows_what_directory_knows_and_says_that_calendar_is_away(alone: TestClient[Any, Any]) -> None:
    way = f"/onboarding/leavers/{uuid4()}"
    async with alone.get(way) as answer:
        text = await answer.text()
    assert answer.status == 200 and "Le service des agendas ne répond pas" in text and 'name="meetings"' not in text
    assert "espace personnel figé, something new" in text and '<span class="tag bad">Agendas</span>' in text
    form = {"csrf": "c", "meetings": "cancel"}
    async with alone.post(f"{way}/meetings", data=form, headers={"Sec-Fetch-Site": "same-origin"}) as answer:
        assert answer.status == 503 and "Le service des agendas ne répond pas" in (text := await answer.text()), text
