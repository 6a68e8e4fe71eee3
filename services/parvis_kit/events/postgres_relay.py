"""From a service's outbox to its log, on PostgreSQL: one transaction that numbers, inserts and deletes."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import asyncpg

from parvis_kit.db.engines import LEASE_SECONDS, session_settings
from parvis_kit.events import meters
from parvis_kit.events.bell import Bell
from parvis_kit.events.ledger import FACT_COLUMNS, lock_of
from parvis_kit.events.ports import Gone
from parvis_kit.events.relay import RELAY_BATCH_MAX, Nap
from parvis_kit.failpoints import reach

MOVE_SECONDS_MAX = 5.0
"""Below the lease: a move that hangs costs a try, not leadership twice."""
IDLE_LOOK_SECONDS = 0.5
GAUGE_SECONDS = 5.0


class PostgresCarrier:
    """The leader of one service's relay: its lock lives on this connection, and dies when the process freezes or the line is cut."""

    def __init__(self, conn: "asyncpg.Connection[asyncpg.Record]", service: str, bell: Bell, batch_max: int) -> None:
        self.conn, self.service, self.bell, self.batch_max = conn, service, bell, batch_max
        self.gauged_at = float("-inf")

    async def lead(self) -> bool:
        """The session's lock, whose lease is idle_session_timeout: whoever leads asks more often than that."""
        try:
            leads = bool(await self.conn.fetchval("SELECT pg_try_advisory_lock($1)", lock_of(("relay", self.service))))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Gone(str(error)) from error
        meters.LEADER.labels(self.service).set(leads)
        return leads

    async def carry(self) -> int:
        try:
            await reach("relay.before_move")
            async with self.conn.transaction():
                moved = await move(self.conn, self.service, self.batch_max)
                await reach("relay.before_commit")
            await reach("relay.after_commit")
            await self.gauge()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            meters.LEADER.labels(self.service).set(0)
            raise Gone(str(error)) from error
        if moved:
            self.bell.ring(self.service)
        return moved

    async def gauge(self) -> None:
        if time.monotonic() - self.gauged_at < GAUGE_SECONDS:
            return
        self.gauged_at = time.monotonic()
        pending, oldest = await self.conn.fetchrow(
            f"SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0) FROM {self.service}.outbox"
        )
        meters.OUTBOX_PENDING.labels(self.service).set(pending)
        meters.OUTBOX_AGE.labels(self.service).set(oldest)


async def move(conn: "asyncpg.Connection[asyncpg.Record]", service: str, limit: int) -> int:
    """Number the oldest facts of the outbox and put them into the log; how many they were. To be called in a transaction.

    The head's row lock orders movers: a second leader waits for it, and its next statement sees what the first has left.
    """
    head: int = await conn.fetchval(f"SELECT seq FROM {service}.log_head FOR UPDATE", timeout=MOVE_SECONDS_MAX)
    done = await conn.execute(_take(service), head, limit, timeout=MOVE_SECONDS_MAX)
    moved = int(done.rpartition(" ")[2])
    if moved:
        await conn.execute(f"UPDATE {service}.log_head SET seq = $1", head + moved)
    return moved


@cache
def _take(service: str) -> str:
    columns = ", ".join(FACT_COLUMNS)
    return (
        f"WITH taken AS (DELETE FROM {service}.outbox "
        f"WHERE id = ANY(ARRAY(SELECT id FROM {service}.outbox ORDER BY id LIMIT $2)) RETURNING *) "
        f"INSERT INTO {service}.log (seq, {columns}) SELECT $1 + row_number() OVER (ORDER BY id), {columns} FROM taken"
    )


@asynccontextmanager
async def open_carrier(
    url: str, service: str, bell: Bell, batch_max: int = RELAY_BATCH_MAX, lease_seconds: float = LEASE_SECONDS
) -> AsyncIterator[PostgresCarrier]:
    """One connection, one try at leading. Raises Gone when the database is away."""
    settings = session_settings(f"parvis-relay-{service}", lease_seconds) | {"idle_session_timeout": f"{int(lease_seconds * 1000)}ms"}
    try:
        conn = await asyncpg.connect(url, timeout=5, server_settings=settings)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Gone(str(error)) from error
    try:
        yield PostgresCarrier(conn, service, bell, batch_max)
    finally:
        meters.LEADER.labels(service).set(0)
        conn.terminate()


def nap_until_rung(bell: Bell) -> Nap:
    """Wait for the next ring, or half a second."""

    async def nap() -> None:
        await bell.wait(bell.rings, IDLE_LOOK_SECONDS)

    return nap
