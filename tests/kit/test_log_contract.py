"""What every log promises, whatever carries it: one suite, entered by `publish` and by tables of reactions."""

import asyncio
import gc
import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from parvis_kit import context
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Fact, batch, publish
from parvis_kit.events.facts import FACT_BYTES_MAX, Envelope
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.events.kafka.wire import number_of
from parvis_kit.events.ledger import append, tables_of
from parvis_kit.events.operate import accept_loss, lag, parked, rebuild, tail
from parvis_kit.events.ports import Batch
from parvis_kit.events.publish import seal
from parvis_kit.events.running import consumer_of
from parvis_kit.events.upkeep import tidy
from parvis_kit.problems import Conflict, NotFound, TooLarge
from parvis_kit.testing.databases import EVERY_LOG
from parvis_kit.testing.kafka import forget_before
from parvis_kit.testing.stage import TOLD, Stage, ThingChanged, ThingLost, ThingState, changed, copies, state, tell
from parvis_kit.testing.waiting import until

pytestmark = pytest.mark.parametrize("database_kind", EVERY_LOG, indirect=True)

LANE = ("parvis.alpha.thing", "k")


async def put_in_log(stage: Stage, *envelopes: Envelope) -> None:
    """As a relay does that sends again, or a publisher of another version of Parvis."""
    async with stage.alpha.transaction() as tx:
        await append(tx, envelopes)


# publishing


async def test_facts_of_one_key_arrive_in_the_order_of_their_commits(stage: Stage) -> None:
    async with stage.running(stage.flow()):
        for version in range(1, 31):
            await stage.change(f"k{version % 3}", version)
        for key in range(3):
            await stage.until_told(f"k{key}", *(version for version in range(1, 31) if version % 3 == key))


async def test_a_clock_that_jumps_back_disorders_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids begin with the time at which they were made, and facts bear it: neither is what order rests on."""
    began = datetime(2026, 11, 23, 9, tzinfo=UTC)
    for version in range(1, 8):
        monkeypatch.setattr(sys.modules[seal.__module__], "new_id", lambda version=version: UUID(int=(100 - version) << 80 | 7))
        await stage.publish(changed("k", version, began - version * timedelta(hours=1)))
    async with stage.running(stage.flow()):
        await stage.until_told("k", *range(1, 8))


async def test_what_is_rolled_back_is_never_told(stage: Stage) -> None:
    async with stage.running(stage.flow()):
        with suppress(ZeroDivisionError):
            async with stage.alpha.transaction() as tx:
                publish(tx, changed("k", 1))
                raise ZeroDivisionError
        await stage.change("k", 2)
        await stage.until_told("k", 2)


async def test_what_a_savepoint_undoes_is_not_told(stage: Stage) -> None:
    async with stage.running(stage.flow()):
        async with stage.alpha.transaction() as tx:
            publish(tx, changed("k", 1))
            with suppress(ZeroDivisionError):
                async with tx.savepoint():
                    publish(tx, changed("k", 2))
                    raise ZeroDivisionError
            publish(tx, changed("k", 3))
        await stage.until_told("k", 1, 3)


async def test_nothing_is_told_before_its_commit(stage: Stage) -> None:
    async with stage.running(stage.flow()):
        async with stage.alpha.transaction() as tx:
            publish(tx, changed("k", 1))
            assert (await tx.execute(sa.select(tables_of("alpha")["log"]))).all() == []
            assert await stage.story("k") == []
        await stage.until_told("k", 1)


async def test_a_fact_that_is_too_large_fails_its_own_transaction(stage: Stage) -> None:
    class ThingDescribed(Fact):
        type = "alpha.thing.described.v1"
        text: str

    with pytest.raises(TooLarge, match="at most 262144"):
        await stage.publish(ThingDescribed(at=datetime.now(UTC), about="k", text="x" * FACT_BYTES_MAX))
    async with stage.running(stage.flow()):
        await stage.change("k", 1)
        await stage.until_told("k", 1)


async def test_a_transaction_that_has_published_is_freed_when_it_is_over(stage: Stage) -> None:
    """Every act would else leave its facts and its connection's wrapping behind until Python looks for rings of garbage."""
    gc.collect()
    gc.disable()
    try:
        await stage.publish(changed("k", 1))
        assert [one for one in gc.get_objects() if type(one) is Tx] == []
    finally:
        gc.enable()


