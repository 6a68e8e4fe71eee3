"""Messaging and its Synapse under fire: both killed at random, and a Synapse restored to earlier; each message arrives once."""

import asyncio
import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import sqlalchemy as sa
from parvis_contracts.directory import AgentState, CredentialState
from parvis_kit import access
from parvis_kit.clock import utc_now
from parvis_kit.events.ledger import tables_of
from parvis_kit.testing.databases import PostgresServer
from parvis_kit.testing.plugin import missing
from parvis_kit.testing.servers import ServerMissing, started
from parvis_kit.testing.waiting import until
from parvis_messaging.homeserver import registration
from parvis_messaging.homeserver.port import Failed
from parvis_messaging.homeserver.synapse import Synapse
from parvis_messaging.store import account

from ..conftest import free_port
from .messaging_server import RANDOM_IDS
from .test_messaging_faults import AGENTS, ROUNDS, SEED, SETTLE_SECONDS_MAX, Fire

pytestmark = pytest.mark.soak
WINDOWS = ["bridge.sent", "bridge.sending", "bridge.finishing", "bridge.saying", "consumer.after_commit"]
FACTS_PER_ROUND, ANSWERS_PER_ROUND = 12, 8
SERVER = "parvis.test"


@dataclass
class SynapseFire(Fire):
    """Two that die and come back."""

    script: Path = Path()
    stack: ExitStack = field(default_factory=ExitStack)
    at: str = ""
    synapse_pid: int = 0
    changing: threading.Lock = field(default_factory=threading.Lock)
    """Whoever finds Synapse dead starts it, and must not while it is being started already."""

    @property
    def homeserver(self) -> str:
        return self.at

    @property
    def place(self) -> Path:
        return self.folder / "synapse"

    def start_synapse(self) -> None:
        port = self.at.rpartition(":")[2] or str(free_port())
        known = (
            "--dir",
            str(self.place),
            "--port",
            port,
            "--server-name",
            SERVER,
            "--registration",
            str(self.folder / "registration.json"),
        )
        said = self.stack.enter_context(started(self.script, *known))
        self.at, self.synapse_pid = said["url"], int(said["pid"])

    def stop_synapse(self, how: signal.Signals) -> None:
        os.kill(self.synapse_pid, how)
        self.stack.close()

    def restart_synapse(self) -> None:
        with self.changing:
            self.stop_synapse(signal.SIGKILL)
            self.start_synapse()

    def revive(self) -> None:
        super().revive()
        with self.changing:
            if not Path(f"/proc/{self.synapse_pid}").exists():
                self.stack.close()
                self.start_synapse()

    async def arrived(self) -> Counter[str]:
        """The names in all that Parvis has written in the agents' rooms, as Synapse has it now."""
        found: Counter[str] = Counter()
        server = Synapse(self.at, SERVER, registration.read(self.folder / "registration.json"))
        try:
            for agent in self.agents:
                room_id, start = await self.room_of(agent), None
                while True:
                    page = await server.read_back(room_id, start)
                    bodies = [one["content"].get("body", "") for one in page.events if one["sender"] == server.bot]
                    found.update(body.partition("« ")[2].partition(" »")[0] for body in bodies if "« " in body)
                    if (start := page.end) is None:
                        break
        except Failed:
            return Counter()
        finally:
            await server.close()
        return found

    async def said_on_the_log(self) -> Counter[str]:
        log, outbox = tables_of("messaging")["log"].c, tables_of("messaging")["outbox"].c
        kind = "messaging.message.posted.v1"
        both = sa.union_all(sa.select(log.data).where(log.type == kind), sa.select(outbox.data).where(outbox.type == kind))
        async with self.database("messaging") as database, database.read() as conn:
            return Counter(json.loads(row[0])["message_id"] for row in await conn.execute(both))

    async def check(self) -> None:
        """Everything arrives; nothing of it twice."""

        async def all_is_there() -> bool:
            return set(self.shared) <= set(await self.arrived()) and set(self.answered) <= set(await self.said_on_the_log())

        try:
            await until(all_is_there, "nothing is lost", seconds=SETTLE_SECONDS_MAX)
        finally:
            notices, answers = await self.arrived(), await self.said_on_the_log()
            lost = len(set(self.shared) - set(notices)), len(set(self.answered) - set(answers))
            twice = [name for found in (notices, answers) for name, count in found.items() if count > 1]
            print(f"{len(self.shared)} notices, {len(self.answered)} answers: lost {lost}, twice {len(twice)}")
        assert not twice, f"nothing comes twice: {twice[:5]}"


@pytest.fixture
def fire(postgres: PostgresServer, synapse_script: Path, tmp_path: Path) -> Iterator[SynapseFire]:
    url, port, path = postgres.create(), free_port(), tmp_path / "registration.json"
    registration.write(path, registration.made(SERVER, f"http://127.0.0.1:{port}"))
    print(f"seed {SEED}")
    said = {"port": port, "data": str(tmp_path / "data"), "database_url": url, "environ": {}}
    one = SynapseFire(said, tmp_path, Random(SEED), script=synapse_script)
    try:
        one.start_synapse()
        prefix = "PARVIS_MESSAGING_"
        known = {"HOMESERVER_URL": one.at, "REGISTRATION_FILE": str(path), "SERVER_NAME": SERVER}
        said["environ"] = {f"{prefix}{name}": value for name, value in known.items()}
        yield one
    except ServerMissing as reason:
        missing("Synapse", str(reason))
    finally:
        one.kill()
        one.stack.close()
        postgres.drop(url)


