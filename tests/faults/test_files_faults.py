"""Files under fire: killed at every state while sixteen write; what was acknowledged reads back, nothing is stuck, nothing is left over."""

import asyncio
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import sqlalchemy as sa
from parvis_contracts.directory import AgentState, SigningKeyState
from parvis_files.blobs import BlobStore
from parvis_files.blobs.disk import crc64nvme
from parvis_files.blobs.opening import open_store
from parvis_files.rules.uploads import OPEN
from parvis_files.store import item, ministry_quota, orphan, space, upload, version
from parvis_kit import access
from parvis_kit.clock import utc_now
from parvis_kit.db import Database
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import PostgresServer
from parvis_kit.testing.servers import end, started
from parvis_kit.testing.waiting import until
from pydantic import SecretStr

from ..conftest import free_port
from .files_server import BROKEN, KEEPS_PLACES, LOSES_BYTES

pytestmark = pytest.mark.soak
ROUNDS = 50 if os.environ.get("SOAK") else 3
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
"""Drawn anew for each run and printed with each failure; SEED=… runs the same again."""
WINDOWS = [
    "files.declared", "files.begun", "files.received", "files.put_together", "files.committing", "files.scanning",
    "transaction.before_commit", "transaction.after_commit",
]  # fmt: skip
WRITERS = 16
STUCK_SECONDS_MAX = 30
START_SECONDS_MAX = 120
"""On a machine that has much else to do; what is looked at begins when it is ready."""
CONTROL_SECONDS = 12.0
"""Four times a deadline: what is not broken needs half of it."""
DEADLINE_MINUTES = 0.05
SCRIPT = Path(__file__).with_name("files_server.py")
PACKAGES = ("services", "infra", "files")


