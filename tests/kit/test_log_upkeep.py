"""The log in SQL keeps itself: what retention no longer wants goes, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from parvis_kit.events import Erased
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.upkeep import tidy
from parvis_kit.testing.databases import EVERY_DATABASE
from parvis_kit.testing.stage import Stage, ThingState, changed, copies, state
from parvis_kit.testing.waiting import until

pytestmark = pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)


async def test_retention_keeps_the_last_state_of_each_key_and_young_facts(stage: Stage) -> None:
    now = datetime.now(UTC)
    old, ancient = now - timedelta(days=10), now - timedelta(days=401)
    await stage.publish(
        changed("k", 1, ancient), changed("k", 2, old), state("k", 1, ancient), state("k", 2, old),
        Erased(ThingState, "gone", old), state("other", 5, ancient),
    )  # fmt: skip
    async with stage.running(stage.flow({}, copies())):

        async def are_copied() -> bool:
            return await stage.copied() == {"k": 2, "other": 5}

        await until(are_copied, "the states are copied")
    gone = await tidy(stage.alpha, stage.clock)
    assert (gone.facts, gone.states) == (1, 2)
    async with stage.alpha.read() as conn:
        left = {(row.type, row.key, row.at) for row in await conn.execute(sa.select(tables_of("alpha")["log"]))}
    assert left == {("alpha.thing.changed.v1", "k", old), ("alpha.thing.state.v1", "k", old), ("alpha.thing.state.v1", "other", ancient)}