async def test_a_fact_has_one_publisher(stage: Stage) -> None:
    with pytest.raises(TypeError, match="beta does not publish alpha"):
        async with stage.beta.transaction() as tx:
            publish(tx, changed("k", 1))


async def test_writers_of_one_key_take_their_places_in_the_order_of_their_commits(stage: Stage) -> None:
    """Neither has locked a row: the key's own lock keeps the second from taking a place before the first has committed."""
    if stage.alpha.is_sqlite:
        async with stage.alpha.transaction() as tx:
            publish(tx, changed("k", 1))
            second = asyncio.create_task(stage.change("k", 2))
        await second
    else:
        async with stage.alpha.transaction() as tx:
            await append(tx, [seal(changed("k", 1), "alpha")])
            second = asyncio.create_task(stage.change("k", 2))
            await until(lambda: is_waiting_for_a_lock(stage), "the second writer waits for the key")
        await second
    async with stage.running(stage.flow()):
        await stage.until_told("k", 1, 2)


async def is_waiting_for_a_lock(stage: Stage) -> bool:
    async with stage.beta.read() as conn:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        return bool((await conn.execute(sa.text(waiting))).scalar())


# what travels along


async def test_a_fact_carries_its_cause_from_request_to_reaction(stage: Stage) -> None:
    seen: list[context.Cause] = []

    async def look(tx: Tx, fact: ThingChanged) -> None:
        seen.append(context.CAUSE.get())
        await tell(tx, fact)

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    token = context.CAUSE.set(context.Cause(request_id="r-1", traceparent=trace, actor="agent-7"))
    await stage.change("k", 1)
    context.CAUSE.reset(token)
    async with stage.running(stage.flow({ThingChanged: look})):
        await stage.until_told("k", 1)
    [cause] = seen
    assert cause.request_id == "r-1" and cause.actor == "beta"
    assert cause.traceparent.split("-")[1] == trace.split("-")[1] and cause.traceparent != trace
    async for _, _, fact in tail(stage.flow(), {"alpha": [ThingChanged.topic()]}):
        assert UUID(cause.fact_id) == fact.id
        assert json.loads(fact.head) == {"source": "/parvis/alpha", "actor": "agent-7", "correlationid": "r-1", "traceparent": trace}


# consuming


async def test_two_consumers_each_get_every_fact(stage: Stage) -> None:
    async with stage.running(stage.flow(TOLD, copies())):
        await stage.publish(changed("k", 1), state("k", 1))
        await stage.until_told("k", 1)
        await until(lambda: is_copied(stage, k=1), "the state is copied")


async def is_copied(stage: Stage, **versions: int) -> bool:
    return await stage.copied() == versions


async def test_a_latecomer_begins_at_the_beginning(stage: Stage) -> None:
    await stage.change("k", 1, 2, 3)
    async with stage.running(stage.flow()):
        await stage.until_told("k", 1, 2, 3)


async def test_a_duplicate_is_applied_once(stage: Stage) -> None:
    twice = seal(changed("k", 1), "alpha")
    await put_in_log(stage, twice, twice, seal(changed("k", 2), "alpha"))
    async with stage.running(stage.flow()):
        await stage.until_told("k", 1, 2)
        await put_in_log(stage, twice)
        await stage.change("k", 3)
        await stage.until_told("k", 1, 2, 3)


async def test_a_consumer_that_starts_again_goes_on_where_it_stood(stage: Stage) -> None:
    for version in (1, 2, 3):
        async with stage.running(stage.flow()):
            await stage.change("k", version)
            await stage.until_told("k", *range(1, version + 1))


async def test_kinds_that_nobody_waits_for_are_passed_by(stage: Stage) -> None:
    async with stage.running(stage.flow()):
        await stage.publish(ThingLost(at=datetime.now(UTC), about="k", version=9), changed("k", 1))
        await stage.until_told("k", 1)
    assert await parked(stage.beta) == []


