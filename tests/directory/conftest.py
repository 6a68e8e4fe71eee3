"""A small town: directory behind its doors on either database, two ministries, and a second service that keeps the roster."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from parvis_contracts.leavers import LeaverAcknowledged
from parvis_directory import actions, queries
from parvis_directory.api.sign_in import DESK
from parvis_directory.app import build
from parvis_directory.rules import Asker, Kind, Role
from parvis_directory.settings import Settings
from parvis_kit import access
from parvis_kit.db import Database, metadata_for
from parvis_kit.events import log_tables
from parvis_kit.events.bell import Bell
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.events.log import Log
from parvis_kit.events.running import Flow, tasks_of
from parvis_kit.events.sql_log import SqlLog
from parvis_kit.http import DB, Limiter, Rate, Request, Routes, mount
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import Place, make_tables
from parvis_roster import AGENT, Freshness, Guard, projection, roster_tables, who_asks
from parvis_suite.assembly import migrate
from pydantic import SecretStr

ROOT = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}))
WHO = Routes("desk", "1")


@dataclass
class Who:
    id: UUID
    ministry_id: UUID


@WHO.get("/api/desk/v1/who", scope="directory:read")
async def who(request: Request) -> Who:
    """Who is asking."""
    async with request[DB].read() as conn:
        await conn.execute(sa.select(1))
    return Who(request[AGENT].id, request[AGENT].ministry_id)


@dataclass
class Town:
    platform: Platform
    clock: FrozenClock
    directory: Service
    client: "TestClient[Any, Any]"
    stack: AsyncExitStack
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)
    ministries: dict[str, UUID] = field(default_factory=dict)

    async def call(self, method: str, path: str, *, by: str = "", body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, body and headers. `by`: somebody of this town, with their token."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if by:
            sent["Authorization"] = f"Bearer {self.tokens[by]}"
        if method == "POST" and body is not None and path.startswith("/api/") and "Idempotency-Key" not in sent:
            sent["Idempotency-Key"] = uuid4().hex
        async with self.client.request(method, path, json=body, headers=sent) as answer:
            text = await answer.read()
            return answer.status, await answer.json(content_type=None) if text else None, answer.headers

    async def add(self, name: str, ministry: str, *roles: Role, kind: Kind = "agent") -> UUID:
        """An agent and a token of theirs."""
        end = self.clock() + timedelta(days=1) if kind == "guest" else None
        new = actions.NewPerson(
            self.ministries[ministry], None, kind, f"{name}@{ministry}.example.org", name, "Martin", "fr", list(roles), end
        )  # type: ignore[arg-type]
        async with self.directory.database.transaction() as tx:
            person = await actions.create_agent(tx, ROOT, new, now=self.clock())
            session = await actions.open_session(tx, person, life=timedelta(hours=12), now=self.clock())
            kid, pem = await queries.key_that_signs(tx, self.clock())
        issuer = self.directory.handles[DESK].issuer
        claims = actions.claims_for(person, session.id, issuer=issuer, now=self.clock(), life=timedelta(hours=12))
        self.tokens[name], self.ids[name] = access.sign(claims, access.private_key(pem, kid)), person.id
        return person.id


@pytest.fixture(autouse=True, scope="session")
def quick_keys() -> Iterator[None]:
    """A real key, made once: 3072 bits take a second, and no test asks how they were found."""
    key = access.make_key()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access, "make_key", lambda: key)
        yield


@pytest.fixture
def acknowledgements() -> dict[str, type[LeaverAcknowledged]]:
    """The facts by which other services acknowledge a departure: nobody does, unless a test says otherwise."""
    return {}


@pytest.fixture
def resolve() -> Any:
    """Whose `texts` says what the DNS says: nobody is asked, unless a test says otherwise."""
    return None


@pytest.fixture
async def town(
    place: Place,
    tmp_path: Path,
    clock: FrozenClock,
    database_kind: str,
    request: pytest.FixtureRequest,
    acknowledgements: dict[str, type[LeaverAcknowledged]],
    resolve: Any,
) -> AsyncIterator[Town]:
    async def tables(folder: Path, url: str) -> None:
        anywhere = Platform(data=folder, database_url=SecretStr(url))
        service = build(anywhere, clock, Settings(local_sign_in=True))
        await migrate([service], anywhere)
        await service.database.close()

    await place.prepare("directory", tables)
    url = "" if place.server is None else place.url_of("any")
    kafka = request.getfixturevalue("kafka").settings().model_dump() if database_kind == "kafka" else {}
    platform = Platform(data=tmp_path, database_url=SecretStr(url), access_log=False, public_url="http://parvis.test", **kafka)
    directory = build(platform, clock, Settings(local_sign_in=True), acknowledgements, resolve.texts if resolve else None)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(directory.database.close)
        await migrate([directory], platform)
        for run in directory.before:
            await run()
        app = web.Application()
        mount(app, directory, platform)
        client = await stack.enter_async_context(TestClient(TestServer(app)))
        town = Town(platform, clock, directory, client, stack)
        for name, siren in (("interieur", "110014016"), ("ecologie", "110068012")):
            async with directory.database.transaction() as tx:
                town.ministries[name] = (await actions.create_ministry(tx, ROOT, siren, f"Ministère {name}", now=clock())).id
        await town.add("ada", "interieur", "ministry_administrator")
        await town.add("bob", "interieur")
        await town.add("eve", "ecologie", "ministry_administrator")
        await town.add("oli", "ecologie", "operator")
        yield town


class Desk:
    """Another service: it knows agents by its roster alone."""

    def __init__(self, town: Town, place: Place) -> None:
        self.town = town
        metadata = metadata_for("desk")
        log_tables(metadata)
        roster_tables(metadata)
        self.metadata = metadata
        self.database = Database(place.url_of("desk"), "desk")
        self.reads_as = self.database.url
        """Under which role it reads directory's log."""
        self.freshness = Freshness(town.clock)
        self.bell = Bell()
        limits = (Limiter(Rate(5, 60), lambda: town.clock().timestamp()) for _ in range(2))
        guard = Guard(*limits)
        self.service = Service(
            name="desk", database=self.database, clock=town.clock, metadata=metadata, migrations="", routes=[WHO],
            authenticate=who_asks("desk", self.freshness, public_url=town.platform.public_url, guard=guard),
            projections=[projection("desk", self.freshness)],
            is_fresh=self.freshness.is_complete,
        )  # fmt: skip
        self.tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        await make_tables(self.database, self.metadata)
        app = web.Application()
        mount(app, self.service, self.town.platform)
        self.client = await self.town.stack.enter_async_context(TestClient(TestServer(app)))
        self.town.stack.push_async_callback(self.close)

    def start(self) -> None:
        """Facts begin to flow: directory's relay, and this service's roster."""
        platform = self.town.platform
        log: Log = KafkaLog(platform, self.url_of, self.bell) if platform.is_kafka else SqlLog(self.url_of, self.bell)
        mine = Flow(self.database, self.town.clock, log, {}, self.service.projections)
        theirs = Flow(self.town.directory.database, self.town.clock, log, {})
        for flow in (theirs, mine):
            self.tasks += [asyncio.create_task(run(), name=name) for name, run in tasks_of(flow).items()]  # type: ignore[arg-type]

    def url_of(self, service: str) -> str:
        return self.reads_as if service == "desk" else self.town.platform.database_url_of(service)

    async def who(self, authorization: str) -> int:
        async with self.client.get("/api/desk/v1/who", headers={"Authorization": authorization}) as answer:
            return answer.status

    async def late(self, authorization: str) -> str | None:
        async with self.client.get("/api/desk/v1/who", headers={"Authorization": authorization}) as answer:
            return answer.headers.get("Parvis-Late-Seconds")

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.database.close()


@pytest.fixture
async def desk(town: Town, place: Place) -> Desk:
    made = Desk(town, place)
    await made.open()
    return made


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
