"""The whole suite as its users meet it: a process on a folder and a port, killed or not, and clients that ask again."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import sqlalchemy as sa
from parvis_kit.problems import Unavailable
from parvis_kit.settings import Platform
from parvis_suite.services import build_all
from pydantic import SecretStr
from yarl import URL

from ..conftest import free_port

KILLS = 30 if os.environ.get("SOAK") else 4
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
PATIENCE_SECONDS_MAX = 240.0
"""Of whoever asks again while the suite is started again, on a machine that has much else to do."""


BROKEN_OFF = (502, 504)
"""What a proxy says of a service that was killed or is frozen: as if the connection had been cut."""


@dataclass
class Running:
    """`parvis up --demo` on one folder and port, whatever becomes of the process."""

    folder: Path
    environ: dict[str, str]
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    kills: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    dav_python: str = ""
    """Where the CalDAV client lies."""
    walk: int = 0
    """Which walk through the job this is: the next one has people of its own."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def platform(self) -> Platform:
        url = self.environ.get("PARVIS_DATABASE_URL", "")
        return Platform(data=self.folder, database_url=SecretStr(url), port=self.port)

    def start(self) -> None:
        with open(self.folder.with_suffix(".log"), "ab") as output:
            command = [sys.executable, "-m", "parvis_suite", "up", "--demo"]
            self.process = subprocess.Popen(command, env=self.environ, stdout=output, stderr=output)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(PATIENCE_SECONDS_MAX) == 0

    def command(self, *arguments: str, expected: int = 0) -> str:
        """`parvis …` beside the one that runs, as an operator types it."""
        command = [sys.executable, "-m", "parvis_suite", *arguments]
        said = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS_MAX, check=False)
        assert said.returncode == expected, f"{arguments}: {said.returncode}\n{said.stdout}{said.stderr}"
        return said.stdout

    def insist(self, *arguments: str) -> str:
        """A command that a kill may have met half-way; done twice, it is done once."""
        for _ in range(5):
            try:
                return self.command(*arguments)
            except AssertionError:
                continue
        return self.command(*arguments)


async def made_once(folder: Path, url: str) -> None:
    """What the demonstration's first start leaves, to be copied: another start of it takes a tenth of the time."""
    with running_suite(folder / "data", url) as suite:
        await patiently(lambda: ready(suite))
        await asyncio.to_thread(suite.stop)


@contextmanager
def running_suite(folder: Path, url: str) -> Iterator[Running]:
    """On this database, or on SQLite, until the block is left."""
    port = free_port()
    path = os.pathsep.join(filter(None, sys.path))
    environ = {**os.environ, "PARVIS_DATA": str(folder), "PARVIS_PORT": str(port), "PARVIS_METRICS_PORT": "0", "PYTHONPATH": path}
    if url:
        environ["PARVIS_DATABASE_URL"] = url
    running = Running(folder, environ, port)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def under_fire(suite: Running, random: Random) -> Iterator[None]:
    """Killed at any moment and started again, some times; it runs when the block is left."""
    over = threading.Event()

    def shoot() -> None:
        while suite.kills < KILLS and not over.wait(random.uniform(0.3, 6.0)):
            suite.kill()
            suite.kills += 1
            suite.start()

    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Client:
    """Somebody's client: when nobody answers, it asks again, and its keys make that harmless."""

    def __init__(self, suite: Running, session: aiohttp.ClientSession, token: str) -> None:
        self.suite, self.session, self.headers = suite, session, {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any = None, key: str = "", early: tuple[int, ...] = (401, 404, 429, 503)) -> Any:
        """`early`: what is answered while something that was said is not known everywhere yet."""
        headers = self.headers | ({"Idempotency-Key": key} if key else {})

        async def once() -> Any:
            async with self.session.request(method, f"{self.suite.base}{path}", json=body, headers=headers) as answer:
                text = await answer.text()
                if answer.status in (*early, *BROKEN_OFF):
                    raise NotYet(f"{method} {path}: {answer.status} {text}")
                assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
                return json.loads(text) if text else None

        return await patiently(once)

    async def send(self, address: Any, content: bytes) -> int:
        async def once() -> int:
            url = URL(address["url"], encoded=True)
            async with self.session.request(address["method"], url, data=content, headers=address["headers"]) as answer:
                await answer.read()
                if answer.status >= 500:
                    raise NotYet(f"the blob store: {answer.status}")
                return answer.status

        return await patiently(once)


class NotYet(Exception):
    """It may be otherwise in a moment."""


async def patiently(once: Callable[[], Awaitable[Any]]) -> Any:
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS_MAX
    while True:
        try:
            return await once()
        except (aiohttp.ClientError, TimeoutError, OSError, Unavailable, NotYet):
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.1)


async def ready(suite: Running) -> None:
    """A suite that gave up by itself has said why: nobody waits for it."""
    gave_up = suite.process is not None and (suite.process.poll() or 0) > 0
    assert not gave_up, suite.folder.with_suffix(".log").read_text()[-2000:]
    async with aiohttp.ClientSession() as session, session.get(f"{suite.base}/readyz") as answer:
        if answer.status != 200 or not (suite.folder / "demo.json").exists():
            raise NotYet("not ready")


async def everybody(directory: Any) -> list[Any]:
    from uuid import UUID

    from parvis_directory import queries
    from parvis_directory.rules import Asker

    root = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}))
    found: list[Any] = []
    async with directory.database.read() as conn:
        while True:
            page = await queries.agents_for(conn, root, found[-1].id if found else None, 100, None)
            found += page.items
            if page.next is None:
                return found


async def rebuild(suite: Running, *names: str) -> None:
    """Every projection, computed again from the state topics, is what the live one was."""
    services = build_all(suite.platform, names)
    try:
        for service in services:
            for projection in service.projections:
                rows = partial(rows_of, service, projection)
                before = await patiently(rows)
                await asyncio.to_thread(suite.insist, "events", "rebuild", projection.name, "--watch")
                assert before and await patiently(rows) == before, projection.name
    finally:
        for service in services:
            await service.database.close()


async def rows_of(service: Any, projection: Any) -> list[str]:
    found: list[str] = []
    async with service.database.read() as conn:
        for table in projection.tables:
            found += [f"{table.name} {tuple(row)}" for row in await conn.execute(sa.select(table))]
    return sorted(found)
