"""A homeserver behind its doors on either database, agents of two ministries whom its roster knows, and real Matrix clients."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nio
import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from joserfc.jwk import RSAKey
from parvis_contracts.directory import AgentState, CredentialState, SigningKeyState, TeamState
from parvis_kit import access
from parvis_kit.events import Fact
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.reactions import Many
from parvis_kit.http import mount
from parvis_kit.http.mount import PROCESS
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import Place
from parvis_messaging import actions
from parvis_messaging.actions import Sender, Watch
from parvis_messaging.api.matrix_common import HOME
from parvis_messaging.app import SENDER, WATCH, build
from parvis_messaging.homeserver import Home
from parvis_messaging.settings import Settings
from parvis_messaging.sweeps import look_after_waiters
from parvis_suite.assembly import migrate
from pydantic import SecretStr

CLIENT = "/_matrix/client/v3"
SERVER = "parvis.test"
Answer = tuple[int, Any]


@dataclass
class Town:
    platform: Platform
    clock: FrozenClock
    messaging: Service
    app: web.Application
    client: "TestClient[Any, Any]"
    key: RSAKey
    stack: AsyncExitStack
    ids: dict[str, UUID] = field(default_factory=dict)
    ministries: dict[str, UUID] = field(default_factory=dict)
    passwords: dict[str, access.AppPassword] = field(default_factory=dict)
    credentials: dict[str, UUID] = field(default_factory=dict)
    family: str = "Martin"
    elsewhere: str = ""
    """Where the homeserver is, when messaging is not it."""
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Home:
        home: Home = self.messaging.handles[HOME]
        return home

    @property
    def watch(self) -> Watch:
        watch: Watch = self.messaging.handles[WATCH]
        return watch

    @property
    def url(self) -> str:
        """Of the homeserver."""
        return self.elsewhere or str(self.client.make_url("")).rstrip("/")

    async def hears(self, *facts: Fact) -> None:
        """What the log would bring, without its way through it: the roster first, then what messaging does about it."""
        for fact in facts:
            async with self.messaging.database.transaction() as tx:
                for table in (self.messaging.projections[0].on, self.messaging.reactions):
                    handler: Any = table.get(type(fact))
                    if handler is not None:
                        await (handler.handler(tx, [fact]) if isinstance(handler, Many) else handler(tx, fact))

    def state_of(self, name: str, **values: Any) -> AgentState:
        one = self.ids[name]
        known = {
            "state": "active", "email": f"{name}@example.org", "given_name": name.capitalize(), "family_name": self.family,
            "ministry_id": self.ministries["interieur"],
        }  # fmt: skip
        return AgentState(at=self.clock(), about=str(one), agent_id=one, kind="agent", **{**known, **values})

    def credential_of(self, name: str, **values: Any) -> CredentialState:
        password, one = self.passwords[name], self.credentials[name]
        known = {"state": "active", "scopes": ("matrix",)}
        return CredentialState(
            at=self.clock(), about=str(one), credential_id=one, agent_id=self.ids[name], kind="app_password", prefix=password.prefix,
            digest=password.digest, **{**known, **values},
        )  # fmt: skip

    async def add(self, name: str, ministry: str = "interieur", **values: Any) -> UUID:
        """An agent with an app password for messages."""
        one = self.ids.setdefault(name, uuid4())
        self.ministries.setdefault("interieur", uuid4())
        of = self.ministries.setdefault(ministry, uuid4())
        self.passwords[name], self.credentials[name] = access.make_app_password(), uuid4()
        await self.hears(self.state_of(name, ministry_id=of, **values), self.credential_of(name))
        return one

    async def team(self, name: str, *members: str, ministry: str = "interieur") -> UUID:
        one = self.ids.setdefault(name, uuid4())
        who = tuple(self.ids[member] for member in members)
        await self.hears(
            TeamState(at=self.clock(), about=str(one), team_id=one, ministry_id=self.ministries[ministry], name=name, members=who)
        )
        return one

    async def call(self, method: str, path: str, body: Any = None, *, by: str = "", data: bytes | None = None, **headers: str) -> Answer:
        """Status and body. `by`: somebody who has signed in."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if by:
            sent["Authorization"] = f"Bearer {self.tokens[by]}"
        way = path if path.startswith("/") else f"{CLIENT}/{path}"
        asking = self.client.request
        if self.elsewhere and way.startswith("/_matrix/client"):
            way, asking = self.elsewhere + way, self.client.session.request
        async with asking(method, way, json=body, data=data, headers=sent) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ok(self, method: str, path: str, body: Any = None, *, by: str = "") -> Any:
        status, found = await self.call(method, path, body, by=by)
        assert status == 200, found
        return found

    def login_body(self, name: str, user: str = "", **more: Any) -> dict[str, Any]:
        return {
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": user or f"{name}.{self.family.lower()}"},
            "password": str(self.passwords[name]), **more,
        }  # fmt: skip

    async def sign_in(self, *names: str) -> None:
        for name in names:
            self.tokens[name] = (await self.ok("POST", "login", self.login_body(name)))["access_token"]

    async def sign_in_as(self, name: str, localpart: str) -> None:
        self.tokens[name] = (await self.ok("POST", "login", self.login_body(name, localpart)))["access_token"]

    def id_of(self, name: str) -> str:
        return f"@{name}.{self.family.lower()}:{SERVER}"

    async def nio(self, name: str) -> nio.AsyncClient:
        """A real client, signed in."""
        config = nio.AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0, encryption_enabled=False)
        client = nio.AsyncClient(self.url, self.id_of(name), config=config)
        self.stack.push_async_callback(client.close)
        said = await client.login(str(self.passwords[name]), device_name="nio")
        assert isinstance(said, nio.LoginResponse), said
        return client

    async def room(self, by: str, *invited: str, **values: Any) -> str:
        """A room that all of them are in."""
        made = await self.ok("POST", "createRoom", {"invite": [self.id_of(one) for one in invited], **values}, by=by)
        for one in invited:
            await self.ok("POST", f"rooms/{made['room_id']}/join", {}, by=one)
        return str(made["room_id"])

    async def say(self, by: str, room_id: str, text: str, txn: str = "", **content: Any) -> str:
        body = {"msgtype": "m.text", "body": text, **content}
        return str((await self.ok("PUT", f"rooms/{room_id}/send/m.room.message/{txn or uuid4().hex}", body, by=by))["event_id"])

    async def sync(self, by: str, since: str = "", timeout_ms: int = 0) -> Any:
        query = f"?timeout={timeout_ms}" + (f"&since={since}" if since else "")
        return await self.ok("GET", f"sync{query}", by=by)

    async def look_after_waiters(self) -> None:
        """As the clock would."""
        await look_after_waiters(self.messaging.database, self.home, self.clock)

    async def said(self, kind: str = "") -> list[str]:
        """The types of all facts of messaging, in order."""
        log, outbox = tables_of("messaging")["log"].c, tables_of("messaging")["outbox"].c
        carried, waiting = sa.select(log.type, sa.literal(0), log.seq), sa.select(outbox.type, sa.literal(1), outbox.id)
        async with self.messaging.database.read() as conn:
            rows = await conn.execute(sa.union_all(carried, waiting).order_by(sa.text("2, 3")))
            return [row[0] for row in rows if row[0].startswith(kind)]

    def later(self, seconds: float = 0, **more: float) -> None:
        """The clock goes on, and the copy of the directory with it."""
        self.clock.advance(seconds, **more)
        self.messaging.projections[0].reached_end()

    @property
    def process(self) -> Any:
        return self.app[PROCESS]


