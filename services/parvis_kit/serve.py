"""Services in one process, from the first listening socket to the last closed database."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import http_parser, web
from aiohttp.http_exceptions import HttpProcessingError

from parvis_kit import certificates
from parvis_kit.background import Background, Run, sweeps_of
from parvis_kit.events.resume import resume_log
from parvis_kit.http.chain import LIMITS, Limits
from parvis_kit.http.health import Check, database_answers, is_fresh, mount_health
from parvis_kit.http.meters import REFUSED
from parvis_kit.http.mount import PROCESS, mount
from parvis_kit.memory import give_back, keep_loaded
from parvis_kit.metrics import meter_connections, metrics_app, watch_disk, watch_loop
from parvis_kit.service import Doors, Service
from parvis_kit.settings import Platform
from parvis_kit.workers import stop_signals

FIELD_BYTES_MAX = 4096
"""Of one header line; a cookie or a token fits."""
HEADERS_MAX = 64
"""aiohttp has no limit on their sum: 64 × 4 KiB is the most that a head can take."""
BACKLOG = 1024
"""Connections that the kernel holds while the loop is busy."""
SETTLE_SECONDS_MAX = 0.5
"""What a connection taken at the last moment has to send its request; every answer closes one, those that stay are idle."""
SETTLE_LOOK_SECONDS = 0.01
FRESH_SECONDS_MAX = 10.0
"""Of waiting for the others' facts before the first request is taken: to join a group of Kafka's takes three."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a process can be reached, once it can."""

    base_url: str
    metrics_url: str


class UnsafeParser(RuntimeError):
    """aiohttp runs without its C parser, and its Python one has let requests be smuggled: install a wheel of aiohttp for this machine."""


@dataclass(kw_only=True, slots=True)
class Serving:
    """What to serve, and how."""

    services: Sequence[Doors]
    platform: Platform
    background: Mapping[str, Run]
    """Relays, consumers and whatever else must go on, by name (`<service>` or `<service>.<what>`); sweeps are added."""
    checks: Mapping[str, Check]
    """For /readyz, beside each service's database and roster."""
    ready: Callable[[Addresses], Awaitable[None]]
    """Told when requests are taken."""
    limits: Limits = LIMITS
    reuse_port: bool = False
    """Other processes listen on the same port."""


