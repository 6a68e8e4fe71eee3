"""What a process says of itself to Prometheus, on a port of its own."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder

from parvis_kit.db import Database

LOOK_SECONDS = 1.0
DISK_SECONDS = 15.0

BUILD = Gauge("parvis_build_info", "Always 1; its labels say what is running.", ["version", "python"])
LOOP_LAG = Gauge("parvis_loop_lag_seconds", "How late the event loop woke last; above 0.1, something blocks it and every request waits.")

DISK_FREE = Gauge("parvis_disk_free_bytes", "Room left for Parvis where PARVIS_DATA lies; without any, nothing is stored.")
DISK_SIZE = Gauge("parvis_disk_size_bytes", "Room there is in all where PARVIS_DATA lies.")
CONNECTIONS = Gauge(
    "parvis_database_connections",
    "Connections to its database that a process has in use; all of them, and requests wait.",
    ["service", "use"],
)
CONNECTIONS_MAX = Gauge(
    "parvis_database_connections_max", "Connections to its database that a process may use at once.", ["service", "use"]
)


def parvis_version() -> str:
    try:
        return version("parvis")
    except PackageNotFoundError:
        return "source"


async def watch_loop(time: Callable[[], float], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Measure, for as long as it runs, how much later than asked the loop wakes."""
    while True:
        began = time()
        await sleep(LOOK_SECONDS)
        LOOP_LAG.set(max(0.0, time() - began - LOOK_SECONDS))


async def watch_disk(folder: Path, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Tell, for as long as it runs, what room is left."""
    while True:
        found = room_at(folder)
        DISK_FREE.set(found.f_bavail * found.f_frsize)
        DISK_SIZE.set(found.f_blocks * found.f_frsize)
        await sleep(DISK_SECONDS)


def room_at(folder: Path) -> os.statvfs_result:
    """A folder that is not there yet will be where its parent is."""
    return os.statvfs(next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists()))


def meter_connections(database: Database) -> None:
    """Read when Prometheus asks: two numbers of each pool."""
    for use, engine in (("read", database.read_engine), ("write", database.write_engine)):
        pool = engine.pool
        CONNECTIONS.labels(database.service, use).set_function(pool.checkedout)  # type: ignore[attr-defined]
        CONNECTIONS_MAX.labels(database.service, use).set(pool.size())  # type: ignore[attr-defined]


def metrics_app(registry: CollectorRegistry = REGISTRY) -> web.Application:
    """`GET /metrics`, in the format that the scraper asks for."""
    BUILD.labels(parvis_version(), python_version()).set(1)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    return app
