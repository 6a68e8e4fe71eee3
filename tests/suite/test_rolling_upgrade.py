"""Two versions of Parvis at work side by side, under load: the one that closed the first milestone, from this history, and today's."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import asyncpg
import pytest
from parvis_kit.testing.databases import Place
from parvis_kit.testing.waiting import until
from yarl import URL

from ..conftest import free_port
from .running import Client, NotYet, patiently

CHECKOUT = Path(__file__).resolve().parents[2]
VERSION_N = "e9a1b6d9134307fb902f6e4e274e5f2156b728b4"
"""The commit that closed the first milestone."""
TWO_AGENTS = Path(__file__).with_name("two_agents.py")
PLACES = ("services", "files", "calendar", "messaging", "billing", "infra")
SERVICES = ("directory", "files", "billing", "messaging")
"""Files says what the two others hear."""
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
    folder: Path
    trees: dict[str, Path]
    stack: ExitStack
    port: int
    people: list[str] = field(default_factory=list)
    """Their ids."""
    tokens: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self, version: str, **more: object) -> dict[str, str]:
        path = os.pathsep.join(str(self.trees[version] / one) for one in PLACES)
        told = {
            "PARVIS_DATA": self.folder / "data", "PARVIS_DATABASE_URL": self.place.url_of(""), "PARVIS_PUBLIC_URL": self.base,
            "PYTHONPATH": path, **more,
        }  # fmt: skip
        return {**os.environ, **{name: str(value) for name, value in told.items()}}

    def command(self, version: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "parvis_suite", *arguments]
        said = subprocess.run(command, env=self.environ(version), cwd=self.folder, capture_output=True, text=True, timeout=240, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
        return said.stdout

    async def start(self, version: str, name: str) -> Process:
        """Files of both versions share one port; of the others nobody asks anything."""
        metrics, port = free_port(), self.port if name == "files" else free_port()
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


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


@pytest.fixture
def upgrade(place: Place, tmp_path: Path, version_n: Path) -> Iterator[Upgrade]:
    port = free_port()
    with ExitStack() as stack:
        yield Upgrade(place, tmp_path, {"n": version_n, "n+1": CHECKOUT}, stack, port)


def make_people(upgrade: Upgrade) -> None:
    """Two agents, with tokens, by version n: today's would write into tables that are not there yet."""
    command, environ = [sys.executable, TWO_AGENTS], upgrade.environ("n")
    said = subprocess.run(command, env=environ, cwd=upgrade.folder, capture_output=True, text=True, timeout=240, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    upgrade.people, upgrade.tokens = json.loads(said.stdout.splitlines()[-1])


class Load:
    """Files stored and shared, one after the other; whoever finds nobody asks again, and its keys make that harmless."""

    def __init__(self, upgrade: Upgrade, session: aiohttp.ClientSession) -> None:
        self.upgrade, self.acknowledged = upgrade, dict[str, bytes]()
        self.client = Client(SimpleNamespace(base=upgrade.base), session, upgrade.tokens[0])  # type: ignore[arg-type]
        self.over = False

    async def run(self) -> None:
        root_id = (await self.client.ask("GET", "/api/files/v1/spaces/personal"))["root_id"]
        number = 0
        while not self.over:
            number += 1
            await self.store(root_id, number)

    async def store(self, root_id: str, number: int) -> None:
        content = f"contenu {number}".encode()
        declared = {"name": f"{number}.txt", "size_bytes": len(content), "sha256": sha256(content).hexdigest(), "media_type": "text/plain"}
        upload = await self.client.ask("POST", f"/api/files/v1/folders/{root_id}/uploads", declared, f"file-{number}")
        if upload["state"] != "committed":
            assert await self.client.send(upload["put"], content) in (200, 201, 204, 412)
            upload = await self.client.ask("POST", f"/api/files/v1/uploads/{upload['id']}/complete", {})
        shared = {"grantee_kind": "agent", "grantee_id": self.upgrade.people[1], "role": "reader"}
        await self.client.ask("POST", f"/api/files/v1/items/{upload['file_id']}/shares", shared, f"share-{number}")
        self.acknowledged[upload["file_id"]] = content

    async def more(self, number: int) -> None:
        """Until so many more are acknowledged."""
        wanted = len(self.acknowledged) + number

        async def are_there() -> bool:
            return len(self.acknowledged) >= wanted

        await until(are_there, f"{wanted} files are acknowledged", STARTED_SECONDS_MAX)

    async def heard(self, service: str) -> None:
        """Until this service has taken all that was said of files up to now, each once."""
        said = await self.upgrade.ask("SELECT max(seq) FROM files.log")

        async def is_there() -> bool:
            place = f"SELECT next FROM {service}.consumer_offset WHERE consumer = $1 AND partition = 'files'"
            return bool((await self.upgrade.ask(place, service) or 0) > said)

        await until(is_there, f"{service} has heard of all", STARTED_SECONDS_MAX)

    async def read(self, file_id: str) -> bytes:
        address = await self.client.ask("GET", f"/api/files/v1/files/{file_id}/download")

        async def once() -> bytes:
            async with self.client.session.get(URL(address["url"], encoded=True)) as answer:
                if answer.status != 200:
                    raise NotYet(str(answer.status))
                return await answer.read()

        content: bytes = await patiently(once)
        return content


def has_served(process: Process) -> bool:
    return '"path": "/api/files' in process.log.read_text()


async def roll(upgrade: Upgrade, load: Load) -> None:
    old = {name: await upgrade.start("n", name) for name in SERVICES}
    await load.more(5)
    said = await asyncio.to_thread(upgrade.command, "n+1", "migrate")
    assert "steps done" in said, "tables are added to, and version n goes on"
    await load.more(5)

    files = await upgrade.start("n+1", "files")
    await load.more(10)
    assert has_served(old["files"]) and has_served(files), "side by side"
    await load.heard("billing")
    await load.heard("messaging")  # version n reads what version n+1 says

    new = {name: await upgrade.start("n+1", name) for name in ("directory", "billing", "messaging")} | {"files": files}
    for name in ("files", "messaging", "directory"):
        await asyncio.to_thread(old[name].stop)
    await load.more(5)
    await load.heard("messaging")

    # one process back: the old billing alone hears the new files, then the old files speak to the new messaging
    await asyncio.to_thread(new["billing"].stop)
    await load.more(3)
    await load.heard("billing")
    back = await upgrade.start("n", "files")
    await asyncio.to_thread(new["files"].stop)
    await load.more(5)
    await load.heard("messaging")

    await upgrade.start("n+1", "files")
    await upgrade.start("n+1", "billing")
    await asyncio.to_thread(back.stop)
    await asyncio.to_thread(old["billing"].stop)
    await load.more(3)


async def all_is_there(upgrade: Upgrade, load: Load) -> None:
    for service in ("billing", "messaging"):
        await load.heard(service)
        assert await upgrade.ask(f"SELECT count(*) FROM {service}.parked") == 0
    number = len(load.acknowledged)
    for kind, service in (("files.file.stored.v1", "billing"), ("files.share.granted.v1", "messaging")):
        assert await upgrade.ask("SELECT count(*) FROM files.log WHERE type = $1", kind) == number, f"each {kind} is said once"
        question = f"SELECT count(*) FROM {service}.inbox JOIN files.log USING (event_id) WHERE type = $1 AND consumer = $2"
        assert await upgrade.ask(question, kind, service) == number, f"{service} has each once"
    assert await upgrade.ask("SELECT count(*) FROM messaging.notice WHERE kind = 'file_shared'") == number
    for file_id, content in load.acknowledged.items():
        assert await load.read(file_id) == content


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
