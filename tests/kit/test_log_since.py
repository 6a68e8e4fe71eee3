"""Where a log in SQL is read from, so that what came since a moment is seen and little else."""

import sys
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.publish import seal
from parvis_kit.testing.databases import DATABASES
from parvis_kit.testing.stage import Stage, ThingChanged, changed
from parvis_kit.testing.waiting import until

pytestmark = pytest.mark.parametrize("database_kind", DATABASES, indirect=True)
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


async def test_the_first_fact_since_any_moment_is_found_past_gaps_and_whatever_facts_say(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention has left gaps, and some facts are about last year: the slow way is to look at each one's id."""
    random, number, hours = Random(8), 0, sorted(Random(7).sample(range(2_000), 120))

    def next_id() -> UUID:
        nonlocal number
        number += 1
        return UUID(int=int((BEGAN + timedelta(hours=hours[number - 1])).timestamp() * 1000) << 80 | number)

    monkeypatch.setattr(sys.modules[seal.__module__], "new_id", next_id)
    told = [BEGAN - timedelta(days=365) if random.random() < 0.3 else BEGAN + timedelta(hours=hour) for hour in hours]
    await stage.publish(*(changed(f"k{place}", 1, at) for place, at in enumerate(told)))
    log = tables_of("alpha")["log"]

    async def has_all() -> bool:
        async with stage.alpha.read() as conn:
            return len((await conn.execute(sa.select(log.c.seq))).all()) == len(hours)

    async with stage.running():
        await until(has_all, "all are in the log")
    async with stage.alpha.transaction() as tx:
        await tx.execute(sa.delete(log).where(log.c.seq.between(3, 40) | (log.c.seq % 3 == 0)))
        left = {row.event_id: row.seq for row in await tx.execute(sa.select(log.c.seq, log.c.event_id).order_by(log.c.seq))}
    births = [datetime.fromtimestamp((id.int >> 80) / 1000, UTC) for id in left]
    async with stage.log.reading(stage.beta, {"alpha": [ThingChanged.topic()]}) as reading:
        for hour in (-1, 0, *hours, *(hour + 1 for hour in hours), 2_001):
            moment = BEGAN + timedelta(hours=hour)
            found = (await reading.since(moment))["alpha"]
            records = (await reading.read("alpha", found, 500)).records
            assert [record.offset for record in records] == list(left.values())[bisect_left(births, moment) :], hour