async def test_a_batch_reaction_takes_many_and_keeps_the_order_of_each_key(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "parvis.reaction")
    sizes: list[int] = []

    async def tell_all(tx: Tx, facts: list[ThingChanged]) -> None:
        sizes.append(len(facts))
        for fact in facts:
            await tell(tx, fact)

    for version in range(1, 21):
        await stage.publish(changed("a", version), changed("b", version))
    await stage.publish(ThingLost(at=datetime.now(UTC), about="a", version=21))
    await stage.publish(changed("a", 22), changed("b", 22))
    async with stage.running(stage.flow({ThingChanged: batch(tell_all), ThingLost: tell})):
        await stage.until_told("a", *range(1, 23))
        await stage.until_told("b", *range(1, 21), 22)
    assert max(sizes) >= 8
    acts: list[dict[str, Any]] = [vars(line)["fields"] for line in caplog.records if line.name == "parvis.reaction"]
    named = [fact for act in acts if act["consumer"] == "beta" for fact in act.get("facts", ())]
    assert 8 <= len(named) == len(set(named)), "one line for an act that was committed, with the id of each fact"


async def test_stopping_finishes_the_batch_in_hand(stage: Stage) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(tx: Tx, fact: ThingChanged) -> None:
        entered.set()
        await leave.wait()
        await tell(tx, fact)

    await stage.change("k", 1)
    async with stage.running(stage.flow({})), consumer_of(stage.flow({ThingChanged: slow}), "beta", {ThingChanged: slow}) as consumer:
        running = asyncio.create_task(consumer.run())
        await entered.wait()
        consumer.stopping = True
        leave.set()
        await running
    assert await stage.story("k") == [1]


# projections


async def test_a_tombstone_erases(stage: Stage) -> None:
    async with stage.running(stage.flow({}, copies())):
        await stage.publish(state("a", 1), state("b", 1))
        await until(lambda: is_copied(stage, a=1, b=1), "both are copied")
        await stage.publish(Erased(ThingState, "a", datetime.now(UTC)))
        await until(lambda: is_copied(stage, b=1), "the erased one is forgotten")


async def test_a_projection_rebuilt_while_it_runs_equals_the_one_kept_live(stage: Stage) -> None:
    flow = stage.flow(TOLD, copies())
    async with stage.running(flow):
        for version in range(1, 40):
            await stage.publish(state(f"k{version % 7}", version))
            if version == 20:
                await rebuild(flow, "beta.copies")
        await until(lambda: is_copied(stage, **{f"k{v % 7}": v for v in range(33, 40)}), "the rebuilt copy is complete")
    with pytest.raises(Conflict, match="only projections are rebuilt"):
        await rebuild(flow, "beta")
    with pytest.raises(NotFound, match="it has beta.copies"):
        await rebuild(flow, "beta.nothing")


async def test_it_says_when_it_has_reached_the_end(stage: Stage) -> None:
    reached = asyncio.Event()
    await stage.publish(state("a", 1))
    async with stage.running(stage.flow({}, copies(1, reached.set))):
        await asyncio.wait_for(reached.wait(), 10)
        assert await stage.copied() == {"a": 1} or stage.alpha.is_sqlite is False


# operating


async def test_lag_tells_the_truth(stage: Stage) -> None:
    now = datetime.now(UTC)
    async with stage.running(stage.flow()):
        await stage.change("k", 1)
        await stage.until_told("k", 1)
    await stage.publish(changed("k", 2, now - timedelta(minutes=5)), changed("k", 3, now), state("k", 3))
    async with stage.running():
        await until(lambda: is_lagging(stage, 2), "two facts of its topics wait, and the state is none of them")
        [one] = await lag(stage.flow())
    assert (one.consumer, one.publisher) == ("beta", "alpha") and 300 <= one.seconds < 360
    async with stage.running(stage.flow()):
        await stage.until_told("k", 1, 2, 3)
        await until(lambda: is_lagging(stage, 0), "nothing waits")


async def test_each_consumer_s_lag_is_its_own(stage: Stage) -> None:
    """All of a service's are asked about at once, whatever each listens to and wherever it stands."""
    await stage.publish(changed("k", 1), changed("k", 2), state("k", 2))
    flow = stage.flow({ThingChanged: tell}, copies())

    async def are_told(*expected: int) -> bool:
        found = {one.consumer: one.facts for one in await lag(flow)}
        return found == dict(zip(("beta", "beta.copies@1"), expected, strict=True))

    async with stage.running():
        await until(lambda: are_told(2, 1), "two facts wait for the one and a state for the other")
    async with stage.running(stage.flow({ThingChanged: tell})):
        await until(lambda: are_told(0, 1), "the one has caught up")


