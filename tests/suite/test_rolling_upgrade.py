"""Two versions of Parvis at work side by side on Kafka, under load: the one that closed the first milestone, and today's."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from parvis_kit.settings import Kafka
from parvis_kit.testing.databases import Place
from parvis_kit.testing.kafka import KafkaServer, records_of
from parvis_kit.testing.waiting import until
from yarl import URL

from ..conftest import free_port
from .running import Client, NotYet, patiently

CHECKOUT = Path(__file__).resolve().parents[2]
VERSION_N = "e9a1b6d9134307fb902f6e4e274e5f2156b728b4"
"""The commit that closed the first milestone, of this repository's own history."""
TWO_AGENTS = Path(__file__).with_name("two_agents.py")
PLACES = ("services", "files", "calendar", "messaging", "billing", "infra")
SERVICES = ("directory", "files", "calendar", "billing", "messaging")
ASKED = ("files", "calendar")
"""What people use; they say what the two last hear."""
HEARD = {
    "billing": {"files.file.stored.v1": "parvis.files.file"},
    "messaging": {"files.share.granted.v1": "parvis.files.share", "calendar.meeting.invited.v1": "parvis.calendar.meeting"},
}
"""Each said once for each act of the load, and in which topic."""
NOTICES = ("file_shared", "meeting_invited")
FIRST_MEETING = datetime(2027, 1, 4, 8, tzinfo=UTC)
STARTED_SECONDS_MAX = 240.0


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