@pytest.fixture(scope="session")
def key() -> RSAKey:
    return access.make_key()


ON_EVERY_HOMESERVER = pytest.mark.parametrize(
    ("database_kind", "homeserver"), [("sqlite", "loopback"), ("postgresql", "loopback"), ("postgresql", "synapse")], indirect=True
)
"""For what has to be the same whichever the homeserver is."""


@pytest.fixture
def homeserver(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "loopback"))


@pytest.fixture
async def town(
    place: Place, tmp_path: Path, clock: FrozenClock, key: RSAKey, homeserver: str, request: pytest.FixtureRequest
) -> AsyncIterator[Town]:
    elsewhere = request.getfixturevalue("synapse") if homeserver == "synapse" else None
    known = {"homeserver_url": elsewhere.url, "registration_file": elsewhere.registration} if elsewhere else {}
    settings = Settings(media_bytes_max=1000, media_account_bytes_max=2500, **known)

    async def tables(folder: Path, url: str) -> None:
        anywhere = Platform(data=folder, database_url=SecretStr(url))
        service = build(anywhere, clock, settings)
        await migrate([service], anywhere)
        await service.database.close()

    await place.prepare("messaging", tables)
    url = "" if place.server is None else place.url_of("any")
    platform = Platform(data=tmp_path, database_url=SecretStr(url), access_log=False, public_url=f"http://{SERVER}")
    messaging = build(platform, clock, settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(messaging.database.close)
        for run in messaging.before:
            await run()
        messaging.projections[0].reached_end()
        app = web.Application()
        mount(app, messaging, platform)
        for run in messaging.after:
            stack.push_async_callback(run)
        client = await stack.enter_async_context(TestClient(TestServer(app, port=elsewhere.port if elsewhere else None)))
        town = Town(platform, clock, messaging, app, client, key, stack)
        if elsewhere:
            town.elsewhere, town.family = elsewhere.url, f"M{uuid4().hex[:12]}"
            await town.watch.look()
            assert not town.watch.wrong
        kid, end = str(key.kid), clock() + timedelta(days=36_500)
        await town.hears(SigningKeyState(at=clock(), about=kid, kid=kid, jwk=access.public_jwk(key), not_after=end))
        for name, ministry in (("ada", "interieur"), ("bob", "interieur"), ("eve", "ecologie")):
            await town.add(name, ministry)
        yield town


async def deliver(town: Town) -> None:
    """As the clock would: all that is due, what came in is noted, and what was noted is said."""
    sender: Sender = town.messaging.handles[SENDER]
    while await sender.deliver():
        pass
    if town.elsewhere:
        await town.watch.reconcile(is_new=False)
    while await actions.publish_noted(town.messaging.database, town.clock):
        pass
