"""A running instance that is restored to a moment: PostgreSQL from a base backup and its WAL, while Kafka and the S3 store go on."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from parvis_files.blobs.opening import open_store
from parvis_kit.clock import utc_now
from parvis_kit.testing.kafka import KafkaServer
from parvis_kit.testing.servers import started
from parvis_kit.testing.waiting import until
from parvis_suite.demo_documents import Document
from parvis_suite.demo_files import Agent, Doors
from yarl import URL

from ..conftest import free_port
from .running import Client, NotYet, Running, patiently, ready

SYNC = '<D:sync-collection xmlns:D="DAV:"><D:sync-token>{}</D:sync-token><D:sync-level>1</D:sync-level><D:prop/></D:sync-collection>'
EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Parvis//preuve//FR\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\n"
    "DTSTART:20261201T090000Z\r\nDTEND:20261201T100000Z\r\nSUMMARY:Point\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


@dataclass
class Instance:
    """The suite on a PostgreSQL that archives its WAL, with Kafka and a folder of blobs or an S3 store beside it."""

    folder: Path
    script: Path
    stack: ExitStack
    said: dict[str, str] = field(default_factory=dict)

    def start_postgres(self, place: Path) -> None:
        port = [] if not self.said else ["--port", self.said["url"].rpartition(":")[2].partition("/")[0]]
        self.postgres = ExitStack()
        self.stack.callback(lambda: self.postgres.close())
        options = ["--durable", "--dir", str(place), "--archive", str(self.folder / "archive"), *port]
        self.said = self.postgres.enter_context(started(self.script, *options))

    def back_up(self) -> None:
        """As docs/operating-backup.md says it."""
        command = [
            f"{self.said['bin']}/pg_basebackup",
            "-d",
            self.said["url"],
            "-D",
            str(self.folder / "base/data"),
            "-X",
            "none",
            "-c",
            "fast",
        ]
        subprocess.run(command, check=True, capture_output=True)

    def restore_to(self, moment: datetime) -> None:
        """As docs/operating-backup.md says it."""
        self.postgres.close()
        data = self.folder / "base/data"
        lines = [
            f"restore_command = 'cp {self.folder}/archive/%f %p'",
            f"recovery_target_time = '{moment.isoformat()}'",
            "recovery_target_action = 'promote'",
        ]
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("\n".join(lines) + "\n")
        (data / "recovery.signal").touch()
        (data / "postmaster.pid").unlink(missing_ok=True)
        for path in (data.parent, data, *data.rglob("*")):
            shutil.chown(path, owner_of(self.folder / "archive"))
        self.start_postgres(data.parent)


def owner_of(path: Path) -> int:
    return path.stat().st_uid


@pytest.fixture
def instance(open_folder: Path, postgres_script: Path) -> Iterator[Instance]:
    with ExitStack() as stack:
        one = Instance(open_folder, postgres_script, stack)
        one.start_postgres(open_folder / "first")
        yield one


@pytest.fixture
def running(instance: Instance, kafka: KafkaServer, s3: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    """The suite, with the files in the S3 store."""
    port = free_port()
    secret = tmp_path / "s3-secret"
    secret.write_text(s3["secret"])
    endpoint = s3["endpoint"].removeprefix("http://")
    environ = {
        **os.environ, **kafka.environ(), "PARVIS_DATA": str(tmp_path / "data"), "PARVIS_PORT": str(port), "PARVIS_METRICS_PORT": "0",
        "PARVIS_DATABASE_URL": instance.said["url"], "PARVIS_FILES_BLOBS_URL": f"http://{s3['access_key']}@{endpoint}/restored-{uuid4().hex[:8]}",
        "PARVIS_FILES_BLOBS_SECRET_FILE": str(secret), "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    suite = Running(tmp_path / "data", environ, port)
    suite.start()
    try:
        yield suite
    finally:
        suite.kill()


class Acts:
    """What people do, by the doors."""

    def __init__(self, suite: Running, session: aiohttp.ClientSession) -> None:
        self.suite, self.session = suite, session
        self.demo = json.loads((suite.folder / "demo.json").read_text())
        self.ada, self.bob = self.demo["agents"][6], self.demo["agents"][9]
        self.chief = next(one for one in self.demo["agents"] if "ministry_administrator" in one["roles"])
        self.operator = next(one for one in self.demo["agents"] if "operator" in one["roles"])

    def by(self, who: dict[str, Any]) -> Client:
        return Client(self.suite, self.session, who["token"])

    async def store(self, name: str, content: bytes) -> str:
        doors = Doors(self.suite.base, self.session)
        ada = Agent(self.ada["id"], self.ada["ministry"], self.ada["token"], False, False)
        space = await doors.ask(ada, "GET", "/api/files/v1/spaces/personal")
        return await doors.store(ada, space["root_id"], Document(name, "text/plain", content), uuid4().hex)

    async def read(self, file_id: str) -> bytes | int:
        """Or the status by which it is not there."""
        headers = {"Authorization": f"Bearer {self.ada['token']}"}
        path = f"{self.suite.base}/api/files/v1/files/{file_id}/download"
        async with self.session.get(path, headers=headers) as answer:
            if answer.status != 200:
                return answer.status
            url = (await answer.json())["url"]
        async with self.session.get(URL(url, encoded=True)) as answer:
            return await answer.read() if answer.status == 200 else answer.status

    async def changes(self, since: int) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.ada['token']}"}
        path = f"{self.suite.base}/api/files/v1/spaces/{self.ada['personal_space']}/changes?since={since}&limit=500"
        async with self.session.get(path, headers=headers) as answer:
            return answer.status, await answer.json()

    async def dav(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        headers["Authorization"] = aiohttp.encode_basic_auth(self.ada["email"], self.ada["app_password"])
        async with self.session.request(method, f"{self.suite.base}{path}", data=body, headers=headers) as answer:
            return answer.status, await answer.text()

    @property
    def agenda(self) -> str:
        return f"/dav/calendars/{self.ada['id']}/agenda/"

    async def put_event(self, uid: str) -> None:
        status, text = await self.dav("PUT", f"{self.agenda}{uid}.ics", EVENT.format(uid=uid), **{"Content-Type": "text/calendar"})
        assert status == 201, text

    async def sync(self, token: str = "") -> tuple[int, str]:
        """The status and the new token."""
        status, text = await self.dav("REPORT", self.agenda, SYNC.format(token), Depth="0", **{"Content-Type": "application/xml"})
        return status, text.partition("sync-token>")[2].partition("<")[0] if status == 207 else text

    async def join(self, given: str) -> str:
        """A new agent of the chief's ministry."""
        known = next(one for one in self.demo["ministries"] if one["id"] == self.chief["ministry"])
        email = f"{given}.revenu@{self.chief['email'].partition('@')[2]}"
        body = {"ministry_id": known["id"], "email": email, "given_name": given.title(), "family_name": "Revenu"}
        return str((await self.by(self.chief).ask("POST", "/api/directory/v1/agents", body, uuid4().hex))["id"])

    async def texts_of(self, who: dict[str, Any]) -> list[str]:
        """All that was written to them, as a Matrix client finds it."""
        found = await self.by(who).ask("GET", "/api/messaging/v1/notices?limit=100")
        return [json.dumps(one, ensure_ascii=False) for one in found["items"]]


