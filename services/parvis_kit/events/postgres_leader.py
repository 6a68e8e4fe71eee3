"""Who carries a service's facts: the one whose connection holds the lock, for as long as it answers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from parvis_kit.db.connecting import connect
from parvis_kit.db.engines import session_settings
from parvis_kit.events import meters
from parvis_kit.events.ledger import lock_of
from parvis_kit.events.ports import Gone


@contextmanager
def gone_when_away() -> Iterator[None]:
    """Whatever this connection says may be tried again, on another one.

    InternalClientError is what asyncpg says of an answer that comes in pieces because its backend was ended.
    """
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Gone(str(error)) from error


class Leader:
    """A connection that may hold the relay's lock of one service: it dies when the process freezes or the line is cut."""

    def __init__(self, conn: "asyncpg.Connection[asyncpg.Record]", service: str) -> None:
        self.conn, self.service = conn, service

    async def lead(self) -> bool:
        """The session's lock, whose lease is idle_session_timeout: whoever leads asks more often than that."""
        with gone_when_away():
            leads = bool(await self.conn.fetchval("SELECT pg_try_advisory_lock($1)", lock_of(("relay", self.service))))
        meters.LEADER.labels(self.service).set(leads)
        return leads


@asynccontextmanager
async def open_leader(url: str, service: str, lease_seconds: float, **settings: str) -> AsyncIterator[Leader]:
    """One connection, one try at leading. Raises Gone when the database is away."""
    lease = {"idle_session_timeout": f"{int(lease_seconds * 1000)}ms"}
    with gone_when_away():
        conn = await connect(url, timeout=5, server_settings=session_settings(f"parvis-relay-{service}", lease_seconds) | lease | settings)
    try:
        yield Leader(conn, service)
    finally:
        meters.LEADER.labels(service).set(0)
        conn.terminate()
