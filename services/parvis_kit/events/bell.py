"""What wakes whoever waits for facts: within the process at once, from other processes through PostgreSQL, and a slow look anyway."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

CHANNEL = "parvis"
NOTIFY_SECONDS_MIN = 0.01
"""At most a hundred notifications a second and process: one per commit would halve the commit rate."""
RECONNECT_SECONDS = 1.0

log = logging.getLogger(__name__)


class Bell:
    """Rings by service: `ring` when a service has new facts, `wait` until it has."""

    def __init__(self) -> None:
        self.rings = 0
        self.waiting: set[asyncio.Future[None]] = set()
        self.to_tell: set[str] = set()
        self.has_news = asyncio.Event()

    def ring(self, service: str) -> None:
        """Here, and soon in the other processes."""
        self.to_tell.add(service)
        self.has_news.set()
        self.ring_here()

    def ring_here(self) -> None:
        self.rings += 1
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()

    async def wait(self, heard: int, seconds: float) -> None:
        """Until it has rung more than `heard` times, or the time is over: read `rings` before looking, or a ring in between is lost."""
        if self.rings > heard:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            self.waiting.discard(future)

    async def bridge(self, url: str) -> None:
        """Tell the other processes and hear them, over one connection of its own. Runs until cancelled; losing it costs only speed."""
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with listening(url, self) as conn:
                    while True:
                        await self.has_news.wait()
                        self.has_news.clear()
                        services, self.to_tell = sorted(self.to_tell), set()
                        await conn.execute("SELECT pg_notify($1, service) FROM unnest($2::text[]) service", CHANNEL, services)
                        await asyncio.sleep(NOTIFY_SECONDS_MIN)
            log.warning("the connection that wakes other processes is lost: they look every second until it is back")
            await asyncio.sleep(RECONNECT_SECONDS)


@asynccontextmanager
async def listening(url: str, bell: Bell) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(url, timeout=5, server_settings={"application_name": "parvis-bell"})
    try:
        await conn.add_listener(CHANNEL, lambda *_: bell.ring_here())
        yield conn
    finally:
        conn.terminate()
