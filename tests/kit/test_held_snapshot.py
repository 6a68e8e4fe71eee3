"""A dump that takes its time, while facts go on: what is deleted cannot be cleaned away, and must not be walked over again and again."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from parvis_kit.events import postgres_relay
from parvis_kit.events.bell import Bell
from parvis_kit.events.kafka import outbox as kafka_outbox
from parvis_kit.events.low_water import LowWater
from parvis_kit.events.postgres_leader import open_leader
from parvis_kit.testing.databases import Place
from parvis_kit.testing.stage import Stage, changed

pytestmark = pytest.mark.soak
RATE = 250
SECONDS = 600 if os.environ.get("SOAK") else 30
BATCH = 250
PAGES_MAX = 60
"""Some 24 hold what a claim of 250 facts reads, whatever was deleted before."""


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


@asynccontextmanager
async def dump(url: str) -> AsyncIterator[None]:
    """What pg_dump holds: a snapshot, and no transaction id."""
    conn = await asyncpg.connect(url)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            await conn.fetchval("SELECT count(*) FROM alpha.outbox")
            yield
    finally:
        await conn.close()


async def pages(conn: Any, query: str, *arguments: Any) -> int:
    """How many pages a query touches."""
    [plan] = json.loads(await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *arguments))
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


@asynccontextmanager
async def sql_relay(url: str) -> AsyncIterator[tuple[Any, LowWater, Any]]:
    async with postgres_relay.open_carrier(url, "alpha", Bell()) as carrier:
        assert await carrier.lead()
        yield carrier.leader.conn, carrier.low_water, carrier.carry


@asynccontextmanager
async def kafka_relay(url: str) -> AsyncIterator[tuple[Any, LowWater, Any]]:
    async def anywhere(topic: str, key: str) -> str:
        return f"{topic}/0"

    async with open_leader(url, "alpha", 30) as leader:
        outbox = kafka_outbox.PostgresOutbox(leader, anywhere)

        async def carry() -> int:
            rows = await outbox.claim(500)
            await outbox.delete([row.id for row in rows])
            return len(rows)

        yield leader.conn, outbox.low_water, carry


@pytest.mark.parametrize("relay", [sql_relay, kafka_relay])
async def test_a_claim_is_as_cheap_after_half_a_minute_of_a_held_snapshot(stage: Stage, place: Place, relay: Any) -> None:
    url = place.url_of("alpha")
    read = "SELECT id FROM alpha.outbox WHERE id > $1 ORDER BY id LIMIT 500"
    async with dump(url), relay(url) as (conn, low_water, carry):
        carried = 0
        for number in range(0, SECONDS * RATE, BATCH):
            await stage.publish(*(changed(f"k{key}", number) for key in range(BATCH)))
            low_water.settled_at = float("-inf")  # as if a second had passed, which is what these facts take
            carried += await carry()
        assert carried == SECONDS * RATE
        await stage.publish(*(changed(f"k{key}", -1) for key in range(BATCH)))
        marked, unmarked = await pages(conn, read, low_water.mark), await pages(conn, read, 0)
        print(f"{carried} deleted under a snapshot: a claim reads {marked} pages, {unmarked} without its mark")
        assert marked < PAGES_MAX
        assert unmarked > 2 * marked, "otherwise the snapshot held nothing, and this proves nothing"
