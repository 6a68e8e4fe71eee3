"""An office: files behind its doors on either database, a folder of blobs, agents of two ministries whom its roster knows."""

import hashlib
from collections.abc import AsyncIterator
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
from joserfc.jwk import RSAKey
from parvis_contracts.directory import AgentJoined, AgentState, SigningKeyState, TeamState
from parvis_files import actions
from parvis_files.api.common import BLOBS, TERMS
from parvis_files.app import build
from parvis_files.blobs import BlobStore
from parvis_files.rules import Asker
from parvis_files.settings import Settings
from parvis_kit import access
from parvis_kit.events import Fact
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.reactions import Many
from parvis_kit.http import mount
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import Place
from parvis_suite.assembly import migrate
from pydantic import SecretStr

API = "/api/files/v1"
MIB = 2**20
Answer = tuple[int, Any, Any]


@dataclass
class Office:
    platform: Platform
    clock: FrozenClock
    files: Service
    client: "TestClient[Any, Any]"
    key: RSAKey
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)
    ministries: dict[str, UUID] = field(default_factory=dict)
    homes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def blobs(self) -> BlobStore:
        store: BlobStore = self.files.handles[BLOBS]
        return store

    async def call(self, method: str, path: str, *, by: str = "", body: Any = None, **headers: str) -> Answer:
        """Status, body and headers. `by`: somebody of this office, with their token."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if by:
            sent["Authorization"] = f"Bearer {self.tokens[by]}"
        if method == "POST" and body is not None and "Idempotency-Key" not in sent:
            sent["Idempotency-Key"] = uuid4().hex
        async with self.client.request(method, path if path.startswith("/") else f"{API}/{path}", json=body, headers=sent) as answer:
            text = await answer.read()
            return answer.status, await answer.json(content_type=None) if text else None, answer.headers

    async def get(self, path: str, *, by: str) -> Any:
        status, body, _ = await self.call("GET", path, by=by)
        assert status == 200, body
        return body

    async def post(self, path: str, body: Any = None, *, by: str, **headers: str) -> Any:
        status, answer, _ = await self.call("POST", path, by=by, body={} if body is None else body, **headers)
        assert status in (200, 201, 202, 204), answer
        return answer

    async def hears(self, *facts: Fact) -> None:
        """What the log would bring, without its way through it: the roster first, then what files does about it."""
        for fact in facts:
            async with self.files.database.transaction() as tx:
                for table in (self.files.projections[0].on, self.files.reactions):
                    handler: Any = table.get(type(fact))
                    if handler is not None:
                        await (handler.handler(tx, [fact]) if isinstance(handler, Many) else handler(tx, fact))

    def state_of(self, name: str, ministry: str, **values: Any) -> AgentState:
        one = self.ids[name]
        return AgentState(
            at=self.clock(), about=str(one), agent_id=one, ministry_id=self.ministries[ministry], kind="agent",
            email=f"{name}@example.org", given_name=name, family_name="Martin", **{"state": "active", **values},
        )  # fmt: skip

    async def add(self, name: str, ministry: str, *roles: str) -> UUID:
        """An agent with a token and a personal space."""
        one, of = self.ids.setdefault(name, uuid4()), self.ministries.setdefault(ministry, uuid4())
        await self.hears(
            self.state_of(name, ministry, roles=("agent", *roles)),
            AgentJoined(at=self.clock(), about=str(one), agent_id=one, ministry_id=of, kind="agent"),
        )
        self.tokens[name] = self.token(name, of, *roles)
        self.homes[name] = await self.get("spaces/personal", by=name)
        return one

    def token(self, name: str, ministry_id: UUID, *roles: str) -> str:
        now = self.clock()
        claims = access.Claims(
            iss=access.issuer_of(self.platform.public_url), aud="parvis", iat=int(now.timestamp()),
            exp=int((now + timedelta(days=36_500)).timestamp()), sub=self.ids.setdefault(name, uuid4()), sid=uuid4(), ministry=ministry_id,
            roles=("agent", *roles), scope="files:read files:write",
        )  # fmt: skip
        return access.sign(claims, self.key)

    async def team(self, name: str, ministry: str, *members: str) -> UUID:
        one = self.ids.setdefault(name, uuid4())
        who = tuple(self.ids[member] for member in members)
        of = self.ministries[ministry]
        await self.hears(TeamState(at=self.clock(), about=str(one), team_id=one, ministry_id=of, name=name, members=who))
        return one

    def root(self, name: str) -> str:
        return str(self.homes[name]["root_id"])

    async def space(self, name: str, *, by: str, **values: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.post("spaces", {"name": name, **values}, by=by)
        return made

    async def folder(self, parent: str, name: str, *, by: str) -> str:
        return str((await self.post(f"folders/{parent}/folders", {"name": name}, by=by))["id"])

    async def share(self, item: str, kind: str, grantee: str, role: str, *, by: str) -> Any:
        return await self.post(f"items/{item}/shares", {"grantee_kind": kind, "grantee_id": str(self.ids[grantee]), "role": role}, by=by)

    async def declare(self, folder: str, name: str, content: bytes, *, by: str, **values: Any) -> Answer:
        body = {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **values}
        return await self.call("POST", f"folders/{folder}/uploads", by=by, body=body)

    async def send(self, address: dict[str, Any], content: bytes) -> int:
        """To the address that was given, with its headers, whoever listens there."""
        headers = {name: value for name, value in address["headers"].items() if name.lower() != "content-length"}
        url = address["url"].removeprefix(self.platform.public_url)
        async with self.client.request(address["method"], url, data=content, headers=headers) as answer:
            return answer.status

    async def store(self, folder: str, name: str, content: bytes, *, by: str, **values: Any) -> dict[str, Any]:
        """Declared, sent, completed."""
        status, upload, _ = await self.declare(folder, name, content, by=by, **values)
        assert status == 201, upload
        assert await self.send(upload["put"], content) == 200
        done: dict[str, Any] = await self.post(f"uploads/{upload['id']}/complete", by=by)
        assert done["state"] == "committed", done
        return done

    async def content(self, file: str, *, by: str, version: str = "") -> bytes:
        way = f"files/{file}/versions/{version}/download" if version else f"files/{file}/download"
        found = await self.get(way, by=by)
        async with self.client.get(found["url"].removeprefix(self.platform.public_url)) as answer:
            assert answer.status == 200
            return await answer.read()

    async def names(self, folder: str, *, by: str) -> list[str]:
        return [one["name"] for one in (await self.get(f"folders/{folder}/items?limit=200", by=by))["items"]]

    async def quota(self, name: str) -> tuple[int, int]:
        found = (await self.get("spaces/personal", by=name))["quota"]
        return found["used_bytes"], found["reserved_bytes"]

    async def said(self) -> list[str]:
        """The types of all facts of files, in order."""
        log, outbox = tables_of("files")["log"].c, tables_of("files")["outbox"].c
        carried, waiting = sa.select(log.type, sa.literal(0), log.seq), sa.select(outbox.type, sa.literal(1), outbox.id)
        async with self.files.database.read() as conn:
            rows = await conn.execute(sa.union_all(carried, waiting).order_by(sa.text("2, 3")))
            return [row[0].removeprefix("files.") for row in rows]

    async def rows(self, query: str) -> list[Any]:
        async with self.files.database.read() as conn:
            return list(await conn.execute(sa.text(query)))

    def later(self, seconds: float = 0, **more: float) -> None:
        """The clock goes on, and the copy of the directory with it."""
        self.clock.advance(seconds, **more)
        self.files.projections[0].reached_end()

    async def drive(self) -> None:
        """As the clock would."""
        await actions.drive_uploads(self.files.database, self.blobs, self.files.handles[TERMS].terms(), self.clock)

    def asker(self, name: str, ministry: str) -> Asker:
        return Asker(self.ids[name], self.ministries[ministry])


@pytest.fixture(scope="session")
def key() -> RSAKey:
    return access.make_key()


@pytest.fixture
def settings() -> Settings:
    """A small office: two files in parts for each agent."""
    return Settings(personal_quota_bytes=40 * MIB, space_quota_bytes=40 * MIB, ministry_quota_bytes=100 * MIB, upload_bytes_max=30 * MIB)


@pytest.fixture
async def office(place: Place, tmp_path: Path, clock: FrozenClock, key: RSAKey, settings: Settings) -> AsyncIterator[Office]:
    async def tables(folder: Path, url: str) -> None:
        anywhere = Platform(data=folder, database_url=SecretStr(url))
        service = build(anywhere, clock, settings)
        await migrate([service], anywhere)
        await service.database.close()

    await place.prepare("files", tables)
    url = "" if place.server is None else place.url_of("any")
    platform = Platform(data=tmp_path, database_url=SecretStr(url), access_log=False, public_url="http://parvis.test")
    files = build(platform, clock, settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(files.database.close)
        for run in files.before:
            await run()
        files.projections[0].reached_end()
        app = web.Application()
        mount(app, files, platform)
        client = await stack.enter_async_context(TestClient(TestServer(app)))
        office = Office(platform, clock, files, client, key)
        kid, end = str(key.kid), clock() + timedelta(days=36_500)
        await office.hears(SigningKeyState(at=clock(), about=kid, kid=kid, jwk=access.public_jwk(key), not_after=end))
        for name, ministry in (("ada", "interieur"), ("bob", "interieur"), ("eve", "ecologie")):
            await office.add(name, ministry)
        yield office
