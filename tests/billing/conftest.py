"""A State in small: directory and billing as they are, files as a log that says what files would say, and a clock that tests move."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner, Result
from parvis_billing import actions as billing_actions
from parvis_billing.app import build as build_billing
from parvis_billing.settings import Settings as BillingSettings
from parvis_contracts.files import FilePurged, FileStored
from parvis_directory import actions, queries
from parvis_directory.actions.agents import let_go
from parvis_directory.api.sign_in import DESK
from parvis_directory.app import build as build_directory
from parvis_directory.rules import Asker, Kind, Role
from parvis_directory.settings import Settings
from parvis_directory.sweeps import rotate
from parvis_kit import access
from parvis_kit.background import Background
from parvis_kit.db import Database, metadata_for
from parvis_kit.events import Fact, log_tables, publish
from parvis_kit.events.ledger import tables_of as log_tables_of
from parvis_kit.events.running import tasks_of
from parvis_kit.http import etag, mount
from parvis_kit.ids import new_id
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import Place
from parvis_kit.testing.waiting import until
from parvis_roster import WhoAsks
from parvis_suite.assembly import flow_of, log_of, migrate, settled
from parvis_suite.cli import main
from pydantic import SecretStr

ROOT = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}))
SIRENS = {"interieur": "110014016", "ecologie": "110068012"}
GB = 10**9
SAYING = {name: metadata_for(name) for name in ("files", "calendar", "messaging")}
for tables in SAYING.values():
    log_tables(tables)
FOLDER = Path(__file__).parent / "files"


@pytest.fixture(autouse=True, scope="session")
def quick_keys() -> Iterator[None]:
    """A real key, made once: 3072 bits take a second, and no test asks how they were found."""
    key = access.make_key()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access, "make_key", lambda: key)
        yield


def day(text: str, hour: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(hour=hour, tzinfo=UTC)


@dataclass
class State:
    platform: Platform
    clock: FrozenClock
    services: dict[str, Service]
    client: "TestClient[Any, Any]"
    work: Background
    ids: dict[str, UUID] = field(default_factory=dict)
    ministries: dict[str, UUID] = field(default_factory=dict)
    stored: dict[str, FileStored] = field(default_factory=dict)

    @property
    def billing(self) -> Service:
        return self.services["billing"]

    async def ministry(self, name: str) -> UUID:
        async with self.services["directory"].database.transaction() as tx:
            made = await actions.create_ministry(tx, ROOT, SIRENS[name], f"Ministère {name}", now=self.clock())
        self.ministries[name] = made.id
        return made.id

    async def rename(self, ministry: str, name: str) -> None:
        async with self.services["directory"].database.transaction() as tx:
            one = await queries.ministry_for(tx, ROOT, self.ministries[ministry])
            asked: dict[str, Any] = {"name": name, "app_passwords": None, "if_match": etag(one.revision)}
            await actions.change_ministry(tx, ROOT, one.id, **asked, now=self.clock())

    async def join(self, name: str, ministry: str, *roles: Role, kind: Kind = "agent") -> UUID:
        end = self.clock() + timedelta(days=300) if kind == "guest" else None
        email = f"{name}@{ministry}.example.org"
        new = actions.NewPerson(self.ministries[ministry], None, kind, email, name, "Martin", "fr", list(roles), end)
        async with self.services["directory"].database.transaction() as tx:
            person = await actions.create_agent(tx, ROOT, new, now=self.clock())
        self.ids[name] = person.id
        return person.id

    async def move(self, name: str, ministry: str) -> None:
        async with self.services["directory"].database.transaction() as tx:
            person = await queries.agent_for(tx, ROOT, self.ids[name])
            await actions.move_agent(tx, ROOT, person.id, self.ministries[ministry], None, if_match=etag(person.revision), now=self.clock())

    async def leave(self, name: str) -> None:
        async with self.services["directory"].database.transaction() as tx:
            person = await queries.agent_for(tx, ROOT, self.ids[name])
            await let_go(tx, ROOT, person, now=self.clock())

    async def said(self, service: str) -> list[str]:
        """The types of all facts that a service has said, in order."""
        log = log_tables_of(service)["log"]
        async with self.services[service].database.read() as conn:
            return list((await conn.execute(log.select().with_only_columns(log.c.type).order_by(log.c.seq))).scalars())

    async def say(self, *facts: Fact) -> None:
        """As the service would that publishes them."""
        async with self.services[facts[0].service()].database.transaction() as tx:
            publish(tx, *facts)

    async def store(self, what: str, who: str, ministry: str, size_bytes: int, *, space: UUID | None = None) -> None:
        """`space`: a shared one; by default their own."""
        file_id, kind, owner = new_id(), "personal" if space is None else "shared", self.ids[who] if space is None else None
        stored = FileStored(
            at=self.clock(), about=str(file_id), file_id=file_id, version_id=new_id(), space_id=space or self.ids[who],
            space_kind=kind, ministry_id=self.ministries[ministry], owner_id=owner, stored_by=self.ids[who],
            size_bytes=size_bytes, media_type="text/plain",
        )  # type: ignore[arg-type]  # fmt: skip
        self.stored[what] = stored
        await self.say(stored)

    async def purge(self, what: str) -> None:
        one = self.stored[what]
        await self.say(
            FilePurged(
                at=self.clock(), about=one.about, file_id=one.file_id, version_id=one.version_id, space_id=one.space_id,
                space_kind=one.space_kind, ministry_id=one.ministry_id, owner_id=one.owner_id, size_bytes=one.size_bytes,
            )
        )  # fmt: skip

    async def settle(self) -> None:
        """Until billing knows all that was said."""
        await settled(list(self.services.values()), self.platform)

    async def import_costs(self, path: Path) -> None:
        plan = await billing_actions.plan_costs(self.billing.database, path.read_bytes(), path.name)
        async with self.billing.database.transaction() as tx:
            await billing_actions.keep_costs(tx, plan, who="test", now=self.clock())

    async def run(self, *months: str) -> None:
        for month in months:
            await billing_actions.run(self.billing.database, month, now=self.clock())

    async def token(self, name: str) -> str:
        directory = self.services["directory"]
        await rotate(directory.database, self.clock, directory.settings)  # the clock may have gone on for months
        async with directory.database.transaction() as tx:
            person = await queries.agent_for(tx, ROOT, self.ids[name])
            session = await actions.open_session(tx, person, life=timedelta(hours=12), now=self.clock())
            kid, pem = await queries.key_that_signs(tx, self.clock())
        claims = actions.claims_for(person, session.id, issuer=directory.handles[DESK].issuer, now=self.clock(), life=timedelta(hours=12))
        asks = cast(WhoAsks, self.billing.authenticate)

        async def is_fresh() -> bool:
            return asks.freshness is not None and asks.freshness.reached_end_at == self.clock()

        await until(is_fresh, "the copy of the directory is of this moment")
        return access.sign(claims, access.private_key(pem, kid))

    async def get(self, path: str, by: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {await self.token(by)}"}
        async with self.client.get(path, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def parvis(self, *arguments: str, answer: str = "") -> Result:
        """The command, in a thread of its own, as it runs a loop of its own."""
        url = self.platform.database_url.get_secret_value()
        environ = {"PARVIS_DATA": str(self.platform.data), **({"PARVIS_DATABASE_URL": url} if url else {})}
        return await asyncio.to_thread(CliRunner().invoke, main, list(arguments), input=answer, env=environ, prog_name="parvis")


@pytest.fixture
async def state(place: Place, tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[State]:
    clock.now = day("2026-09-01", 8)
    url = "" if place.server is None else place.url_of("any")
    platform = Platform(data=tmp_path / "data", database_url=SecretStr(url), access_log=False, public_url="http://parvis.test")
    async with AsyncExitStack() as stack:
        services = built(platform, clock)
        for service in services.values():
            stack.push_async_callback(service.database.close)
        await make_all_tables(services, platform)
        for run in services["directory"].before:
            await run()
        app = web.Application()
        mount(app, services["billing"], platform)
        client = await stack.enter_async_context(TestClient(TestServer(app)))
        log, work = log_of(platform), Background()
        for service in services.values():
            work.start(tasks_of(flow_of(service, log)))
        stack.push_async_callback(work.stop)
        made = State(platform, clock, services, client, work)
        for name in SIRENS:
            await made.ministry(name)
        yield made


def built(platform: Platform, clock: FrozenClock) -> dict[str, Service]:
    """Of those whose use is counted only the log is there: what they say is said by the tests."""
    saying = {
        name: Service(name=name, database=Database(platform.database_url_of(name), name), clock=clock, metadata=tables, migrations="")
        for name, tables in SAYING.items()
    }
    directory = build_directory(platform, clock, Settings(local_sign_in=True), {})
    return {"directory": directory, **saying, "billing": build_billing(platform, clock, BillingSettings())}


async def make_all_tables(services: dict[str, Service], platform: Platform) -> None:
    await migrate([services["directory"]], platform)  # its roles are everybody's
    for name, tables in SAYING.items():
        async with services[name].database.transaction() as tx:
            await tx.run_sync(tables.create_all)
    await migrate([services["billing"]], platform)
