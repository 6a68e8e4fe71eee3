"""What wakes whoever waits for facts: within the process at once, from other processes through PostgreSQL, and a slow look anyway."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

import asyncpg

from parvis_kit.db.connecting import connect

CHANNEL = "parvis"
NOTIFY_SECONDS_MIN = 0.01
"""At most a hundred notifications a second and process: one per commit would halve the commit rate."""
RECONNECT_SECONDS = 1.0

log = logging.getLogger(__name__)


def outbox_of(service: str) -> str:
    """What rings when a service has facts for its relay to carry."""
    return f"{service}.outbox"


def log_of(service: str) -> str:
    """What rings when a service's log has grown."""
    return f"{service}.log"


class Bell:
    """Rings by name, of an outbox or of a log: `ring` when it has news, `wait` until one of those you look at has."""

    def __init__(self) -> None:
        self.rings: Counter[str] = Counter()
        self.waiting: dict[asyncio.Future[None], frozenset[str]] = {}
        self.to_tell: set[str] = set()
        self.has_news = asyncio.Event()

    def heard(self, names: Collection[str]) -> int:
        """How many times these have rung until now."""
        return sum(self.rings[name] for name in names)

    def ring(self, name: str) -> None:
        """Here, and soon in the other processes."""
        self.to_tell.add(name)
        self.has_news.set()
        self.ring_here(name)

    def ring_here(self, name: str) -> None:
        self.rings[name] += 1
        for future, names in self.waiting.items():
            if name in names and not future.done():
                future.set_result(None)

    async def wait(self, names: Collection[str], heard: int, seconds: float) -> None:
        """Until these have rung more than `heard` times, or the time is over: ask `heard` before looking, or a ring in between is lost."""
        if self.heard(names) > heard:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[future] = frozenset(names)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            del self.waiting[future]

    async def bridge(self, url: str) -> None:
        """Tell the other processes and hear them, over one connection of its own. Runs until cancelled; losing it costs only speed."""
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                async with listening(url, self) as conn:
                    while True:
                        await self.has_news.wait()
                        self.has_news.clear()
                        names, self.to_tell = sorted(self.to_tell), set()
                        await conn.execute("SELECT pg_notify($1, name) FROM unnest($2::text[]) name", CHANNEL, names)
                        await asyncio.sleep(NOTIFY_SECONDS_MIN)
            log.warning("the connection that wakes other processes is lost: they look every second until it is back")
            await asyncio.sleep(RECONNECT_SECONDS)


@asynccontextmanager
async def listening(url: str, bell: Bell) -> AsyncIterator[asyncpg.Connection]:
    conn = await connect(url, timeout=5, server_settings={"application_name": "parvis-bell"})
    try:
        ours = conn.get_server_pid()

        def hear(_: object, pid: int, __: str, name: object) -> None:
            if pid != ours:  # what we told has rung here before
                bell.ring_here(str(name))

        await conn.add_listener(CHANNEL, hear)
        yield conn
    finally:
        conn.terminate()
