"""What a process says of itself to Prometheus, on a port of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder

LOOK_SECONDS = 1.0

BUILD = Gauge("parvis_build_info", "Always 1; its labels say what is running.", ["version", "python"])
LOOP_LAG = Gauge("parvis_loop_lag_seconds", "How late the event loop woke last; above 0.1, something blocks it and every request waits.")


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


def metrics_app(registry: CollectorRegistry = REGISTRY) -> web.Application:
    """`GET /metrics`, in the format that the scraper asks for."""
    BUILD.labels(parvis_version(), python_version()).set(1)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    return app
