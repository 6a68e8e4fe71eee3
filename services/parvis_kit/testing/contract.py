"""What every Ledger owes the consumer: the same scenarios, with the real core, on the model of the simulation and on real databases.

For each scenario of SCENARIOS: `await scenario(Bench(desk))`, on a desk whose tables are empty.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol
from unittest.mock import patch

from parvis_kit.events import consumer
from parvis_kit.events.consumer import ATTEMPTS_MAX, Behind, Consumer, Failed, Refuse, Retry, replay
from parvis_kit.events.ports import AnyTx, Batch, Ledger, Parked, Record


class Desk(Protocol):
    """One empty database, as the scenarios need it."""

    @property
    def ledger(self) -> Ledger:
        """Of one consumer; two consumers of it may be at work at once."""

    def fact(self, number: int, lane: int, content: str) -> Any:
        """A fact that the ledger can carry. The same number is the same id, the same lane number the same lane, other content another
        digest."""

    async def apply(self, tx: AnyTx, records: Sequence[Record]) -> None:
        """An effect that is not idempotent: add each fact's number to the story of its lane."""

    async def story(self, lane: int) -> list[int]:
        """The numbers that were added to a lane, in order, by committed transactions."""


class Bench:
    """A desk with a source that is told where to go, and reactions that fail as they are told."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.ledger, self.story = desk, desk.ledger, desk.story
        self.errors: dict[int, Exception] = {}
        """What the reaction raises, by the fact's number."""
        self.numbers: dict[Hashable, int] = {}
        self.blames_all = False
        """Whether the reaction says that its error may lie in any of those it was given."""
        self.tried: Counter[int] = Counter()
        self.calls = 0
        self.has_failed = asyncio.Event()
        self.sought: list[tuple[str, int]] = []

    def seek(self, partition: str, offset: int) -> None:
        self.sought.append((partition, offset))

    async def fetch(self) -> Sequence[Batch]:
        return ()

    async def report(self, offsets: Mapping[str, int]) -> None:
        """Nobody looks."""

    def fact(self, number: int, lane: int = 7, content: str = "as published") -> Any:
        fact = self.desk.fact(number, lane, content)
        self.numbers[fact.id] = number
        return fact

    def batch(self, *facts: Any, start: int = 0, beginning: int = 0) -> Batch:
        """Numbers stand for facts of lane 7."""
        whole = [self.fact(fact) if isinstance(fact, int) else fact for fact in facts]
        records = [Record("p", offset, fact) for offset, fact in enumerate(whole, start)]
        return Batch("p", start, start + len(records), records, beginning)

    def consumer(self) -> Consumer:
        return Consumer("contract", self, self.ledger, self.react)

    async def settle(self, batch: Batch) -> bool:
        """By a member that has just been started."""
        return await self.consumer().settle([batch])

    async def react(self, tx: AnyTx, records: Sequence[Record]) -> None:
        """The effect first: what fails afterwards must take it along."""
        self.calls += 1
        self.tried.update(self.numbers[record.fact.id] for record in records)
        await self.desk.apply(tx, records)
        for record in records:
            error = self.errors.get(self.numbers[record.fact.id])
            if error is not None:
                self.has_failed.set()
                if self.blames_all:
                    raise Failed(records) from error
                raise error

    async def replay(self, lane: int = 7) -> int:
        return await replay(self.ledger, self.react, self.fact(0, lane).lane, ["p"])

    async def parked(self, lane: int = 7) -> list[Parked]:
        """What waits in a lane; it goes on waiting."""
        found: list[Parked] = []
        with suppress(Undone):
            async with self.ledger.transaction() as tx:
                found += await self.ledger.unpark(tx, self.fact(0, lane).lane)
                raise Undone
        return found

    async def reasons(self, lane: int = 7) -> list[tuple[int, str]]:
        return [(self.numbers[one.record.fact.id], one.reason) for one in await self.parked(lane)]


class Undone(Exception):
    """Rolls a transaction back."""


# once


async def a_batch_is_applied_once_though_read_twice(bench: Bench) -> None:
    await bench.settle(bench.batch(1, 2))
    await bench.settle(bench.batch(1, 2, 3))
    assert await bench.story(7) == [1, 2, 3]


async def a_relays_duplicate_is_dropped_also_within_a_batch(bench: Bench) -> None:
    await bench.settle(bench.batch(1, 2, 1, 2, 3))
    await bench.settle(bench.batch(3, start=5))
    assert await bench.story(7) == [1, 2, 3] and await bench.parked() == []