async def known_to_files(suite: Running, agent_id: str) -> bool:
    """Whether the roster of files has them."""
    conn = await asyncpg.connect(suite.environ["PARVIS_DATABASE_URL"])
    try:
        return bool(await conn.fetchval("SELECT count(*) FROM files.roster_agent WHERE id = $1", agent_id))
    finally:
        await conn.close()


@dataclass
class Kept:
    """What came before the moment and what came after it."""

    moment: datetime
    file_before: str
    file_after: str
    file_purged: str
    joined_before: str
    joined_after: str
    token_before: str
    token_after: str
    number_after: int


async def live(suite: Running, instance: Instance) -> Kept:
    async with aiohttp.ClientSession() as session:
        acts = Acts(suite, session)
        instance.back_up()
        before, purged = await acts.store("avant.txt", b"avant"), await acts.store("purge.txt", b"garde-moi")
        await acts.by(acts.ada).ask(
            "POST",
            f"/api/files/v1/items/{before}/shares",
            {"grantee_kind": "agent", "grantee_id": acts.bob["id"], "role": "reader"},
            "share",
        )  # noqa: E501
        await acts.put_event("avant")
        joined = await acts.join("avant")
        _, token = await acts.sync()
        moment = await now_there(suite)
        after = await acts.store("apres.txt", b"apres")
        for method, path in (("DELETE", f"/api/files/v1/items/{purged}"), ("POST", f"/api/files/v1/items/{purged}/purge")):
            await acts.by(acts.ada).ask(method, path, None)
        await acts.put_event("apres")
        lost = await acts.join("apres")
        seen = await acts.by(acts.chief).ask("GET", f"/api/directory/v1/agents/{joined}")
        headers = {**acts.by(acts.chief).headers, "If-Match": f'"{seen["revision"]}"'}
        async with session.patch(f"{suite.base}/api/directory/v1/agents/{joined}", json={"state": "suspended"}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        _, token_after = await acts.sync()
        _, changes = await acts.changes(0)

        async def is_known() -> bool:
            return await known_to_files(suite, lost)

        await until(is_known, "files has heard of who will not have come")
        return Kept(moment, before, after, purged, joined, lost, token, token_after, changes["reaches"])


async def now_there(suite: Running) -> datetime:
    """By the database's clock; the WAL up to here is archived by the switch."""
    conn = await asyncpg.connect(suite.environ["PARVIS_DATABASE_URL"])
    try:
        await conn.execute("SELECT pg_sleep(0.2)")
        moment: datetime = await conn.fetchval("SELECT clock_timestamp()")
        await conn.execute("SELECT pg_sleep(0.2)")
        return moment
    finally:
        await conn.close()


async def archived(suite: Running, instance: Instance) -> None:
    """All that was written until now."""
    conn = await asyncpg.connect(suite.environ["PARVIS_DATABASE_URL"])
    try:
        name = await conn.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
    finally:
        await conn.close()

    async def is_there() -> bool:
        return (instance.folder / "archive" / name).exists()

    await until(is_there, "the last segment is archived")


def lines_of(said: str, begin: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(begin)]


async def look_around(suite: Running, kept: Kept) -> None:
    """What is there again, what is gone, and what clients are told who remember too much."""
    async with aiohttp.ClientSession() as session:
        acts = Acts(suite, session)
        assert await acts.read(kept.file_before) == b"avant" and await acts.read(kept.file_purged) == b"garde-moi"
        assert await acts.read(kept.file_after) == 404
        assert (await acts.dav("GET", f"{acts.agenda}avant.ics"))[0] == 200
        assert (await acts.dav("GET", f"{acts.agenda}apres.ics"))[0] == 404
        for token in (kept.token_before, kept.token_after):
            status, text = await acts.sync(token)
            assert status == 403 and "valid-sync-token" in text
        assert (await acts.changes(kept.number_after))[0] == 410
        status, anew = await acts.changes(0)
        names = {one["item"]["name"] for one in anew["changes"] if one["item"]}
        assert status == 200 and {"avant.txt", "purge.txt"} <= names and "apres.txt" not in names
        seen = await acts.by(acts.chief).ask("GET", f"/api/directory/v1/agents/{kept.joined_before}")
        assert seen["state"] == "active", "the suspension is undone, and the doctor has said so"
        assert not await known_to_files(suite, kept.joined_after), "whoever never came is known to nobody"
        lately = await acts.join("depuis")

        async def is_known() -> None:
            if not await known_to_files(suite, lately):
                raise NotYet("facts flow no more")

        await patiently(is_known)
        again = await acts.store("depuis.txt", b"depuis")
        assert await acts.read(again) == b"depuis"
        shared = [one for one in await acts.texts_of(acts.bob) if "avant.txt" in one]
        assert len(shared) == 1, shared


@contextmanager
def a_blob_missing(suite: Running, file_id: str) -> Iterator[str]:
    """The bytes of a file that a row tells of, as after its collection in the time that is lost; brought back at the end."""
    url, secret = suite.environ["PARVIS_FILES_BLOBS_URL"], Path(suite.environ["PARVIS_FILES_BLOBS_SECRET_FILE"])

    async def pieces(content: bytes) -> AsyncIterator[bytes]:
        yield content

    async def work(content: bytes | None) -> tuple[str, bytes]:
        conn = await asyncpg.connect(suite.environ["PARVIS_DATABASE_URL"])
        key = await conn.fetchval("SELECT blob_key FROM files.version WHERE item_id = $1", file_id)
        await conn.close()
        store = open_store(url, secret, "", suite.platform, utc_now)
        try:
            if content is not None:
                await store.write(key, pieces(content))
                return key, content
            kept = b"".join([piece async for piece in store.read(key)])
            await store.delete(key)
            return key, kept
        finally:
            await store.close()

    key, kept = asyncio.run(work(None))
    yield key
    asyncio.run(work(kept))


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


def test_an_instance_is_restored_to_a_moment(running: Running, instance: Instance) -> None:
    asyncio.run(patiently(lambda: ready(running)))  # type: ignore[arg-type]
    kept = asyncio.run(live(running, instance))
    assert running.process is not None
    refused = running.command("doctor", "--after-restore", kept.moment.isoformat(), expected=1)
    assert "stop `parvis serve files` everywhere" in refused and "NOT YET" in refused
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    asyncio.run(archived(running, instance))
    instance.restore_to(kept.moment)

    moment = kept.moment.isoformat()
    said = running.command("doctor", "--after-restore", moment, expected=1)
    wrong = "\n".join(lines_of(said, "WRONG"))
    for words in ("homes' sync tokens", "spaces' numbers of changes", "homeserver's positions", "1 directory.agent.joined.v1"):
        assert words in wrong, said
    assert "TO DO AGAIN" in said and kept.joined_before in said, "a suspension"
    assert "blobs and database agree" not in wrong, said

    with a_blob_missing(running, kept.file_purged) as key:
        repaired = running.command("doctor", "--after-restore", moment, "--repair", expected=1)
        assert f"1 versions have no bytes: bring them back from the store's backup. Files, and keys: {kept.file_purged} ({key})" in repaired
        assert repaired.splitlines()[-1].startswith("NOT YET")
    once_more = running.command("doctor", "--after-restore", moment)
    assert once_more.splitlines()[-1] == "READY: Parvis may be started", once_more
    assert "tells of 0 facts" in once_more and "renewed now" not in once_more

    running.start()
    asyncio.run(patiently(lambda: ready(running)))  # type: ignore[arg-type]
    asyncio.run(look_around(running, kept))
    assert "nothing is parked" in running.command("events", "parked")
