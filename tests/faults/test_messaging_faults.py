"""Messaging under fire: killed at every window; each notice arrives once, and each answer is said once."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import sqlalchemy as sa
from parvis_contracts.directory import AgentState, CredentialState
from parvis_contracts.files import FileShared
from parvis_kit import access
from parvis_kit.clock import utc_now
from parvis_kit.db import Database
from parvis_kit.events import Fact, publish
from parvis_kit.events.ledger import tables_of
from parvis_kit.settings import Platform
from parvis_kit.testing.databases import PostgresServer
from parvis_kit.testing.waiting import until
from parvis_messaging.store import event
from parvis_messaging.store.links import link
from pydantic import SecretStr

from ..conftest import free_port
from .messaging_server import BROKEN, FINISHES_FIRST, RANDOM_IDS

pytestmark = pytest.mark.soak
ROUNDS = 40 if os.environ.get("SOAK") else 3
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
"""Drawn anew for each run and printed with each failure; SEED=… runs the same again."""
WINDOWS = [
    "bridge.sent", "bridge.saying", "consumer.before_commit", "bridge.sending", "bridge.finishing", "consumer.after_commit",
    "transaction.before_commit", "transaction.after_commit",
]  # fmt: skip
AGENTS = 4
FACTS_PER_ROUND, ANSWERS_PER_ROUND = 24, 12
START_SECONDS_MAX, SETTLE_SECONDS_MAX, CONTROL_SECONDS_MAX = 40, 60, 20
SCRIPT = Path(__file__).with_name("messaging_server.py")
PACKAGES = ("services", "infra", "files", "calendar", "messaging", "billing")


@dataclass
class Fire:
    """Messaging that dies and comes back, those who publish, and agents who write."""

    said: dict[str, Any]
    folder: Path
    random: Random
    agents: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(AGENTS)])
    passwords: list[access.AppPassword] = field(default_factory=lambda: [access.make_app_password() for _ in range(AGENTS)])
    process: "subprocess.Popen[str] | None" = None
    shared: list[str] = field(default_factory=list)
    """The names of what was shared, committed to the log of files."""
    answered: list[str] = field(default_factory=list)
    """The events of what agents wrote, as the homeserver acknowledged them."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.said['port']}"

    @property
    def homeserver(self) -> str:
        """Where agents are signed in."""
        return self.url

    def revive(self) -> None:
        """Whatever is dead."""
        if self.is_dead:
            self.start()

    @property
    def platform(self) -> Platform:
        return Platform(data=Path(self.said["data"]), database_url=SecretStr(self.said["database_url"]))

    def start(self, failpoint: str = "") -> None:
        path = self.folder / "said.json"
        path.write_text(json.dumps(self.said))
        root = SCRIPT.parents[2]
        environ = {**os.environ, "PARVIS_FAIL": failpoint, "PYTHONPATH": os.pathsep.join(str(root / one) for one in PACKAGES)}
        environ |= self.said.get("environ", {})
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

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[Database]:
        """A look from outside."""
        database = Database(self.platform.database_url_of(service), service)
        try:
            yield database
        finally:
            await database.close()

    async def publish(self, service: str, *facts: Fact) -> None:
        async with self.database(service) as database, database.transaction() as tx:
            publish(tx, *facts)

    async def introduce(self) -> None:
        """Agents with app passwords for messages."""
        now, ministry = utc_now(), uuid4()
        facts: list[Fact] = []
        for number, (one, password) in enumerate(zip(self.agents, self.passwords, strict=True)):
            facts.append(
                AgentState(
                    at=now, about=str(one), agent_id=one, ministry_id=ministry, kind="agent", state="active",
                    email=f"a{number}@example.org", given_name=f"a{number}", family_name="Martin",
                )
            )  # fmt: skip
            credential = uuid4()
            facts.append(
                CredentialState(
                    at=now, about=str(credential), credential_id=credential, agent_id=one, kind="app_password", state="active",
                    prefix=password.prefix, digest=password.digest, scopes=("matrix",), expires_at=now + timedelta(days=1),
                )
            )  # fmt: skip
        await self.publish("directory", *facts)

    async def share(self, count: int) -> None:
        for _ in range(count):
            giver, taker = self.random.sample(self.agents, 2)
            share, name = uuid4(), f"{len(self.shared):05}.odt"
            fact = FileShared(
                at=utc_now(), about=str(share), share_id=share, file_id=uuid4(), space_id=uuid4(), grantee_kind="agent",
                grantee_id=taker, role="reader", shared_by=giver, name=name,
            )  # fmt: skip
            await self.publish("files", fact)
            self.shared.append(name)

    async def answer(self, session: aiohttp.ClientSession, count: int) -> None:
        """By an agent, in their room with Parvis; asked again until it is acknowledged, under the same transaction id."""
        number = self.random.randrange(AGENTS)
        room_id = await self.room_of(self.agents[number])
        token = await self.ask(
            session, "POST", "login", {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": f"a{number}.martin"},
            "password": str(self.passwords[number]), "device_id": f"D{number}"}, "",
        )  # fmt: skip
        for _ in range(count):
            path = f"rooms/{room_id}/send/m.room.message/{self.random.getrandbits(60)}"
            said = await self.ask(session, "PUT", path, {"msgtype": "m.text", "body": "Lu"}, token["access_token"])
            self.answered.append(said["event_id"])

    async def room_of(self, agent_id: UUID) -> str:
        found: list[str] = []

        async def is_there() -> bool:
            async with self.database("messaging") as database, database.read() as conn:
                found[:] = [row[0] for row in await conn.execute(sa.select(link.c.room_id).where(link.c.subject_id == agent_id)) if row[0]]
            return bool(found)

        await until(is_there, "the agent has a room", seconds=SETTLE_SECONDS_MAX)
        return found[0]

    async def ask(self, session: aiohttp.ClientSession, method: str, path: str, body: Any, token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        while True:
            try:
                async with session.request(method, f"{self.homeserver}/_matrix/client/v3/{path}", json=body, headers=headers) as answer:
                    if answer.status == 200:
                        return await answer.json()
                    assert answer.status in (403, 429, 503), await answer.text()
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                pass
            await asyncio.to_thread(self.revive)
            await asyncio.sleep(0.1)


@pytest.fixture(params=["sqlite", "postgresql"])
def fire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fire]:
    url = ""
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = postgres.create()
        request.addfinalizer(lambda: postgres.drop(url))
    one = fire_at(url, tmp_path)
    try:
        yield one
    finally:
        one.kill()