async def serve(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT, then: not ready, no new connection, what is at work, background, databases; in that order."""
    refuse_unsafe_parser()
    app, look = build(serving)
    background = Background()
    runner = web.AppRunner(app, access_log=None, logger=quiet_logger(), **runner_options(serving.limits))
    metrics = web.AppRunner(metrics_app(), access_log=None, shutdown_timeout=1, keepalive_timeout=serving.limits.idle_seconds)
    with stop_signals() as stopping:
        try:
            for service in serving.services:
                if isinstance(service, Service):
                    await resume_log(service.database.url)
                for run in service.before:
                    await run()
            loop_time = asyncio.get_running_loop().time
            watching: dict[str, Run] = {
                "process.loop": lambda: watch_loop(loop_time),
                "process.disk": lambda: watch_disk(serving.platform.data),
                "process.checks": look,
                "process.certificates": lambda: certificates.watch(serving.platform),
            }
            background.start({**watching, **serving.background})
            for service in serving.services:
                background.start(sweeps_of(service))
                if isinstance(service, Service):
                    meter_connections(service.database)
            keep_loaded()
            await caught_up(serving.services, stopping)
            listening = listen(serving.platform.host, serving.platform.port, reuse_port=serving.reuse_port)
            addresses = await open_sites(serving.platform, runner, metrics, listening)
            log.info("serving at %s, metrics at %s", addresses.base_url, addresses.metrics_url)
            await serving.ready(addresses)
            await stopping.wait()
            log.info("stopping: draining for %s s", serving.limits.drain_seconds)
            app[PROCESS].draining = True
            await asyncio.sleep(serving.limits.drain_seconds)
            await stop_listening(runner, listening)
        finally:
            await runner.cleanup()
            await background.stop()
            await metrics.cleanup()
            for service in serving.services:
                for run in service.after:
                    await run()
                if isinstance(service, Service):
                    await service.database.close()
            log.info("stopped")


async def caught_up(services: Sequence[Doors], stopping: asyncio.Event) -> None:
    """Until each knows who may ask: before, it would refuse everybody whom a proxy then sends on instead of waiting for it. With the log
    away it takes requests all the same, and says why it refuses them."""
    until = asyncio.get_running_loop().time() + FRESH_SECONDS_MAX
    while not all(one.is_fresh() for one in services) and not stopping.is_set():
        if asyncio.get_running_loop().time() > until:
            log.warning("taking requests, though what the others have said is not all there yet")
            return
        await asyncio.sleep(SETTLE_LOOK_SECONDS)


def build(serving: Serving) -> tuple[web.Application, Run]:
    """The one application: every service's doors, and health; and what looks at its health beside them."""
    app = web.Application(client_max_size=serving.limits.body_bytes)
    checks: dict[str, Check] = {}
    outside: dict[str, Check] = {}
    for service in serving.services:
        mount(app, service, serving.platform, serving.limits)
        if isinstance(service, Service):
            checks[f"{service.name}.database"] = database_answers(service.database)
            checks[f"{service.name}.roster"] = is_fresh(service.is_fresh)
        outside |= {f"{service.name}.{name}": check for name, check in service.outside.items()}
    return app, mount_health(app, serving.platform, {**checks, **serving.checks}, outside=outside)


def runner_options(limits: Limits) -> dict[str, Any]:
    """aiohttp's own defaults leave a half-open connection for an hour, and add up 128 headers of 8 KiB."""
    return {
        "keepalive_timeout": limits.idle_seconds,
        "max_field_size": FIELD_BYTES_MAX,
        "max_headers": HEADERS_MAX,
        "lingering_time": limits.linger_seconds,
        "shutdown_timeout": limits.shutdown_seconds,
        "auto_decompress": False,
    }


class Unreadable(logging.Filter):
    """aiohttp would log a traceback for each request that is no HTTP: they are counted."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            REFUSED.labels("", "unreadable").inc()
            return False
        return True


def quiet_logger() -> logging.Logger:
    logger = logging.getLogger("parvis.http")
    if not logger.filters:
        logger.addFilter(Unreadable())
    return logger


def refuse_unsafe_parser() -> None:
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise UnsafeParser(UnsafeParser.__doc__)


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A listening socket. Raises OSError, which names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((host, port))
        taken.listen(BACKLOG)
        taken.setblocking(False)
    except OSError as error:
        taken.close()
        raise OSError(error.errno, f"{host} port {port}: {error.strerror}; PARVIS_HOST and PARVIS_PORT choose another") from None
    return taken


async def open_sites(platform: Platform, runner: web.AppRunner, metrics: web.AppRunner, listening: socket.socket) -> Addresses:
    await metrics.setup()
    port: int = listening.getsockname()[1]
    metrics_port = platform.metrics_port if platform.metrics_port is not None else port + 1 if platform.port else 0
    measured = listen(platform.host, metrics_port)
    await web.SockSite(metrics, measured).start()
    await runner.setup()
    # a copy, so that stop_listening can still take what the kernel has accepted when the site closes its own
    await web.SockSite(runner, listening.dup(), backlog=BACKLOG).start()
    host = f"[{platform.host}]" if ":" in platform.host else platform.host
    return Addresses(f"http://{host}:{port}", f"http://{host}:{measured.getsockname()[1]}/metrics")


async def stop_listening(runner: web.AppRunner, listening: socket.socket) -> None:
    """No connection that the kernel has accepted for us is reset: those that wait are taken, and answered, before the socket closes."""
    for site in list(runner.sites):
        await site.stop()
    server, loop = runner.server, asyncio.get_running_loop()
    waiting: list[socket.socket] = []
    while True:
        try:
            waiting.append(listening.accept()[0])
        except (BlockingIOError, ConnectionError):
            break
    listening.close()
    for connection in waiting:
        connection.setblocking(False)
        assert server is not None  # noqa: S101 (it is set up)
        await loop.connect_accepted_socket(server, connection)
    until = loop.time() + SETTLE_SECONDS_MAX
    while server is not None and server.connections and loop.time() < until:  # noqa: ASYNC110 (aiohttp tells nobody)
        await asyncio.sleep(SETTLE_LOOK_SECONDS)


def run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where there is one: 7 µs less a request."""
    give_back()
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
