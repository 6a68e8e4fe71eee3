"""A service's doors on the one aiohttp application of a process."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Protocol, runtime_checkable

from aiohttp import web
from pydantic_core import to_json

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.http.answers import json_answer
from parvis_kit.http.chain import LIMITS, AtWork, Authenticate, Chain, Handler, Limits, Process, expect, meter_at_work, meter_refusals
from parvis_kit.http.models import CLOCK, DB
from parvis_kit.http.network import TRUSTED, networks_of
from parvis_kit.http.openapi import openapi, refuse_same_names
from parvis_kit.http.reading import typed
from parvis_kit.http.routes import Routes
from parvis_kit.settings import Platform

PROCESS: web.AppKey[Process] = web.AppKey("PROCESS")
CHAINS: web.AppKey[dict[str, Chain]] = web.AppKey("CHAINS")
LOST: web.AppKey[Handler] = web.AppKey("LOST")
UNROUTED = "unrouted"
"""Whose requests those are that no service has a route for."""
UNROUTED_IN_FLIGHT_MAX = 1000
"""They wait for nothing, so they cannot pile up."""
WAITERS_MAX = 4000
"""Long polls open at once in each service: about 20 kB each. Beyond it: 503 with Retry-After."""


class Mounted(Protocol):
    """What is needed here of a `parvis_kit.service.Doors`; a Service's database is found behind its doors."""

    @property
    def name(self) -> str: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def routes(self) -> Sequence[Routes]: ...
    @property
    def authenticate(self) -> Authenticate | None: ...
    @property
    def handles(self) -> Mapping[Any, Any]: ...
    @property
    def lost(self) -> Handler | None: ...


@runtime_checkable
class Keeping(Protocol):
    """It has tables."""

    @property
    def database(self) -> Database: ...


def mount(app: web.Application, service: Mounted, platform: Platform, limits: Limits = LIMITS) -> None:
    """All its routes, and its OpenAPI document at `/api/<service>/openapi.json`."""
    chain = chain_of(app, service, platform, limits)
    for routes in service.routes:
        for one in routes.operations:
            seconds_max = limits.handler_seconds + (one.content[1].seconds_max if one.content else 0)
            door = when_asked(partial(typed, one, limits))
            add_route(app, one.method, one.path, chain.around(one.method, one.path, door, scope=one.scope, seconds_max=seconds_max))
        for raw in routes.raw_routes:
            behind = waiting_chain_of(app, service, platform, limits) if raw.waits else chain
            add_route(app, raw.method, raw.path, behind.around(raw.method, raw.path, raw.door, scope=raw.scope))
    refuse_same_names(service.name, service.routes)
    document = cache(lambda: to_json(openapi(service.name, service.routes)))

    async def read_openapi(request: web.Request) -> web.StreamResponse:
        return json_answer(await asyncio.to_thread(document))

    path = f"/api/{service.name}/openapi.json"
    add_route(app, "GET", path, chain.around("GET", path, read_openapi))
    if service.lost is not None:
        app[LOST] = chain.around("GET", UNROUTED, service.lost)


def when_asked(make: Callable[[], Handler]) -> Handler:
    """A door that is made when it is first asked for: what its types are read and written by takes 20 kB, and few are asked for all."""
    made = cache(make)
    return lambda request: made()(request)


def mount_raw(
    app: web.Application,
    service: Mounted,
    platform: Platform,
    method: str,
    path: str,
    door: Handler,
    *,
    scope: str | None = None,
    limits: Limits = LIMITS,
) -> None:
    """One more door of a service that reads and answers by itself, behind the same chain as its others."""
    add_route(app, method, path, chain_of(app, service, platform, limits).around(method, path, door, scope=scope))


def add_route(app: web.Application, method: str, path: str, door: Handler) -> None:
    """Who may GET may HEAD (RFC 9110 §9.1)."""
    app.router.add_route(method, path, door, expect_handler=expect)
    if method == "GET":
        app.router.add_route("HEAD", path, door, expect_handler=expect)


def chain_of(app: web.Application, service: Mounted, platform: Platform, limits: Limits = LIMITS) -> Chain:
    """The one chain of a service in this process, made when it is first asked for."""
    process = process_of(app, platform)
    if service.name not in app[CHAINS]:
        at_work = AtWork(platform.in_flight_max, limits.handler_seconds)
        meter_at_work(service.name, at_work)
        meter_refusals(service.name)
        kept = ((DB, service.database),) if isinstance(service, Keeping) else ()
        handles = (*kept, (CLOCK, service.clock), *service.handles.items())
        chain = Chain(service.name, process, at_work, handles, service.authenticate, platform.access_log, limits)
        app[CHAINS][service.name] = chain
    return app[CHAINS][service.name]


def waiting_chain_of(app: web.Application, service: Mounted, platform: Platform, limits: Limits = LIMITS) -> Chain:
    """The same chain with places of its own: those who wait for something to happen take none from those at work."""
    name = f"{service.name}.waiting"
    if name not in app[CHAINS]:
        waiting = AtWork(WAITERS_MAX, limits.handler_seconds)
        meter_at_work(name, waiting)
        app[CHAINS][name] = replace(chain_of(app, service, platform, limits), at_work=waiting)
    return app[CHAINS][name]


def process_of(app: web.Application, platform: Platform) -> Process:
    """What the chains of this application share; with the first, what no route matches gets its answer too."""
    if PROCESS not in app:
        app[PROCESS], app[CHAINS], app[TRUSTED] = Process(), {}, networks_of(platform.trusted_proxies)
        app.on_startup.append(answer_unrouted)
        chain = Chain(UNROUTED, app[PROCESS], AtWork(UNROUTED_IN_FLIGHT_MAX, LIMITS.handler_seconds), access_log=platform.access_log)
        app[CHAINS][UNROUTED] = chain
    return app[PROCESS]


async def answer_unrouted(app: web.Application) -> None:
    """A route behind all others instead of a middleware, which every request would pay for."""
    resources = list(app.router.resources())

    async def refuse(request: web.Request) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in resources:
            allowed |= (await resource.resolve(request))[1]
        if allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        raise web.HTTPNotFound

    refused, lost = app[CHAINS][UNROUTED].around("*", UNROUTED, refuse), app.get(LOST)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (lost if lost is not None and asks_for_page(request) else refused)(request)

    app.router.add_route("*", "/{path:[\\s\\S]*}", answer, expect_handler=expect)


def asks_for_page(request: web.Request) -> bool:
    """As browsers do when somebody types an address or follows a link."""
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "")