async def an_old_member_waits_and_finds_nothing_left(bench: Bench) -> None:
    await asyncio.gather(bench.settle(bench.batch(1, 2)), bench.settle(bench.batch(1, 2, 3)), bench.settle(bench.batch(1)))
    assert await bench.story(7) == [1, 2, 3]


# where to read


async def a_hole_is_read_again(bench: Bench) -> None:
    await bench.settle(bench.batch(1))
    assert not await bench.settle(bench.batch(3, start=2))
    assert await bench.story(7) == [1] and bench.sought == [("p", 1)]


async def a_hole_is_seen_though_nothing_new_comes(bench: Bench) -> None:
    await bench.settle(bench.batch(1))
    assert not await bench.settle(bench.batch(start=2))
    assert bench.sought == [("p", 1)]


async def a_reader_that_lags_behind_its_database_is_sent_ahead(bench: Bench) -> None:
    await bench.settle(bench.batch(1, 2, 3))
    assert not await bench.settle(bench.batch(1))
    assert await bench.story(7) == [1, 2, 3] and bench.sought == [("p", 3)]


async def a_new_consumer_begins_where_the_log_begins(bench: Bench) -> None:
    assert await bench.settle(bench.batch(5, 6, start=5, beginning=5))
    assert await bench.settle(bench.batch(7, start=7, beginning=5))
    assert await bench.story(7) == [5, 6, 7] and bench.sought == []


async def an_old_consumer_that_the_log_has_left_behind_says_so(bench: Bench) -> None:
    await bench.settle(bench.batch(1, 2))
    try:
        await bench.settle(bench.batch(5, start=5, beginning=5))
    except Behind as behind:
        assert "stands at 2 of p, whose log begins at 5" in str(behind)
    else:
        raise AssertionError("facts 3 and 4 are gone, and nobody says so")
    assert await bench.story(7) == [1, 2]


# failures


async def a_bug_is_tried_three_times_then_parked_with_its_lane(bench: Bench) -> None:
    bench.errors[2] = ValueError("a bug " + "and its long story " * 1_000)
    await bench.settle(bench.batch(1, 2, 3))
    await bench.settle(bench.batch(4, start=3))
    assert await bench.story(7) == [1]
    assert await bench.reasons() == [(2, "failed"), (3, "behind"), (4, "behind")]
    first = (await bench.parked())[0]
    assert first.attempts == ATTEMPTS_MAX and first.record.offset == 1 and first.record.partition == "p"
    assert "a bug and its" in first.error and len(first.error) == consumer.ERROR_CHARACTERS_MAX


async def a_bug_that_hides_among_other_facts_has_three_tries_of_its_own(bench: Bench) -> None:
    bench.blames_all = True
    bench.errors[2] = ValueError("a bug")
    await bench.settle(bench.batch(1, 2, 3, bench.fact(11, lane=8)))
    assert await bench.story(7) == [1] and await bench.story(8) == [11]
    assert await bench.reasons() == [(2, "failed"), (3, "behind")]
    assert bench.tried[2] == 1 + ATTEMPTS_MAX


async def followers_of_a_parked_lane_wait_while_other_lanes_go_on(bench: Bench) -> None:
    bench.errors[2] = ValueError("a bug")
    await bench.settle(bench.batch(1, bench.fact(11, lane=8), 2, 3, bench.fact(12, lane=8)))
    await bench.settle(bench.batch(bench.fact(13, lane=8), 4, start=5))
    assert await bench.story(7) == [1] and await bench.story(8) == [11, 12, 13]
    assert await bench.reasons() == [(2, "failed"), (3, "behind"), (4, "behind")] and await bench.parked(8) == []


async def a_lane_is_replayed_in_order_and_goes_on(bench: Bench) -> None:
    bench.errors[2] = ValueError("a bug")
    await bench.settle(bench.batch(1, 2, 3))
    await bench.settle(bench.batch(4, start=3))
    bench.errors.clear()
    assert await bench.replay() == 3
    await bench.settle(bench.batch(5, start=4))
    assert await bench.story(7) == [1, 2, 3, 4, 5] and await bench.parked() == []


async def a_replay_that_fails_leaves_the_lane_parked(bench: Bench) -> None:
    bench.errors[2] = ValueError("a bug")
    await bench.settle(bench.batch(1, 2, 3))
    bench.errors = {3: ValueError("another")}
    with suppress(ValueError):
        await bench.replay()
    assert await bench.story(7) == [1] and await bench.reasons() == [(2, "failed"), (3, "behind")]
    bench.errors.clear()
    await bench.replay()
    assert await bench.story(7) == [1, 2, 3]


