"""How a ring reaches the other processes: by PostgreSQL's LISTEN and NOTIFY."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from parvis_kit.db.connecting import connect
from parvis_kit.events.bell import Bell

CHANNEL = "parvis"
NOTIFY_SECONDS_MIN = 0.01
"""At most a hundred notifications a second and process: one per commit would halve the commit rate."""
RECONNECT_SECONDS = 1.0

log = logging.getLogger(__name__)


async def bridge(bell: Bell, url: str) -> None:
    """Tell the other processes and hear them, over one connection of its own. Runs until cancelled; losing it costs only speed."""
    while True:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            async with listening(url, bell) as conn:
                while True:
                    await bell.has_news.wait()
                    bell.has_news.clear()
                    names, bell.to_tell = sorted(bell.to_tell), set()
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