async def begun(fire: SynapseFire) -> None:
    await asyncio.to_thread(fire.start)
    await fire.introduce()
    for agent in fire.agents:
        await fire.room_of(agent)


async def a_round(fire: SynapseFire, session: aiohttp.ClientSession, window: str) -> None:
    """Messaging dies at this window, and Synapse wherever it is just then."""
    await asyncio.to_thread(fire.kill)
    await asyncio.to_thread(fire.start, f"{window}:kill:{fire.random.randint(2, 6)}")
    await fire.share(FACTS_PER_ROUND)
    answering = asyncio.create_task(fire.answer(session, ANSWERS_PER_ROUND))
    await asyncio.sleep(fire.random.uniform(0.2, 1.5))  # noqa: ASYNC251 (at random, which is the test)
    await asyncio.to_thread(fire.restart_synapse)
    await answering
    await asyncio.to_thread(fire.revive)


async def test_both_killed_at_random_every_notice_arrives_once_and_every_answer_is_said_once(fire: SynapseFire) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        await begun(fire)
        windows = (WINDOWS * (ROUNDS // len(WINDOWS) + 1))[:ROUNDS]
        for window in windows:
            await a_round(fire, session, window)
        await asyncio.to_thread(fire.kill)  # it may not have come to its last window yet, and would die there unseen
        await asyncio.to_thread(fire.start)
        await fire.check()


async def test_random_transaction_ids_do_not_pass(fire: SynapseFire) -> None:
    """The control: killed between the sending and the writing down, a notice comes twice."""
    fire.said["broken"] = RANDOM_IDS
    await begun(fire)
    await fire.share(1)
    await fire.check()  # the rooms are settled: what comes now are notices alone
    await asyncio.to_thread(fire.kill)
    await asyncio.to_thread(fire.start, "bridge.sent:kill:3")
    await fire.share(FACTS_PER_ROUND)

    async def is_dead() -> bool:
        return fire.is_dead

    await until(is_dead, "messaging dies", seconds=SETTLE_SECONDS_MAX)
    await asyncio.to_thread(fire.start)
    with pytest.raises(AssertionError, match="nothing comes twice"):
        await fire.check()


async def test_what_a_synapse_restored_to_earlier_has_lost_is_there_again_once(fire: SynapseFire) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        await begun(fire)
        await fire.share(6)
        body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "a0.martin"}, "password": str(fire.passwords[0])}
        ended = await fire.ask(session, "POST", "login", {**body, "device_id": "ENDED"}, "")
        await fire.check()
        await asyncio.to_thread(fire.stop_synapse, signal.SIGTERM)
        await asyncio.to_thread(shutil.copytree, fire.place, fire.folder / "backup")
        await asyncio.to_thread(fire.start_synapse)
        await fire.ask(session, "POST", "logout", {}, ended["access_token"])
        await forget_session(fire)
        await a_newcomer(fire)
        await fire.share(12)
        await fire.answer(session, 4)
        await fire.check()
        await asyncio.to_thread(fire.stop_synapse, signal.SIGTERM)
        await asyncio.to_thread(shutil.rmtree, fire.place)
        await asyncio.to_thread(shutil.copytree, fire.folder / "backup", fire.place)
        await asyncio.to_thread(fire.start_synapse)
        await fire.share(4)
        await fire.check()
        await fire.answer(session, 4)
        await fire.check()

        async def is_out() -> bool:
            headers = {"Authorization": f"Bearer {ended['access_token']}"}
            async with session.get(f"{fire.at}/_matrix/client/v3/account/whoami", headers=headers) as answer:
                return answer.status == 401

        await until(is_out, "the session that the backup brought back is ended", seconds=SETTLE_SECONDS_MAX)


async def forget_session(fire: SynapseFire) -> None:
    """As after its app password was revoked and it was ended."""
    from parvis_messaging.store import device

    async with fire.database("messaging") as database, database.transaction() as tx:
        await tx.execute(sa.delete(device).where(device.c.device_id == "ENDED"))


async def a_newcomer(fire: SynapseFire) -> None:
    """An agent of whom the backup knows nothing, neither account nor room."""
    agent, password, credential, now = uuid4(), access.make_app_password(), uuid4(), utc_now()
    fire.agents.append(agent)
    fire.passwords.append(password)
    state = AgentState(
        at=now, about=str(agent), agent_id=agent, ministry_id=uuid4(), kind="agent", state="active", email="new@example.org",
        given_name=f"a{AGENTS}", family_name="Martin",
    )  # fmt: skip
    kept = CredentialState(
        at=now, about=str(credential), credential_id=credential, agent_id=agent, kind="app_password", state="active",
        prefix=password.prefix, digest=password.digest, scopes=("matrix",), expires_at=None,
    )  # fmt: skip
    await fire.publish("directory", state, kept)
    await fire.room_of(agent)

    async def is_ready() -> bool:
        async with fire.database("messaging") as database, database.read() as conn:
            row: Any = (await conn.execute(sa.select(account.c.ready_at).where(account.c.agent_id == agent))).scalar()
            return row is not None

    await until(is_ready, "the newcomer's account is made", seconds=SETTLE_SECONDS_MAX)
