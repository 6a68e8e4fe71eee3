"""The outbox as Kafka's relay claims it: oldest first, a bounded part, past what is deleted and never past what comes late."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from parvis_kit.events import Fact
from parvis_kit.events.kafka.outbox import CLAIM_BYTES_MAX, PostgresOutbox
from parvis_kit.events.ledger import append
from parvis_kit.events.postgres_leader import open_leader
from parvis_kit.events.publish import seal
from parvis_kit.testing.databases import Place
from parvis_kit.testing.stage import Stage, changed


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


@pytest.fixture
async def outbox(stage: Stage, place: Place) -> AsyncIterator[PostgresOutbox]:
    async def anywhere(topic: str, key: str) -> str:
        return f"{topic}/0"

    async with open_leader(place.url_of("alpha"), "alpha", 30) as leader:
        yield PostgresOutbox(leader, anywhere)


async def claimed(outbox: PostgresOutbox) -> list[int]:
    """The ids of a claim, after a second has passed for it."""
    outbox.low_water.settled_at = float("-inf")
    return [row.id for row in await outbox.claim(500)]


async def test_what_commits_late_is_never_passed_by(stage: Stage, outbox: PostgresOutbox) -> None:
    """Were the mark to rise above an id that is taken and not yet committed, version 2 would leave without version 1."""
    async with stage.alpha.transaction() as tx:
        await append(tx, [seal(changed("k", 1), "alpha")])
        for number in range(5):
            await stage.change(f"other{number}", 1)
        for _ in range(5):
            await outbox.delete(await claimed(outbox))
        assert await claimed(outbox) == [] and outbox.low_water.mark == 0
    await stage.change("k", 2)
    assert await claimed(outbox) == [1, 7]


async def test_the_mark_rises_past_what_is_deleted_and_never_past_what_is_left(stage: Stage, outbox: PostgresOutbox) -> None:
    await stage.change("k", *range(1, 21))
    await outbox.delete((await claimed(outbox))[:10])
    for _ in range(3):
        assert await claimed(outbox) == list(range(11, 21))
    assert outbox.low_water.mark == 10
    await outbox.delete(list(range(11, 21)))
    for _ in range(3):
        await claimed(outbox)
    assert outbox.low_water.mark == 20
    await stage.change("k", 21)
    assert await claimed(outbox) == [21]


async def test_a_claim_holds_a_bounded_number_of_bytes(stage: Stage, outbox: PostgresOutbox) -> None:
    class ThingSung(Fact):
        type = "alpha.thing.sung.v1"
        text: str

    fact = ThingSung(at=datetime.now(UTC), about="k", text="x" * 250_000)
    await asyncio.gather(*(stage.publish(*[fact] * 10) for _ in range(6)))
    rows = await outbox.claim(500)
    assert CLAIM_BYTES_MAX - 300_000 < sum(len(row.fact.value) for row in rows) < CLAIM_BYTES_MAX + 300_000
    assert [row.id for row in rows] == list(range(1, len(rows) + 1))


async def test_who_publishes_has_a_transaction_id_before_an_outbox_id(stage: Stage, place: Place) -> None:
    """What the mark rests on. A default of the table looks, just after each outbox id is taken, whether there is one."""
    async with stage.alpha.transaction() as tx:
        await tx.exec_driver_sql("ALTER TABLE alpha.outbox ADD had_one boolean DEFAULT (pg_current_xact_id_if_assigned() IS NOT NULL)")
    await stage.publish(changed("a", 1))
    await stage.publish(changed("a", 2), changed("b", 1))
    async with stage.alpha.read() as conn:
        assert [row[0] for row in await conn.execute(sa.text("SELECT had_one FROM alpha.outbox"))] == [True] * 3