@dataclass
class Fire:
    """A files service that dies and comes back, its agent, and what it has acknowledged."""

    said: dict[str, Any]
    folder: Path
    token: str
    random: Random
    process: "subprocess.Popen[str] | None" = None
    acknowledged: dict[str, str] = field(default_factory=dict)
    """File → SHA-256."""
    writing: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.said['port']}"

    def start(self, failpoint: str = "") -> None:
        path = self.folder / "said.json"
        path.write_text(json.dumps(self.said))
        root = SCRIPT.parents[2]
        environ = {**os.environ, "PARVIS_FAIL": failpoint, "PYTHONPATH": os.pathsep.join(str(root / one) for one in PACKAGES)}
        self.process = subprocess.Popen([sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE, text=True, env=environ)
        out = self.process.stdout
        line = out.readline() if out and select.select([out], [], [], START_SECONDS_MAX)[0] else None
        if line == "":  # its end of the pipe is closed a moment before it can be seen to be dead
            self.process.wait(START_SECONDS_MAX)
        assert line == "ready\n" or self.is_dead, f"the service did not get ready: {line!r}"

    @property
    def is_dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    async def write(self, session: aiohttp.ClientSession, number: int) -> None:
        """One file after the other, each step again until it is answered."""
        random = Random(f"{SEED} {number}")
        while self.writing:
            content = random.randbytes(random.choice((0, 1000, 20_000, 50_000, 90_000)))
            with suppress(GivenUp):
                await self.store(session, f"{number} {random.getrandbits(32)}.bin", content, random)

    async def store(self, session: aiohttp.ClientSession, name: str, content: bytes, random: Random) -> None:
        digest = hashlib.sha256(content).hexdigest()
        declared = await self.declare(session, name, content)
        path = f"uploads/{declared['id']}"
        if declared["put"] is None:
            asked = {"parts": [{"number": 1, "crc64nvme": crc64nvme(content)}]}
            declared["put"] = (await self.ask(session, "POST", f"{path}/parts", asked))["parts"][0]["address"]
        if random.random() < 0.1:
            return  # a sender who goes away
        await self.send(session, declared["put"], content)
        done = await self.ask(session, "POST", f"{path}/complete", {})
        while done["state"] in OPEN:
            await asyncio.sleep(0.05)
            done = await self.ask(session, "GET", path)
        if done["state"] == "committed":
            self.acknowledged[done["file_id"]] = digest

    async def declare(self, session: aiohttp.ClientSession, name: str, content: bytes) -> Any:
        home = await self.ask(session, "GET", "spaces/personal")
        body = {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return await self.ask(session, "POST", f"folders/{home['root_id']}/uploads", body, key=name)

    async def ask(self, session: aiohttp.ClientSession, method: str, path: str, body: Any = None, key: str = "") -> Any:
        """Until somebody answers. Raises GivenUp for a refusal: the upload's time was over."""
        headers = {"Authorization": f"Bearer {self.token}", **({"Idempotency-Key": key.replace(" ", "-")} if key else {})}
        while True:
            try:
                async with session.request(method, f"{self.url}/api/files/v1/{path}", json=body, headers=headers) as answer:
                    if answer.status < 300:
                        return await answer.json()
                    if answer.status < 500:
                        raise GivenUp(await answer.text())
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                pass
            if not self.writing and self.is_dead:
                raise GivenUp
            await asyncio.sleep(0.05)

    async def send(self, session: aiohttp.ClientSession, address: Any, content: bytes) -> None:
        headers = {name: value for name, value in address["headers"].items() if name.lower() != "content-length"}
        while True:
            try:
                async with session.request(address["method"], address["url"], data=content, headers=headers) as answer:
                    if answer.status in (200, 412):  # there already: the answer to the first attempt was lost
                        return
                    if answer.status < 500:
                        raise GivenUp(await answer.text())
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                pass
            await asyncio.sleep(0.05)


class GivenUp(Exception):
    """The upload has come to its end without a file."""


@pytest.fixture(params=["sqlite and a folder", "postgresql and s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A database URL and the settings of a blob store."""
    if request.param.startswith("sqlite"):
        yield {"database_url": "", "blobs": {}}
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    s3 = request.getfixturevalue("s3")
    database = server.create()
    yield {"database_url": database, "blobs": blobs_at(s3, tmp_path)}
    server.drop(database)


def blobs_at(s3: dict[str, str], folder: Path) -> dict[str, str]:
    """Settings of a bucket of its own in this store."""
    secret = folder / "secret"
    secret.write_text(s3["secret"])
    scheme, _, host = s3["endpoint"].partition("://")
    return {"blobs_url": f"{scheme}://{s3['access_key']}@{host}/t{uuid4().hex[:10]}", "blobs_secret_file": str(secret)}


@pytest.fixture(scope="module")
def key() -> Any:
    return access.make_key()


@pytest.fixture
def fire(place: dict[str, Any], tmp_path: Path, key: Any) -> Iterator[Fire]:
    one = fire_at(place, tmp_path, key)
    try:
        yield one
    finally:
        one.kill()


def fire_at(place: dict[str, Any], tmp_path: Path, key: Any) -> Fire:
    port, agent_id, ministry_id, kid, now = free_port(), uuid4(), uuid4(), str(key.kid), utc_now()
    agent = AgentState(
        at=now, about=str(agent_id), agent_id=agent_id, ministry_id=ministry_id, kind="agent", state="active", email="ada@example.org",
        given_name="Ada", family_name="Martin",
    )  # fmt: skip
    public = SigningKeyState(at=now, about=kid, kid=kid, jwk=access.public_jwk(key), not_after=now + timedelta(days=1))
    claims = access.Claims(
        iss=access.issuer_of(f"http://127.0.0.1:{port}"), aud="parvis", iat=int(now.timestamp()),
        exp=int((now + timedelta(hours=12)).timestamp()), sub=agent_id, sid=uuid4(), ministry=ministry_id, roles=("agent",),
        scope="files:read files:write",
    )  # fmt: skip
    said = {
        "port": port, "data": str(tmp_path / "data"), "minutes": DEADLINE_MINUTES, "agent": agent.model_dump(mode="json"),
        "key": public.model_dump(mode="json"), **place,
    }  # fmt: skip
    print(f"seed {SEED}")
    return Fire(said, tmp_path, access.sign(claims, key), Random(SEED))


def windows(random: Random, *more: str) -> list[str]:
    """Each as often as the others, in an order that the seed says."""
    found = [*WINDOWS, *more] * -(-ROUNDS // len(WINDOWS))
    random.shuffle(found)
    return found[:ROUNDS]


async def test_killed_at_any_state_under_sixteen_writers_nothing_acknowledged_is_lost_stuck_or_left_over(fire: Fire) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        writers: list[asyncio.Task[None]] = []
        for window in windows(fire.random, *(() if fire.said["blobs"] else ("blobs.before_keep",))):  # the folder is in our process
            await asyncio.to_thread(fire.start, f"{window}:kill:{fire.random.randint(3, 25)}")
            writers = writers or [asyncio.create_task(fire.write(session, number)) for number in range(WRITERS)]
            before = len(fire.acknowledged)

            async def is_dead() -> bool:
                return fire.is_dead

            await until(is_dead, f"the service dies at {window}", seconds=60)
            assert fire.process is not None and fire.process.returncode == -signal.SIGKILL, (window, fire.process.returncode)
            await asyncio.to_thread(fire.start)

            async def goes_on(least: int = before + WRITERS) -> bool:
                return len(fire.acknowledged) >= least

            await until(goes_on, f"writers go on after {window}", seconds=60)
            fire.kill()
        await asyncio.to_thread(fire.start)
        await check(fire, session, writers)


@pytest.mark.parametrize("broken", ["", *BROKEN])
async def test_a_service_that_is_broken_on_purpose_does_not_pass(broken: str, tmp_path: Path, key: Any) -> None:
    """The control: the same fire and the same looks, which pass when nothing is broken, find each thing that is."""
    fire = fire_at({"database_url": "", "blobs": {}, "broken": broken}, tmp_path, key)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            await asyncio.to_thread(fire.start, "files.committing:kill:12")
            await fire.declare(session, "left.bin", bytes(20_000))  # by somebody who goes away, whatever the seed says of the others
            writers = [asyncio.create_task(fire.write(session, number)) for number in range(WRITERS)]

            async def is_dead() -> bool:
                return fire.is_dead

            await until(is_dead, "the service dies", seconds=60)
            assert fire.acknowledged
            await asyncio.to_thread(fire.start)
            with pytest.raises(AssertionError, match=FOUND[broken]) if broken else nullcontext():
                await check(fire, session, writers, CONTROL_SECONDS)
    finally:
        fire.kill()


FOUND = {
    "never drives what lies still": "no upload is stuck",
    "never collects what is left over": "what is in the store is what the versions refer to",
    KEEPS_PLACES: "quotas are what the versions hold",
    LOSES_BYTES: "was acknowledged and is lost",
}


async def test_with_the_store_killed_under_sixteen_writers_nothing_acknowledged_is_lost_stuck_or_left_over(
    postgres: PostgresServer, s3: dict[str, str], s3_script: Path, tmp_path: Path, key: Any
) -> None:
    database = postgres.create()
    store = ["--dir", str(tmp_path / "store")]
    with ExitStack() as stack:
        stack.callback(postgres.drop, database)
        said = stack.enter_context(started(s3_script, *store))
        blobs = blobs_at(said, tmp_path)
        fire = fire_at({"database_url": database, "blobs": blobs}, tmp_path, key)
        stack.callback(fire.kill)
        await asyncio.to_thread(fire.start)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            writers = [asyncio.create_task(fire.write(session, number)) for number in range(WRITERS)]
            for _ in range(ROUNDS):
                least = len(fire.acknowledged) + fire.random.randint(WRITERS, 4 * WRITERS)

                async def goes_on(least: int = least) -> bool:
                    return len(fire.acknowledged) >= least

                await until(goes_on, "writers go on", seconds=60)
                await asyncio.to_thread(end, int(said["pid"]))
                port = said["endpoint"].rpartition(":")[2]
                said = await asyncio.to_thread(stack.enter_context, started(s3_script, *store, "--port", port))
            assert not fire.is_dead
            await check(fire, session, writers)


async def check(
    fire: Fire, session: aiohttp.ClientSession, writers: "list[asyncio.Task[None]]", seconds: float = STUCK_SECONDS_MAX
) -> None:
    """When all is there again: nothing is lost, stuck or left over."""
    again = time.monotonic()
    fire.writing = False
    await asyncio.wait(writers, timeout=seconds)
    async with records(fire) as database:

        async def nothing_is_open() -> bool:
            async with database.read() as conn:
                return not (await conn.execute(sa.select(sa.func.count()).where(upload.c.state.in_(OPEN)))).scalar()

        await until(nothing_is_open, "no upload is stuck", seconds=seconds - (time.monotonic() - again))
        await asyncio.wait_for(asyncio.gather(*writers), seconds)
        await check_reading(fire, session)
        await check_rows(fire, database, 2 * seconds)


@asynccontextmanager
async def records(fire: Fire) -> AsyncIterator[Database]:
    """A look into its tables from outside."""
    platform = Platform(data=Path(fire.said["data"]), database_url=SecretStr(fire.said["database_url"]))
    database = Database(platform.database_url_of("files"), "files")
    try:
        yield database
    finally:
        await database.close()


async def check_reading(fire: Fire, session: aiohttp.ClientSession) -> None:
    """Every acknowledged file has the content that it was sent with."""
    for file_id, digest in fire.acknowledged.items():
        found = await fire.ask(session, "GET", f"files/{file_id}/download")
        async with session.get(found["url"]) as answer:
            as_sent = answer.status == 200 and hashlib.sha256(await answer.read()).hexdigest() == digest
            assert as_sent, f"{file_id} was acknowledged and is lost"


async def check_rows(fire: Fire, database: Database, seconds: float) -> None:
    """Quotas are what the versions say, each version has its bytes, and in the end nothing else has."""
    async with database.read() as conn:
        held = int((await conn.execute(sa.select(sa.func.sum(version.c.size_bytes)))).scalar() or 0)
        spaces = [(row[0], row[1]) for row in await conn.execute(sa.select(space.c.used_bytes, space.c.reserved_bytes))]
        ministries = [tuple(row) for row in await conn.execute(sa.select(ministry_quota.c.used_bytes, ministry_quota.c.reserved_bytes))]
        files = {row[0] for row in await conn.execute(sa.select(item.c.id).where(item.c.is_file))}
        keys = {row[0] for row in await conn.execute(sa.select(version.c.blob_key))}
    assert spaces == ministries == [(held, 0)], "quotas are what the versions hold"
    assert {UUID(one) for one in fire.acknowledged} <= files and len(files) == len(keys)
    store = store_of(fire)

    async def is_clean() -> bool:
        async with database.read() as conn:
            marked = (await conn.execute(sa.select(sa.func.count()).select_from(orphan))).scalar()
        return not marked and {one.key async for one in store.keys()} == keys and not [one async for one in store.multiparts()]

    try:
        await until(is_clean, "what is in the store is what the versions refer to", seconds=seconds)
    finally:
        await store.close()


def store_of(fire: Fire) -> BlobStore:
    blobs = fire.said["blobs"]
    secret = Path(blobs["blobs_secret_file"]) if blobs else None
    return open_store(blobs.get("blobs_url", ""), secret, "", Platform(data=Path(fire.said["data"])), utc_now)