async def a_reaction_that_asks_for_later_leaves_nothing_behind_and_is_applied_then(bench: Bench) -> None:
    bench.errors[2] = Retry("what it calls is away")
    settling = asyncio.create_task(bench.settle(bench.batch(1, 2, 3)))
    await bench.has_failed.wait()
    with suppress(Undone):
        async with bench.ledger.transaction() as tx:
            assert await bench.ledger.parked(tx) == Counter() and await bench.story(7) == []
            assert await bench.ledger.admit(tx, [bench.fact(1)]) == {}
            raise Undone
    bench.errors.clear()
    assert await settling
    assert await bench.story(7) == [1, 2, 3] and await bench.parked() == []


async def a_refused_fact_is_parked_at_once_with_its_reason(bench: Bench) -> None:
    bench.errors[2] = Refuse("not for us")
    await bench.settle(bench.batch(1, 2, 3))
    assert await bench.story(7) == [1] and await bench.reasons() == [(2, "refused"), (3, "behind")]
    assert (await bench.parked())[0].error == "not for us"
    assert bench.calls == 3  # all of them, then the first and the refused one by themselves


async def other_content_under_a_known_id_is_parked_as_a_conflict(bench: Bench) -> None:
    await bench.settle(bench.batch(1, 2))
    await bench.settle(bench.batch(bench.fact(1, content="forged"), 3, start=2))
    assert await bench.story(7) == [1, 2] and await bench.reasons() == [(1, "conflict"), (3, "behind")]


async def other_content_under_the_same_id_is_seen_within_a_batch(bench: Bench) -> None:
    await bench.settle(bench.batch(1, bench.fact(1, content="forged"), 2, bench.fact(11, lane=8)))
    assert await bench.story(7) == [1] and await bench.reasons() == [(1, "conflict"), (2, "behind")]
    assert await bench.story(8) == [11]


async def a_consumer_that_is_asked_to_stop_gives_a_failing_batch_back(bench: Bench) -> None:
    bench.errors[2] = Retry("what it calls is away")
    leaving = bench.consumer()
    leaving.stopping = True
    assert not await leaving.settle([bench.batch(1, 2)])
    bench.errors.clear()
    await bench.settle(bench.batch(1, 2))
    assert await bench.story(7) == [1, 2]


async def a_consumer_stops_rather_than_park_the_world(bench: Bench) -> None:
    await it_stops_at(bench, "PARKED_LANES_MAX")


async def a_consumer_stops_rather_than_park_facts_without_end(bench: Bench) -> None:
    await it_stops_at(bench, "PARKED_FACTS_MAX")


async def it_stops_at(bench: Bench, limit: str) -> None:
    with patch.object(consumer, limit, 1):
        bench.errors = {1: Refuse("no"), 11: Refuse("no")}
        await bench.settle(bench.batch(1))
        settling = asyncio.create_task(bench.settle(bench.batch(bench.fact(11, lane=8), start=1)))
        for _ in ("all together", "by itself"):
            bench.has_failed.clear()
            await bench.has_failed.wait()
        assert await bench.parked(8) == []
        del bench.errors[1]
        await bench.replay()
        assert await settling
    assert await bench.story(7) == [1] and await bench.reasons(8) == [(11, "refused")]


Scenario = Callable[[Bench], Awaitable[None]]
SCENARIOS: list[Scenario] = [
    a_batch_is_applied_once_though_read_twice,
    a_relays_duplicate_is_dropped_also_within_a_batch,
    an_old_member_waits_and_finds_nothing_left,
    a_hole_is_read_again,
    a_hole_is_seen_though_nothing_new_comes,
    a_reader_that_lags_behind_its_database_is_sent_ahead,
    a_new_consumer_begins_where_the_log_begins,
    an_old_consumer_that_the_log_has_left_behind_says_so,
    a_bug_is_tried_three_times_then_parked_with_its_lane,
    a_bug_that_hides_among_other_facts_has_three_tries_of_its_own,
    followers_of_a_parked_lane_wait_while_other_lanes_go_on,
    a_lane_is_replayed_in_order_and_goes_on,
    a_replay_that_fails_leaves_the_lane_parked,
    a_reaction_that_asks_for_later_leaves_nothing_behind_and_is_applied_then,
    a_refused_fact_is_parked_at_once_with_its_reason,
    other_content_under_a_known_id_is_parked_as_a_conflict,
    other_content_under_the_same_id_is_seen_within_a_batch,
    a_consumer_that_is_asked_to_stop_gives_a_failing_batch_back,
    a_consumer_stops_rather_than_park_the_world,
    a_consumer_stops_rather_than_park_facts_without_end,
]
