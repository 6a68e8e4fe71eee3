"""The demonstration as people start it: `parvis up --demo`, in a process of its own, on either database."""

import asyncio
import base64
import json
import os
import select
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import nio
import psutil
import pytest
import pytest_asyncio
import sqlalchemy as sa
from parvis_directory import store
from parvis_kit.clock import utc_now
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import Place
from parvis_suite.services import BUILDERS, build_all
from pydantic import SecretStr

from .knocking import LATER, TOMORROW, Knocker
from .running import made_once
from .test_up import SECONDS_MAX, asked, eventually

MEMORY_BYTES_MAX = 200 * 2**20
DOMAINS = {"interieur.example.org", "ecologie.example.org", "education.example.org"}


@dataclass
class Demonstration:
    """Started, stopped and started again in one folder."""

    folder: Path
    environ: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    said: dict[str, Any] = field(default_factory=dict)
    """What demo.json holds."""

    def start(self) -> None:
        told = self.folder.with_suffix(".txt")
        with open(told, "wb") as output:
            command = [sys.executable, "-m", "parvis_suite", "up", "--demo"]
            self.process = process = subprocess.Popen(command, env=self.environ, stdout=output, stderr=output)
        file = self.folder / "demo.json"
        eventually("demo.json is there", lambda: file.exists() or process.poll() is not None)
        assert process.poll() is None, told.read_text()
        self.said = json.loads(file.read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(SECONDS_MAX)

    def agent(self, role: str) -> dict[str, Any]:
        return next(one for one in self.said["agents"] if role in one["roles"])

    @property
    def base(self) -> str:
        return str(self.said["base_url"])


@pytest_asyncio.fixture
async def demonstration(place: Place, tmp_path: Path) -> AsyncIterator[Demonstration]:
    """It has been made already, and is started here."""
    await place.prepare("demonstration", made_once)
    with started_in(tmp_path / "data", place.url) as made:
        yield made


@pytest.fixture
def new_demonstration(place: Place, database_kind: str, tmp_path: Path) -> Iterator[Demonstration]:
    """Its very first start."""
    with started_in(tmp_path / "data", place.url_of("") if database_kind != "sqlite" else "") as made:
        yield made


@contextmanager
def started_in(folder: Path, url: str) -> Iterator[Demonstration]:
    """On this database, or on SQLite, until the block is left."""
    environ = {**os.environ, "PARVIS_DATA": str(folder), "PARVIS_PORT": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environ["PARVIS_TRUSTED_PROXIES"] = '["127.0.0.1/32"]'
    if url:
        environ["PARVIS_DATABASE_URL"] = url
    made = Demonstration(folder, environ)
    try:
        made.start()
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.stop(signal.SIGKILL)


def test_when_its_file_is_there_everything_is(new_demonstration: Demonstration) -> None:
    assert stat.S_IMODE((new_demonstration.folder / "demo.json").stat().st_mode) == 0o600
    assert asked(f"{new_demonstration.base}/readyz")[0] == 200
    with urllib.request.urlopen(new_demonstration.said["metrics_url"]) as answer:
        assert b"parvis_facts_published_total" in answer.read()
    agents = new_demonstration.said["agents"]
    assert len(agents) == 40 and len({one["id"] for one in agents}) == 40
    assert {one["email"].partition("@")[2] for one in agents} == DOMAINS
    assert {one["id"] for one in new_demonstration.said["ministries"]} == {one["ministry"] for one in agents}
    assert len({one["personal_space"] for one in agents} - {None}) == 40
    assert len({one["dav"]["calendar"] for one in agents}) == len({one["matrix"]["user_id"] for one in agents}) == 40
    assert new_demonstration.process is not None
    assert psutil.Process(new_demonstration.process.pid).memory_info().rss <= MEMORY_BYTES_MAX
    assert {role for one in agents for role in one["roles"]} == {"agent", "ministry_administrator", "finance", "operator"}


async def test_each_agent_is_known_by_password_app_password_and_token(demonstration: Demonstration) -> None:
    async with aiohttp.ClientSession(base_url=demonstration.base, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        for agent in (demonstration.agent("operator"), demonstration.agent("finance"), demonstration.said["agents"][-1]):
            path = f"/api/directory/v1/agents/{agent['id']}"
            basic = base64.b64encode(f"{agent['email']}:{agent['app_password']}".encode()).decode()
            for authorization in (f"Bearer {agent['token']}", f"Basic {basic}"):
                async with client.get(path, headers={"Authorization": authorization}) as answer:
                    assert answer.status == 200, await answer.text()
                    assert (await answer.json())["email"] == agent["email"]
            async with client.post("/auth/sign-in", json={"email": agent["email"], "password": agent["password"]}) as answer:
                assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_agenda_and_rooms_are_read_where_the_file_says(demonstration: Demonstration) -> None:
    agent = demonstration.said["agents"][7]
    client = nio.AsyncClient(demonstration.base, agent["matrix"]["user_id"])
    try:
        assert isinstance(await client.login(agent["matrix"]["password"]), nio.LoginResponse)
        synced = await client.sync(timeout=0, full_state=True)
    finally:
        await client.close()
    assert isinstance(synced, nio.SyncResponse), synced
    said = [getattr(one, "body", "") for room in synced.rooms.join.values() for one in room.timeline.events]
    assert any(one.startswith("Bienvenue dans Parvis") for one in said), said
    assert any(one.startswith("Parfait pour moi.") for one in said), said
    known = {"Authorization": aiohttp.encode_basic_auth(agent["email"], agent["app_password"], encoding="utf-8"), "Depth": "1"}
    async with aiohttp.ClientSession() as client, client.request("PROPFIND", agent["dav"]["calendar"], headers=known) as answer:
        body = await answer.text()
    assert answer.status == 207 and body.count("-demo.ics</D:href>") == 5


def test_what_all_services_say_is_followed_at_once(demonstration: Demonstration) -> None:
    """Also behind one that has nothing to say, and never ends saying it."""
    command = [sys.executable, "-m", "parvis_suite", "events", "tail", "--follow", "--json"]
    with subprocess.Popen(command, env=demonstration.environ, stdout=subprocess.PIPE, text=True) as operator:
        assert operator.stdout is not None
        heard: set[str] = set()
        try:
            while not {"/parvis/directory", "/parvis/files"} <= heard:
                assert select.select([operator.stdout], [], [], SECONDS_MAX)[0], f"only {heard}"
                heard.add(json.loads(operator.stdout.readline())["source"])
        finally:
            operator.kill()


async def test_its_agents_have_teams_documents_shares_and_a_year_of_use(demonstration: Demonstration) -> None:
    finance, chief = demonstration.agent("finance"), demonstration.agent("ministry_administrator")
    async with aiohttp.ClientSession(base_url=demonstration.base) as client:

        async def ask(path: str, by: dict[str, Any]) -> Any:
            async with client.get(path, headers={"Authorization": f"Bearer {by['token']}"}) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        seen: dict[str, set[int]] = {}
        for agent in demonstration.said["agents"]:
            space = await ask("/api/files/v1/spaces/personal", agent)
            assert space["id"] == agent["personal_space"]
            for item in (await ask(f"/api/files/v1/folders/{space['root_id']}/items", agent))["items"]:
                seen.setdefault(item["media_type"], set()).add(item["size_bytes"])
        assert len(seen) >= 5 and max(max(sizes) for sizes in seen.values()) > 1000 * min(min(sizes) for sizes in seen.values())
        assert [one["name"] for one in (await ask("/api/directory/v1/teams", chief))["items"]] == ["Projet Parvis"]
        shared = [await ask("/api/files/v1/shared", agent) for agent in demonstration.said["agents"]]
        assert sum(bool(one["items"]) for one in shared) >= len(demonstration.said["ministries"])
        report = await ask("/api/billing/v1/report", finance)
        assert len(report["months"]) == report["inhabited_months"] == 12
        for perimeter in report["perimeters"]:
            assert perimeter["invoices_cents"] == perimeter["total"]["total"]["cents"] > 0 == perimeter["unallocated_cents"]
        items = (await ask("/api/billing/v1/items?limit=100", finance))["items"]
        assert items and all(one["source"] and one["file"].endswith(".toml") for one in items)
        assert len(report["benchmarks"]) >= 6 and all(one["source"]["date"] for one in report["benchmarks"])


@pytest.mark.soak
async def test_every_service_does_what_its_document_says(demonstration: Demonstration) -> None:
    """Requests made up from each document, good and bad, by somebody who may do all."""
    agents = demonstration.said["agents"]
    person = next(one for one in agents if {"operator", "finance"} <= set(one["roles"]))
    there = await things_of(demonstration, person)
    bodies = bodies_for(person, there)
    for name in BUILDERS:
        knocker = Knocker(demonstration.base, person["token"], there, bodies)
        await asyncio.to_thread(knocker.knock_everywhere, name)
    assert asked(f"{demonstration.base}/readyz")[0] == 200


async def things_of(demonstration: Demonstration, person: dict[str, Any]) -> dict[str, str]:
    """What the demonstration has of each kind; of agents, one who may nothing and whom nobody needs."""
    ministry = person["ministry"]
    headers = {"Authorization": f"Bearer {person['token']}"}
    async with aiohttp.ClientSession(base_url=demonstration.base, headers=headers) as client:

        async def ask(path: str) -> Any:
            async with client.get(path) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        space = await ask("/api/files/v1/spaces/personal")
        items = (await ask(f"/api/files/v1/folders/{space['root_id']}/items"))["items"]
        file_id = next(one["id"] for one in items if one["kind"] == "file")
        versions, uploads = await ask(f"/api/files/v1/files/{file_id}/versions"), await ask("/api/files/v1/uploads")
        teams, calendars = await ask("/api/directory/v1/teams"), await ask("/api/calendar/v1/calendars")
        onboardings = await ask(f"/api/directory/v1/ministries/{ministry}/onboardings")
        month = urlencode({"from": f"{utc_now() - timedelta(days=14):%Y-%m-%dT00:00:00Z}", "to": LATER})
        events = await ask(f"/api/calendar/v1/events?{month}")
    return {
        "event_id": events["items"][0]["event_id"],
        "agent_id": next(one["id"] for one in demonstration.said["agents"] if one["roles"] == ["agent"] and one["ministry"] == ministry),
        "ministry_id": ministry, "team_id": teams["items"][0]["id"], "onboarding_id": onboardings["items"][0]["id"],
        "space_id": space["id"], "folder_id": space["root_id"], "item_id": file_id, "file_id": file_id,
        "version_id": versions["current_id"], "upload_id": uploads["items"][0]["id"], "calendar": calendars["items"][0]["id"],
    }  # fmt: skip


def bodies_for(person: dict[str, Any], there: dict[str, str]) -> dict[str, Any]:
    """What makes something of what is there."""
    return {
        "POST /auth/sign-in": {"email": person["email"], "password": person["password"]},
        "POST /api/directory/v1/ministries": {"siren": "110010014", "name": "Ministère de plus"},
        "POST /api/directory/v1/ministries/{ministry_id}/directorates": {"name": "Direction de plus"},
        "POST /api/directory/v1/agents": {
            "email": f"agent.de.plus@{person['email'].partition('@')[2]}", "given_name": "Agent", "family_name": "de Plus",
            "ministry_id": there["ministry_id"],
        },
        "POST /api/directory/v1/app-passwords": {"name": "Téléphone", "scopes": ["dav:calendars"], "expires_at": LATER},
        "POST /api/directory/v1/teams": {"name": "Équipe de plus", "members": [person["id"]]},
        "POST /api/files/v1/spaces": {"name": "Espace de plus"},
        "POST /api/files/v1/folders/{folder_id}/folders": {"name": "Dossier de plus"},
        "POST /api/files/v1/folders/{folder_id}/uploads": {"name": "a.txt", "size_bytes": 3, "sha256": sha256(b"abc").hexdigest()},
        "POST /api/files/v1/items/{item_id}/shares": {"grantee_kind": "agent", "grantee_id": there["agent_id"], "role": "reader"},
        "POST /api/calendar/v1/events": {"title": "Point", "starts_at": TOMORROW, "ends_at": LATER},
        "POST /api/calendar/v1/availability": {"agents": [person["id"]], "starts_at": TOMORROW, "ends_at": LATER, "minutes": 30},
        "PUT /api/calendar/v1/privacy/{agent_id}": {"level": "details"},
        "POST /api/messaging/v1/notices/read": {"all": True},
        "PUT /api/messaging/v1/preferences": {"kinds": {"quota": {"matrix": True, "portal": True}}},
    }  # fmt: skip


async def test_told_to_stop_under_load_it_fails_no_request_that_it_took(demonstration: Demonstration) -> None:
    """Each caller keeps a connection and asks until it is told that the connection ends, or that nobody listens any more."""
    headers = {"Authorization": f"Bearer {demonstration.agent('operator')['token']}"}
    answered, failed, stopped = 0, [], asyncio.Event()

    async def caller() -> None:
        nonlocal answered
        async with aiohttp.ClientSession(base_url=demonstration.base, headers=headers) as client:
            while not stopped.is_set():
                try:
                    async with client.get("/api/directory/v1/agents?limit=20") as answer:
                        body = await answer.json()
                        if answer.status != 200 or len(body["items"]) != 20:
                            failed.append(f"{answer.status} {body}")
                        answered += 1
                except aiohttp.ClientConnectorError:
                    return  # nobody listens: a proxy has long asked another process
                except aiohttp.ClientError as error:
                    failed.append(repr(error))

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    while answered < 200:
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread(demonstration.stop) == 0
    stopped.set()
    await asyncio.gather(*callers)
    assert failed == []
    assert not (demonstration.folder / "demo.json").exists()


def test_started_again_after_whatever_end_it_is_the_same(demonstration: Demonstration) -> None:
    def known() -> dict[str, tuple[str, ...]]:
        return {one["email"]: (one["id"], one["ministry"], one["password"], one["app_password"]) for one in demonstration.said["agents"]}

    first = known()
    for end in (signal.SIGTERM, signal.SIGKILL):
        demonstration.stop(end)
        (demonstration.folder / "demo.json").unlink(missing_ok=True)  # a killed process leaves its own
        demonstration.start()
        assert known() == first
        assert asked(f"{demonstration.base}/readyz")[0] == 200


def test_ended_before_its_roles_were_given_it_gives_them(demonstration: Demonstration) -> None:
    """Its agents come by file, their roles after that: whoever died between the two was started again for ever."""
    url = str(demonstration.environ.get("PARVIS_DATABASE_URL", ""))
    first = {one["email"]: one["roles"] for one in demonstration.said["agents"]}
    demonstration.stop(signal.SIGKILL)
    (demonstration.folder / "demo.json").unlink()

    async def take_back() -> int:
        platform = Platform(data=demonstration.folder, database_url=SecretStr(url))
        [directory] = build_all(platform, ["directory"])
        administers = store.agent.c.email.in_([email for email, roles in first.items() if "ministry_administrator" in roles])
        try:
            async with directory.database.transaction() as tx:
                done = await tx.execute(sa.update(store.agent).where(administers).values(roles=["agent"]))
                return int(done.rowcount)
        finally:
            await directory.database.close()

    assert asyncio.run(take_back()) == 3
    demonstration.start()
    assert {one["email"]: one["roles"] for one in demonstration.said["agents"]} == first
