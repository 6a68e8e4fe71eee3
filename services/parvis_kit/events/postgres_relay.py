"""From a service's outbox to its log, on PostgreSQL: one transaction that numbers, inserts and deletes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import asyncpg

from parvis_kit.db.engines import LEASE_SECONDS
from parvis_kit.events import meters
from parvis_kit.events.bell import Bell, log_of
from parvis_kit.events.ledger import FACT_COLUMNS
from parvis_kit.events.low_water import LowWater
from parvis_kit.events.ports import Gone
from parvis_kit.events.postgres_leader import Leader, gone_when_away, open_leader
from parvis_kit.events.relay import RELAY_BATCH_MAX
from parvis_kit.failpoints import reach

MOVE_SECONDS_MAX = 5.0
"""Below the lease: a move that hangs costs a try, not leadership twice."""


class PostgresCarrier:
    """The leader of one service's relay, to the log table beside its outbox."""

    def __init__(self, leader: Leader, bell: Bell, batch_max: int) -> None:
        self.leader, self.bell, self.batch_max = leader, bell, batch_max
        self.low_water = LowWater(leader.conn, leader.service)

    async def lead(self) -> bool:
        return await self.leader.lead()

    async def carry(self) -> int:
        service, conn = self.leader.service, self.leader.conn
        try:
            with gone_when_away():
                await self.low_water.settle()
                await reach("relay.before_move")
                async with conn.transaction():
                    moved = await move(conn, service, self.low_water, self.batch_max)
                    await reach("relay.before_commit")
                await reach("relay.after_commit")
        except Gone:
            meters.LEADER.labels(service).set(0)
            raise
        if moved:
            self.bell.ring(log_of(service))
        return moved


async def move(conn: "asyncpg.Connection[asyncpg.Record]", service: str, low_water: LowWater, limit: int) -> int:
    """Number the oldest facts of the outbox and put them into the log; how many they were. To be called in a transaction.

    The head's row lock orders movers: a second leader waits for it, and its next statement sees what the first has left.
    """
    head: int = await conn.fetchval(f"SELECT seq FROM {service}.log_head FOR UPDATE", timeout=MOVE_SECONDS_MAX)
    moved, last = await conn.fetchrow(_take(service), head, limit, low_water.mark, timeout=MOVE_SECONDS_MAX)
    if moved:
        low_water.read([last])
        await conn.execute(f"UPDATE {service}.log_head SET seq = $1", head + moved)
    return int(moved)


@cache
def _take(service: str) -> str:
    columns = ", ".join(FACT_COLUMNS)
    return (
        f"WITH taken AS (DELETE FROM {service}.outbox "
        f"WHERE id = ANY(ARRAY(SELECT id FROM {service}.outbox WHERE id > $3 ORDER BY id LIMIT $2)) RETURNING *), "
        f"put AS (INSERT INTO {service}.log (seq, {columns}) SELECT $1 + row_number() OVER (ORDER BY id), {columns} FROM taken) "
        "SELECT count(*), max(id) FROM taken"
    )


@asynccontextmanager
async def open_carrier(
    url: str, service: str, bell: Bell, batch_max: int = RELAY_BATCH_MAX, lease_seconds: float = LEASE_SECONDS
) -> AsyncIterator[PostgresCarrier]:
    """One connection, one try at leading. Raises Gone when the database is away."""
    async with open_leader(url, service, lease_seconds) as leader:
        yield PostgresCarrier(leader, bell, batch_max)
