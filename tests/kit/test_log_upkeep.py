"""The log in SQL keeps itself: what retention no longer wants goes, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from parvis_kit.db import Tx
from parvis_kit.db.engines import POOL_SIZE
from parvis_kit.events import Erased, Fact, meters, sql_log
from parvis_kit.events.bell import Bell
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.operate import gauge, lag, parked
from parvis_kit.events.ports import Gone
from parvis_kit.events.running import Flow
from parvis_kit.events.sql_log import FETCH_MAX, SqlLog
from parvis_kit.events.upkeep import tidy
from parvis_kit.testing.databases import EVERY_DATABASE
from parvis_kit.testing.stage import TOLD, Stage, ThingChanged, ThingState, changed, copies, state, tell
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


async def test_whoever_begins_anew_reads_all_states_though_facts_before_them_are_gone(stage: Stage) -> None:
    """More states than a batch takes lie before the log's beginning: in their midst nobody has missed a fact."""
    now = datetime.now(UTC)
    ancient, states = now - timedelta(days=401), FETCH_MAX + 100
    await stage.publish(*(state(f"k{number}", 1, ancient) for number in range(states)))
    await stage.publish(changed("gone", 1, ancient))
    await stage.publish(changed("kept", 1, now))
    async with stage.running(stage.flow({})):  # carries them into the log
        await until_in_log(stage, states + 2)
    assert (await tidy(stage.alpha, stage.clock)).facts == 1
    seen: set[str] = set()

    async def see(tx: Tx, fact: Fact | Erased) -> None:
        seen.add(fact.about)

    async with stage.running(stage.flow({ThingChanged: tell, ThingState: see, Erased(ThingState): see}, copies())):
        await stage.until_told("kept", 1)

        async def are_copied() -> bool:
            return len(await stage.copied()) == states

        async def are_seen() -> bool:
            return len(seen) == states

        await until(are_copied, "a projection is built from all states")
        await until(are_seen, "a reaction to both has seen all states")
    assert await stage.story("gone") == [] and await parked(stage.beta) == []


async def until_in_log(stage: Stage, facts: int) -> None:
    async def are_there() -> bool:
        async with stage.alpha.read() as conn:
            return bool((await conn.execute(sa.select(sa.func.count()).select_from(tables_of("alpha")["log"]))).scalar_one() == facts)

    await until(are_there, "the facts are in the log")


async def test_what_waits_to_leave_is_told_while_the_log_is_away(stage: Stage) -> None:
    """That is when somebody wants to know. On SQLite facts are in the log as soon as they are there at all."""
    await stage.publish(changed("k", 1), changed("k", 2, stage.clock() - timedelta(minutes=5)))
    before = meters.LOOKED_AT.labels("alpha")._value.get()
    with pytest.raises(Gone):
        await gauge(Flow(stage.alpha, stage.clock, Away(lambda service: stage.alpha.url, Bell()), TOLD))
    pending, oldest_seconds = (one.labels("alpha")._value.get() for one in (meters.OUTBOX_PENDING, meters.OUTBOX_AGE))
    assert (pending, oldest_seconds > 60) == ((0, False) if stage.alpha.is_sqlite else (2, True))
    assert meters.PARKED_NOW.labels("alpha")._value.get() == 0
    assert meters.LOOKED_AT.labels("alpha")._value.get() == before, "lag is what it was, and that is told"


async def test_a_count_that_takes_too_long_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds one of the connections that doors wait for. On SQLite whoever writes keeps nobody from reading."""
    if stage.alpha.is_sqlite:
        return
    monkeypatch.setattr(sql_log, "READ_SECONDS_MAX", 0.3)
    await stage.publish(changed("k", 1))
    flow = stage.flow({ThingChanged: tell})
    async with stage.alpha.transaction() as tx:
        await tx.execute(sa.text("LOCK TABLE alpha.log IN ACCESS EXCLUSIVE MODE"))
        for _ in range(POOL_SIZE + 1):
            with pytest.raises(Gone, match="takes too long"):
                await lag(flow)
    assert [one.consumer for one in await lag(flow)] == ["beta"], "and nothing is lost by it"


class Away(SqlLog):
    """A broker that nobody reaches."""

    async def waiting(self, *_: Any) -> Any:
        raise Gone("the log is away")
