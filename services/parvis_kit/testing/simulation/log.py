"""Logs in memory: a broker's with its group of readers, and a publisher's table as its readers see it."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

from parvis_kit.events.ports import Batch, Gone, Record
from parvis_kit.events.sql_readers import Part
from parvis_kit.testing.simulation.loop import OUTSIDE, Loop, Process
from parvis_kit.testing.simulation.store import Fact, Store

PARTITIONS = ("p0", "p1", "p2")
SESSION_SECONDS = 3.0
"""session.timeout.ms: how long the group waits for a member that says nothing."""
LONG_POLL_SECONDS = 0.7
LATE_SECONDS_MAX = 3.0
"""A request that its sender has given up, and the broker has not."""
BATCH_MAX = 4
"""Facts of one batch: what a claim holds beyond it waits for the next claim."""
AWAY_SECONDS = 0.5
"""What a client waits for a broker that is away."""
LEAK = 0.3
"""How often a member that lost its partitions still hands out what it had prefetched."""
GAP = 0.05
"""How often an offset is passed over: gaps are normal."""


class Broker:
    """What matters of Kafka: batches, lost and late acks, a group whose old members go on reading."""

    def __init__(
        self, loop: Loop, delay: Callable[[], float], random: Random, send_faults: float, healed_at: float, fetch_max: int, beginning: int
    ) -> None:
        self.loop, self.delay, self.random, self.fetch_max = loop, delay, random, fetch_max
        self.send_faults, self.healed_at = send_faults, healed_at
        self.down_until = 0.0
        self.partitions: dict[str, list[Record]] = {partition: [] for partition in PARTITIONS}
        self.next = dict.fromkeys(PARTITIONS, beginning)
        self.beginnings = dict.fromkeys(PARTITIONS, beginning)
        self.waiting: list[Callable[[], None]] = []
        self.committed: dict[str, int] = {}
        self.members: list[Member] = []
        self.generation = 0
        self.assigned: dict[Member, list[str]] = {}

    def is_down(self) -> bool:
        return self.loop.now < self.down_until

    def call(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        reply = self.loop.create_future()
        self.loop.call_later(self.delay(), self.serve, reply, operation, arguments, context=OUTSIDE)
        return reply

    def serve(self, reply: Any, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        if self.is_down():
            self.loop.call_later(AWAY_SECONDS, self.answer, reply, Gone("broker away"), context=OUTSIDE)
            return
        try:
            result = operation(*arguments)
        except Gone as problem:
            result = problem
        self.loop.call_later(self.delay(), self.answer, reply, result, context=OUTSIDE)

    def answer(self, reply: Any, result: Any) -> None:
        if reply.done():
            return
        if isinstance(result, Gone):
            reply.set_exception(result)
        else:
            reply.set_result(result)

    # producing

    async def send(self, partition: str, facts: Sequence[Any]) -> int:
        fails = self.loop.now < self.healed_at and self.random.random() < self.send_faults
        fault = self.random.choice(["refused", "unacknowledged", "late"]) if fails else None
        facts = facts[:BATCH_MAX]
        if fault is None:
            await self.call(self.append, partition, facts)
        elif fault == "refused":
            await self.call(self.refuse)
        else:
            wait = self.delay() if fault == "unacknowledged" else self.random.uniform(0, LATE_SECONDS_MAX)
            self.loop.call_later(wait, self.append, partition, facts, context=OUTSIDE)
            await self.loop.create_future()  # until the sender's own timeout
        return len(facts)

    def refuse(self) -> None:
        raise Gone("not leader for partition")

    def append(self, partition: str, facts: Sequence[Fact]) -> None:
        if self.is_down():
            return
        for fact in facts:
            self.partitions[partition].append(Record(partition, self.next[partition], fact))
            self.next[partition] += 1 if self.random.random() > GAP else 2
        self.wake()

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for again in waiting:
            self.loop.call_soon(again, context=OUTSIDE)

    # the group

    def join(self, member: "Member") -> tuple[int, dict[str, int]]:
        """auto.offset.reset=earliest where nothing was ever reported."""
        if member not in self.members:
            self.members.append(member)
            self.rebalance()
            if not member.process.alive:  # its last request came after its farewell
                self.loop.call_later(SESSION_SECONDS, self.leave, member.process, context=OUTSIDE)
        return self.generation, {one: self.committed.get(one, self.beginnings[one]) for one in self.assigned[member]}

    def leave(self, process: Process) -> None:
        left = [member for member in self.members if member.process is process]
        if left:
            self.members = [member for member in self.members if member not in left]
            self.rebalance()

    def rebalance(self) -> None:
        self.generation += 1
        self.random.shuffle(self.members)
        self.assigned = {member: list(PARTITIONS[place :: len(self.members)]) for place, member in enumerate(self.members)}
        self.wake()

    def rewind(self) -> None:
        """An operator, or the loss of the offsets topic: the group begins long before where it stood."""
        self.committed = {one: self.random.choice([0, offset // 2]) for one, offset in sorted(self.committed.items())}
        self.rebalance()

    def commit(self, generation: int, offsets: Mapping[str, int]) -> None:
        if generation != self.generation:
            raise Gone("illegal generation")
        self.committed |= offsets

    def forget(self, partition: str, beginning: int) -> None:
        """Retention."""
        self.partitions[partition] = [record for record in self.partitions[partition] if record.offset >= beginning]
        self.beginnings[partition] = max(beginning, self.beginnings[partition])

    def read(self, positions: dict[str, int]) -> list[Batch]:
        batches = []
        for partition, position in positions.items():
            records, beginning = self.partitions[partition], self.beginnings[partition]
            start = max(position, beginning)
            first = bisect_left(records, start, key=lambda record: record.offset)
            taken = records[first : first + self.random.randint(1, self.fetch_max)]
            if taken:
                batches.append(Batch(partition, start, taken[-1].offset + 1, taken, beginning, first + len(taken) == len(records)))
        return batches

    def stand(self, positions: dict[str, int]) -> list[Batch]:
        """Nothing new: where the reader stands, for the database to compare."""
        starts = {partition: max(position, self.beginnings[partition]) for partition, position in positions.items()}
        return [Batch(partition, start, start, (), self.beginnings[partition], True) for partition, start in starts.items()]


class Member:
    """The Source of one process: it may work on, for a while, with partitions that are no longer its own."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self.broker, self.process = broker, process
        self.generation = -1
        self.positions: dict[str, int] = {}

    async def fetch(self) -> Sequence[Batch]:
        broker = self.broker
        batches: list[Batch]
        if self.generation != broker.generation:
            if not (broker.random.random() < LEAK and (batches := broker.read(self.positions))):
                self.generation, self.positions = await broker.call(broker.join, self)
                return ()
        else:
            batches = await self.poll()
        for batch in batches:
            self.positions[batch.partition] = batch.next
        return batches

    def poll(self) -> Any:
        broker, reply = self.broker, self.broker.loop.create_future()
        generation, positions, until = self.generation, dict(self.positions), broker.loop.now + LONG_POLL_SECONDS

        def serve() -> None:
            if reply.done():
                return
            batches = [] if broker.is_down() else broker.read(positions)
            if broker.loop.now >= until and not batches:
                batches = broker.stand(positions)
            if batches or generation != broker.generation:
                broker.loop.call_later(broker.delay(), broker.answer, reply, batches, context=OUTSIDE)
            else:
                broker.waiting.append(serve)

        broker.loop.call_later(broker.delay(), serve, context=OUTSIDE)
        broker.loop.call_at(until, serve, context=OUTSIDE)
        return reply

    async def report(self, offsets: Mapping[str, int]) -> None:
        await self.broker.call(self.broker.commit, self.generation, offsets)

    def seek(self, partition: str, offset: int) -> None:
        if partition in self.positions:
            self.positions[partition] = offset


class TableReader:
    """Reads the log table of one publisher, under the kit's own SqlSource."""

    def __init__(self, publisher: str, store: Store) -> None:
        self.publisher, self.store = publisher, store

    async def read(self, part: Part, start: int, limit: int) -> Batch:
        batch: Batch = await self.store.ask(self.look, start, limit)
        return batch

    def look(self, start: int, limit: int) -> Batch:
        """Where the log begins and ends is read with the facts, from one snapshot."""
        log, end, beginning = self.store.tables["log"], self.store.tables["head"][0] + 1, self.store.beginning
        records = [Record(self.publisher, seq, log[seq]) for seq in range(max(start, beginning), end) if seq in log][:limit]
        at_end = len(records) < limit
        return Batch(self.publisher, start, max(end, start) if at_end else records[-1].offset + 1, records, beginning, at_end)

    async def waiting(self, part: Part, start: int) -> tuple[int, datetime | None]:
        return sum(1 for seq in self.store.tables["log"] if seq >= start), None

    async def close(self) -> None:
        """It holds nothing."""