async def is_lagging(stage: Stage, facts: int) -> bool:
    return [one.facts for one in await lag(stage.flow())] == [facts]


async def test_tail_shows_what_came_since(stage: Stage) -> None:
    now = datetime.now(UTC)
    await stage.publish(changed("k", 1, now - timedelta(hours=2)), changed("k", 2, now))
    async with stage.running():
        await until(lambda: is_lagging(stage, 2), "both are in the log")
        topics = {"alpha": [ThingChanged.topic()]}
        seen = [fact async for _, _, fact in tail(stage.flow(), topics, since=now - timedelta(hours=1))]
    assert [json.loads(fact.data or b"")["version"] for fact in seen] == [2]


async def test_what_came_before_is_not_read_to_show_what_came_since(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's facts of a log of a year are a few hundredths of it; what comes after the search is seen all the same."""
    topics, now = {"alpha": [ThingChanged.topic()]}, datetime.now(UTC)
    await stage.publish(*(changed(f"k{number}", 1, now) for number in range(20)))
    async with stage.running():
        await until(lambda: is_lagging(stage, 20), "all are in the log")
        async with stage.log.reading(stage.beta, topics) as reading:
            kind, read, came = type(reading), type(reading).read, list[str]()

            async def counted(self: Any, partition: str, start: int, limit: int) -> Batch:
                batch: Batch = await read(self, partition, start, limit)
                came.extend(record.fact.key for record in batch.records)
                return batch

            monkeypatch.setattr(kind, "read", counted)
            assert [fact async for _, _, fact in tail(stage.flow(), topics, since=now + timedelta(hours=1))] == [] and came == []
            assert len([fact async for _, _, fact in tail(stage.flow(), topics, since=now - timedelta(hours=1))]) == len(came) == 20
            ends = await reading.since(now + timedelta(hours=1))
            await stage.publish(changed("late", 1, now))
            await until(lambda: is_lagging(stage, 21), "another one is")
            came.clear()
            for partition, end in ends.items():
                await reading.read(partition, end, 500)
            assert came == ["late"]


async def test_who_was_left_behind_by_the_log_is_told_or_computed_again(stage: Stage) -> None:
    now = datetime.now(UTC)
    async with stage.running(stage.flow(TOLD, copies())):
        await stage.publish(changed("k", 1, now), state("k", 1, now))
        await stage.until_told("k", 1)
        await until(lambda: is_copied(stage, k=1), "the state is copied")
    ancient = now - timedelta(days=401)
    await stage.publish(changed("k", 2, ancient), changed("k", 3, ancient), state("k", 3, now), changed("k", 4, now))
    async with stage.running():
        await until(lambda: is_lagging(stage, 3), "three facts wait")
    await forget_the_first_three(stage)
    assert sum((await accept_loss(stage.flow(), "beta")).values()) > 0
    async with stage.running(stage.flow(TOLD, copies())):
        await stage.until_told("k", 1, 4)
        await until(lambda: is_copied(stage, k=3), "the projection is computed again")


async def forget_the_first_three(stage: Stage) -> None:
    """Retention takes the facts of over a year ago; Kafka's own counts from when they came, so it is told."""
    if isinstance(stage.log, KafkaLog):
        await forget_before(stage.log.kafka, ThingChanged.topic(), {number_of("k", stage.log.kafka.kafka_partitions): 3})
    else:
        assert (await tidy(stage.alpha, stage.clock)).facts == 2


async def test_new_facts_wake_who_waits_for_them(stage: Stage) -> None:
    """A consumer that only looked every second could not have been told thirty times in ten."""
    async with stage.running(stage.flow()):
        began = asyncio.get_running_loop().time()
        for version in range(1, 31):
            await stage.change("k", version)
            await stage.until_told("k", *range(1, version + 1))
        assert asyncio.get_running_loop().time() - began < 10