@pytest.fixture(scope="module")
def version_n(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the repository's own history; a clone that has none of it fails, since nothing would be proven."""
    folder = tmp_path_factory.mktemp("version-n")
    archive = subprocess.run(["git", "archive", VERSION_N, *PLACES], cwd=CHECKOUT, capture_output=True, check=False)
    if archive.returncode:
        pytest.fail(f"version n cannot be taken from the history ({archive.stderr.decode().strip()}): git fetch --unshallow", pytrace=False)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


@dataclass
class Process:
    """A service of one version."""

    name: str
    running: "subprocess.Popen[bytes]"
    log: Path
    metrics: int

    def stop(self) -> None:
        """As an operator does it: what is at work is finished."""
        self.running.send_signal(signal.SIGTERM)
        assert self.running.wait(60) == 0, self.log.read_text()[-3000:]


@dataclass
class Upgrade:
    """One installation, and the processes of both versions on it."""

    place: Place
    kafka: dict[str, str]
    folder: Path
    trees: dict[str, Path]
    stack: ExitStack
    ports: dict[str, int]
    """Where people ask for what is ASKED, of whichever version."""
    people: list[str] = field(default_factory=list)
    """Their ids."""
    tokens: list[str] = field(default_factory=list)

    def base_of(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def environ(self, version: str, **more: object) -> dict[str, str]:
        path = os.pathsep.join(str(self.trees[version] / one) for one in PLACES)
        told = {
            "PARVIS_DATA": self.folder / "data", "PARVIS_DATABASE_URL": self.place.url_of(""), "PARVIS_PUBLIC_URL": self.base_of("files"),
            "PYTHONPATH": path, **self.kafka, **more,
        }  # fmt: skip
        return {**os.environ, **{name: str(value) for name, value in told.items()}}

    def command(self, version: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "parvis_suite", *arguments]
        said = subprocess.run(command, env=self.environ(version), cwd=self.folder, capture_output=True, text=True, timeout=240, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
        return said.stdout

    async def start(self, version: str, name: str) -> Process:
        """Both versions share one port; of who is not ASKED nobody asks anything."""
        metrics, port = free_port(), self.ports[name] if name in self.ports else free_port()
        log = self.folder / f"{name}-{version}-{metrics}.log"
        environ = self.environ(version, PARVIS_PORT=port, PARVIS_METRICS_PORT=metrics)
        with log.open("ab") as output:
            command = [sys.executable, "-m", "parvis_suite", "serve", "--shared", name]
            running = subprocess.Popen(command, env=environ, cwd=self.folder, stdout=output, stderr=output)
        self.stack.callback(kill, running)
        started = Process(name, running, log, metrics)

        async def answers() -> bool:
            assert running.poll() is None, log.read_text()[-3000:]
            with suppress(OSError, aiohttp.ClientError):
                async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{metrics}/metrics") as answer:
                    return answer.status == 200
            return False

        await until(answers, f"{name} of {version} serves", STARTED_SECONDS_MAX)
        return started

    async def ask(self, question: str, *values: object) -> Any:
        conn = await asyncpg.connect(self.place.url_of(""))
        try:
            return await conn.fetchval(question, *values)
        finally:
            await conn.close()

    async def said(self, kind: str, topic: str) -> set[UUID]:
        """The ids of the facts of this kind that went through Kafka; a relay that was stopped may have sent one twice."""
        records = await records_of(Kafka.read(self.kafka), topic)
        return {
            UUID(heads["ce_id"].decode()) for heads in (dict(record.headers) for record in records) if heads["ce_type"] == kind.encode()
        }


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


@pytest.fixture
def upgrade(place: Place, kafka: KafkaServer, tmp_path: Path, version_n: Path) -> Iterator[Upgrade]:
    ports = {service: free_port() for service in ASKED}
    with ExitStack() as stack:
        yield Upgrade(place, kafka.environ(), tmp_path, {"n": version_n, "n+1": CHECKOUT}, stack, ports)


def make_people(upgrade: Upgrade) -> None:
    """Two agents, with tokens, by version n: today's would write into tables that are not there yet."""
    command, environ = [sys.executable, TWO_AGENTS], upgrade.environ("n")
    said = subprocess.run(command, env=environ, cwd=upgrade.folder, capture_output=True, text=True, timeout=240, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    upgrade.people, upgrade.tokens = json.loads(said.stdout.splitlines()[-1])


class Load:
    """Files stored and shared, and meetings, one after the other; whoever finds nobody asks again, and its keys make that harmless."""

    def __init__(self, upgrade: Upgrade, session: aiohttp.ClientSession) -> None:
        self.upgrade, self.acknowledged, self.meetings = upgrade, dict[str, bytes](), list[str]()
        self.files, self.calendar = (
            Client(SimpleNamespace(base=upgrade.base_of(service)), session, upgrade.tokens[0])  # type: ignore[arg-type]
            for service in ASKED
        )
        self.over = False

    async def run(self) -> None:
        root_id = (await self.files.ask("GET", "/api/files/v1/spaces/personal"))["root_id"]
        number = 0
        while not self.over:
            number += 1
            await self.meet(number)
            await self.store(root_id, number)

    async def meet(self, number: int) -> None:
        starts_at = FIRST_MEETING + timedelta(hours=number)
        meeting = {
            "title": f"Point {number}", "starts_at": starts_at.isoformat(), "ends_at": (starts_at + timedelta(minutes=30)).isoformat(),
            "attendees": [self.upgrade.people[1]],
        }  # fmt: skip
        made = await self.calendar.ask("POST", "/api/calendar/v1/events", meeting, f"meeting-{number}")
        self.meetings.append(made["event_id"])

    async def store(self, root_id: str, number: int) -> None:
        content = f"contenu {number}".encode()
        declared = {"name": f"{number}.txt", "size_bytes": len(content), "sha256": sha256(content).hexdigest(), "media_type": "text/plain"}
        upload = await self.files.ask("POST", f"/api/files/v1/folders/{root_id}/uploads", declared, f"file-{number}")
        if upload["state"] != "committed":
            assert await self.files.send(upload["put"], content) in (200, 201, 204, 412)
            upload = await self.files.ask("POST", f"/api/files/v1/uploads/{upload['id']}/complete", {})
        shared = {"grantee_kind": "agent", "grantee_id": self.upgrade.people[1], "role": "reader"}
        await self.files.ask("POST", f"/api/files/v1/items/{upload['file_id']}/shares", shared, f"share-{number}")
        self.acknowledged[upload["file_id"]] = content

    async def more(self, number: int) -> None:
        """Until so many more are acknowledged."""
        wanted = len(self.acknowledged) + number

        async def are_there() -> bool:
            return len(self.acknowledged) >= wanted

        await until(are_there, f"{wanted} files are acknowledged", STARTED_SECONDS_MAX)

    async def heard(self, service: str) -> None:
        """Until this service has taken all that was acknowledged up to now, and nothing twice."""
        number = len(self.acknowledged)
        for kind, topic in HEARD[service].items():

            async def is_there(kind: str = kind, topic: str = topic) -> bool:
                said = await self.upgrade.said(kind, topic)
                question = f"SELECT count(*) FROM {service}.inbox WHERE consumer = $1 AND event_id = ANY($2)"
                return len(said) >= number and await self.upgrade.ask(question, service, list(said)) == len(said)

            await until(is_there, f"{service} has heard of each {kind}", STARTED_SECONDS_MAX)

    async def read(self, file_id: str) -> bytes:
        address = await self.files.ask("GET", f"/api/files/v1/files/{file_id}/download")

        async def once() -> bytes:
            async with self.files.session.get(URL(address["url"], encoded=True)) as answer:
                if answer.status != 200:
                    raise NotYet(str(answer.status))
                return await answer.read()

        content: bytes = await patiently(once)
        return content


def has_served(process: Process) -> bool:
    return f'"path": "/api/{process.name}' in process.log.read_text()


async def roll(upgrade: Upgrade, load: Load) -> None:
    async def start(version: str, *names: str) -> dict[str, Process]:
        return {name: await upgrade.start(version, name) for name in names}

    async def stop(processes: dict[str, Process], *names: str) -> None:
        for name in names:
            await asyncio.to_thread(processes[name].stop)

    old = await start("n", *SERVICES)
    await load.more(5)
    said = await asyncio.to_thread(upgrade.command, "n+1", "migrate")
    assert "steps done" in said, "tables are added to, and version n goes on"
    await load.more(5)

    new = await start("n+1", *ASKED)
    await load.more(10)
    assert all(has_served(processes[name]) for processes in (old, new) for name in ASKED), "side by side"
    await load.heard("billing")
    await load.heard("messaging")  # version n reads what version n+1 says

    new |= await start("n+1", "directory", "billing", "messaging")
    await stop(old, "files", "messaging", "directory")  # calendar's stays: its tables were added to, and n is too old to start on them
    await load.more(5)
    await load.heard("messaging")

    # one process back: the old billing alone hears the new files, then the old ones speak to the new messaging
    await stop(new, "billing")
    await load.more(3)
    await load.heard("billing")
    back = await start("n", "files") | {"calendar": old["calendar"]}
    await stop(new, *ASKED)
    await load.more(5)
    await load.heard("messaging")

    # today's goes back too: it starts on tables that the version after it has added to
    assert await upgrade.ask("UPDATE calendar.alembic_version SET version_num = '9999' RETURNING true")
    await start("n+1", *ASKED, "billing")
    await stop(back, *ASKED)
    await stop(old, "billing")
    await load.more(3)


async def all_is_there(upgrade: Upgrade, load: Load) -> None:
    number = len(load.acknowledged)
    for service, kinds in HEARD.items():
        await load.heard(service)
        assert await upgrade.ask(f"SELECT count(*) FROM {service}.parked") == 0
        for kind, topic in kinds.items():
            assert len(await upgrade.said(kind, topic)) == number, f"each {kind} is said once"
    for notice in NOTICES:
        assert await upgrade.ask("SELECT count(*) FROM messaging.notice WHERE kind = $1", notice) == number
    for file_id, content in load.acknowledged.items():
        assert await load.read(file_id) == content
    last = FIRST_MEETING + timedelta(hours=number + 1)
    path = f"/api/calendar/v1/events?from={FIRST_MEETING:%Y-%m-%dT%H:%M:%SZ}&to={last:%Y-%m-%dT%H:%M:%SZ}"
    assert {one["event_id"] for one in (await load.calendar.ask("GET", path))["items"]} >= set(load.meetings)


def test_two_versions_side_by_side_lose_nothing_and_one_may_go_back(upgrade: Upgrade) -> None:
    where = [sys.executable, "-c", "import parvis_files; print(parvis_files.__file__)"]
    for version, tree in upgrade.trees.items():
        said = subprocess.run(where, env=upgrade.environ(version), cwd=upgrade.folder, capture_output=True, text=True, check=True).stdout
        assert said.startswith(str(tree)), "otherwise one version would be tried twice"
    upgrade.command("n", "migrate")
    make_people(upgrade)

    async def work() -> None:
        connector = aiohttp.TCPConnector(force_close=True)  # each request may meet another version
        async with aiohttp.ClientSession(connector=connector) as session:
            load = Load(upgrade, session)
            loading = asyncio.create_task(load.run())
            rolling = asyncio.create_task(roll(upgrade, load))
            await asyncio.wait({loading, rolling}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                rolling.cancel()
                loading.result()
            rolling.result()
            load.over = True
            await loading
            await all_is_there(upgrade, load)

    asyncio.run(work())