def fire_at(url: str, folder: Path, broken: str = "") -> Fire:
    print(f"seed {SEED}")
    return Fire({"port": free_port(), "data": str(folder / "data"), "database_url": url, "broken": broken}, folder, Random(SEED))


async def round_at(fire: Fire, session: aiohttp.ClientSession, window: str) -> None:
    """Facts and answers until it is killed at this window, and then some more."""
    await asyncio.to_thread(fire.kill)
    await asyncio.to_thread(fire.start, f"{window}:kill:{fire.random.randint(2, 8)}")
    victim = fire.process
    assert victim is not None
    await fire.share(FACTS_PER_ROUND)
    if window == "bridge.saying":
        await fire.answer(session, ANSWERS_PER_ROUND)

    async def is_dead() -> bool:
        return victim.poll() is not None

    await until(is_dead, f"the service dies at {window}", seconds=SETTLE_SECONDS_MAX)
    assert victim.returncode == -signal.SIGKILL, (window, victim.returncode)
    if fire.is_dead:
        await asyncio.to_thread(fire.start)
    await fire.answer(session, ANSWERS_PER_ROUND)


async def check(fire: Fire, seconds: float = SETTLE_SECONDS_MAX) -> None:
    """Everything arrives; nothing of it twice."""
    async with fire.database("messaging") as database:

        async def arrived() -> Counter[str]:
            async with database.read() as conn:
                rows = await conn.execute(sa.select(event.c.content).where(event.c.type == "m.room.message", event.c.device_id == "PARVIS"))
                bodies = [row[0]["body"].partition("\n")[0] for row in rows]
            return Counter(body.partition("« ")[2].partition(" »")[0] for body in bodies)

        async def said() -> Counter[str]:
            log, outbox = tables_of("messaging")["log"].c, tables_of("messaging")["outbox"].c
            kind = "messaging.message.posted.v1"
            both = sa.union_all(sa.select(log.data).where(log.type == kind), sa.select(outbox.data).where(outbox.type == kind))
            async with database.read() as conn:
                return Counter(json.loads(row[0])["message_id"] for row in await conn.execute(both))

        async def all_is_there() -> bool:
            return set(fire.shared) <= set(await arrived()) and set(fire.answered) <= set(await said())

        try:
            await until(all_is_there, "nothing is lost", seconds=seconds)
        finally:
            notices, answers = await arrived(), await said()
            print(f"{len(fire.shared)} notices, {len(fire.answered)} answers")
            lost = len(set(fire.shared) - set(notices)), len(set(fire.answered) - set(answers))
            twice = [name for found in (notices, answers) for name, count in found.items() if count > 1]
            print(f"lost {lost}, twice {len(twice)}")
        assert not twice, f"nothing comes twice: {twice[:5]}"


async def test_killed_at_any_window_every_notice_arrives_once_and_every_answer_is_said_once(fire: Fire) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        await asyncio.to_thread(fire.start)
        await fire.introduce()
        windows = (WINDOWS * (ROUNDS // len(WINDOWS) + 1))[:ROUNDS]
        fire.random.shuffle(windows)
        for agent in fire.agents:
            await fire.room_of(agent)
        for window in windows:
            await round_at(fire, session, window)
        await check(fire)


FOUND = {RANDOM_IDS: "nothing comes twice", FINISHES_FIRST: "nothing is lost"}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_bridge_that_is_broken_on_purpose_does_not_pass(broken: str, tmp_path: Path) -> None:
    """The control: the same fire and the same looks find what is wrong."""
    fire = fire_at("", tmp_path, broken)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            await asyncio.to_thread(fire.start)
            await fire.introduce()
            for agent in fire.agents:
                await fire.room_of(agent)
            for _ in range(2):
                await round_at(fire, session, "bridge.sent")
            with pytest.raises(AssertionError, match=FOUND[broken]):
                await check(fire, CONTROL_SECONDS_MAX)
    finally:
        fire.kill()
