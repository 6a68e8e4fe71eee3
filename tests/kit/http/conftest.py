"""A small service to knock at: things, and doors that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from parvis_kit.clock import Clock, utc_now
from parvis_kit.http import (
    ETAG,
    LOCATION,
    Authenticate,
    Body,
    Handler,
    IdempotencyKey,
    IfMatch,
    Limits,
    Page,
    Query,
    Reply,
    Request,
    Routes,
    etag,
    mount,
    mount_health,
)
from parvis_kit.problems import Conflict, Forbidden, KeyReused, NotFound, PreconditionFailed, Unauthorized
from parvis_kit.settings import Platform
from pydantic import Field

Knock = TestClient[web.Request, web.Application]
AGENT: web.RequestKey[str] = web.RequestKey("AGENT")
SHELF: web.RequestKey[dict[UUID, str]] = web.RequestKey("SHELF")
THINGS = Routes("things", "1")
ONE = UUID(int=1)


@dataclass(slots=True)
class Thing:
    """A thing."""

    id: UUID
    name: str


class ListThings(Query):
    limit: int = Field(10, ge=1, le=100)
    tag: list[str] = []


class NewThing(Body):
    name: str
    size: int = 0


@THINGS.get("/api/things/v1/things")
async def list_things(request: Request, query: ListThings) -> Page[Thing]:
    """Things, by id.

    With as many as asked for there may be more.
    """
    names = query.tag or [f"thing {number}" for number in range(query.limit)]
    return Page([Thing(UUID(int=number), name) for number, name in enumerate(names)], "more" if query.limit == 1 else None)


@THINGS.post("/api/things/v1/things", status=(201, 200), headers=ETAG | LOCATION, problems=(Conflict, KeyReused))
async def make_thing(request: Request, body: NewThing, key: IdempotencyKey) -> Reply[Thing]:
    """Make a thing, once for a key."""
    if body.name == "taken":
        raise Conflict("A thing has this name: choose another.")
    status = 200 if key == "again" else 418 if key == "odd" else None
    return Reply(Thing(ONE, body.name), {"ETag": etag(1), "Location": f"/api/things/v1/things/{ONE}"}, status)


@THINGS.get("/api/things/v1/things/{thing_id}", scope="things:read", headers=ETAG, problems=(NotFound,))
async def get_thing(request: Request, thing_id: UUID) -> Reply[Thing]:
    """One thing."""
    if thing_id not in request[SHELF]:
        raise NotFound
    return Reply(Thing(thing_id, request[AGENT]), {"ETag": etag(1)})


@THINGS.delete("/api/things/v1/things/{thing_id}", scope="things:write", problems=(PreconditionFailed,))
async def drop_thing(request: Request, thing_id: UUID, if_match: IfMatch) -> None:
    """Drop a thing."""
    if if_match != etag(1):
        raise PreconditionFailed


async def authenticate(request: Request, scope: str) -> None:
    """`Bearer SCOPE` may do what the scope says."""
    scheme, _, held = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer":
        raise Unauthorized
    if held != scope:
        raise Forbidden
    request[AGENT] = held


@dataclass
class Things:
    """As a Service, without its tables."""

    routes: Sequence[Routes] = (THINGS,)
    name: str = "things"
    database: Any = None
    clock: Clock = utc_now
    authenticate: Authenticate | None = authenticate
    handles: Mapping[Any, Any] = field(default_factory=lambda: {SHELF: {ONE: "one"}})
    lost: Handler | None = None


Open = Callable[..., Awaitable[Knock]]


@pytest.fixture
async def open_house() -> AsyncIterator[Open]:
    """Mounts services on an application and gives a client of it."""
    async with AsyncExitStack() as stack:

        async def open_it(*services: Things, platform: Platform | None = None, limits: Limits | None = None) -> Knock:
            app, chosen = web.Application(), platform or Platform(access_log=False)
            for service in services or (Things(),):
                mount(app, service, chosen, limits or Limits())
            mount_health(app, chosen, {})
            return await stack.enter_async_context(TestClient(TestServer(app)))

        yield open_it


@pytest.fixture
async def things(open_house: Open) -> Knock:
    return await open_house()


@dataclass
class Gate:
    """A door that waits until it is opened, and tells how many stand in it."""

    inside: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    routes: Routes = field(default_factory=lambda: Routes("gate", "1"))

    def __post_init__(self) -> None:
        @self.routes.get("/wait")
        async def wait(request: Request) -> None:
            """Wait."""
            async with self.entered():
                await self.opened.wait()

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
