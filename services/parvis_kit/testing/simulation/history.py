"""One history: the processes of a plan at work, on the model of their servers, until the checker has its verdict."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any
from unittest.mock import patch

from parvis_kit.events import consumer, relay
from parvis_kit.events.bell import Bell, log_of
from parvis_kit.events.consumer import Failed, Refuse, Retry
from parvis_kit.events.ports import Gone, Record, Source
from parvis_kit.events.sql_log import SqlSource
from parvis_kit.events.sql_readers import parts_of
from parvis_kit.testing.simulation import log
from parvis_kit.testing.simulation.adapters import ModelLedger, open_carrier
from parvis_kit.testing.simulation.checker import Checker, Outcome
from parvis_kit.testing.simulation.faults import Faults
from parvis_kit.testing.simulation.loop import OUTSIDE, Process
from parvis_kit.testing.simulation.plan import ROLES, Plan
from parvis_kit.testing.simulation.store import Fact, Session
from parvis_kit.testing.simulation.world import HEALED_SECONDS, World

BACKOFF_SECONDS_MAX = 1.0
REPORT_SECONDS = 1.0
"""The cores' own waits, in proportion to the model's lease."""
NAP_SECONDS = 0.3
OPERATOR_SECONDS = 0.5
AWAY_SECONDS = 2.0
STEPS_MAX = 60_000
RINGS_LOST = 0.2
"""How often a ring is lost between processes."""


async def nap() -> None:
    """What the relay does while there is nothing to carry."""
    await asyncio.sleep(NAP_SECONDS)


class History(World):
    """One run of a plan."""

    def __init__(self, plan: Plan, traced: bool = False) -> None:
        super().__init__(plan, traced)
        self.bells: dict[Process, Bell] = {}
        self.faults = Faults(self, self.start)
        self.checker = Checker(self, self.faults)

    def run(self) -> Outcome:
        with ExitStack() as stack:
            for name, value in (("BACKOFF_SECONDS_MAX", BACKOFF_SECONDS_MAX), ("REPORT_SECONDS", REPORT_SECONDS)):
                stack.enter_context(patch.object(consumer, name, value))
            stack.enter_context(patch.object(consumer.log, "disabled", True))  # what it parks here is no news to anybody
            self.loop.call_soon(self.begin, context=OUTSIDE)
            self.loop.run(STEPS_MAX)
            if not self.verdict:
                self.say("busy", f"{self.loop.steps} steps")
            for process in self.everyone:
                process.kill()
            self.loop.close()
        return self.checker.outcome()

    def begin(self) -> None:
        for role, number in ROLES.items():
            if role != "relay" or self.plan.shape != "file":
                for place in range(number):
                    self.start(f"{role}{place}")
        for number, publisher in enumerate(self.publishers):
            publisher.log_grew = partial(self.ring, log_of(self.name_of(number)))
        self.faults.begin()
        self.checker.begin()

    def ring(self, name: str) -> None:
        for process, bell in self.bells.items():
            if process.alive and self.random.random() > RINGS_LOST:
                self.later(self.delay(), partial(bell.ring_here, name))

    # the processes

    def start(self, name: str) -> None:
        process = self.processes[name] = Process(self.loop, name)
        self.everyone.append(process)
        work = {"writer": self.write, "relay": self.carry, "consumer": self.consume, "operator": self.operate}
        self.note(f"start {name}")
        process.spawn(self.guard(process, work[name[:-1]](process)))

    async def guard(self, process: Process, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            pass
        except consumer.Behind as behind:
            self.checker.judge_behind(process.name, behind)
        except Exception as problem:
            self.say("broken", f"{process.name}: {problem!r}")

    async def write(self, process: Process) -> None:
        place = int(process.name[-1])
        publisher, lanes = self.publishers[place % len(self.publishers)], self.lanes_of(place)
        ledger = ModelLedger(publisher, process)
        while self.left[process.name] > 0:
            with suppress(Gone, ZeroDivisionError):
                async with ledger.transaction() as tx:
                    for lane in sorted(self.random.sample(lanes, self.random.randint(1, min(3, len(lanes))))):
                        version = 0  # stamped under the lane's lock that publishing takes
                        if self.random.random() < 0.5:
                            version = await publisher.call(tx, publisher.touch, lane)
                        tx.facts.append(Fact(next(self.fact_ids), lane, version))
                    if self.random.random() < 0.1:
                        raise ZeroDivisionError("a refusal: the transaction rolls back and nothing is published")
                self.left[process.name] -= 1
            await asyncio.sleep(self.plan.pause * self.random.random())

    async def carry(self, process: Process) -> None:
        """One process carries the facts of every publisher."""
        opens = [partial(open_carrier, publisher, process, self.broker, self.plan.claim) for publisher in self.publishers]
        await asyncio.gather(*(relay.relay(open, nap) for open in opens))

    async def consume(self, process: Process) -> None:
        source: Source
        if self.broker is not None:
            source = log.Member(self.broker, process)
        else:
            bell = self.bells[process] = Bell()
            readers = {self.name_of(n): log.TableReader(self.name_of(n), one) for n, one in enumerate(self.publishers)}
            source = SqlSource(readers, parts_of(dict.fromkeys(readers, ("facts",))), bell, self.plan.fetch)
        member = consumer.Consumer("simulated", source, ModelLedger(self.reader, process), self.react)
        self.consumers[process] = member
        await member.run()

    async def react(self, tx: Session, records: Sequence[Record]) -> None:
        """The effect first: what fails afterwards must take it along."""
        groups = [[record] for record in records] if self.plan.blame == "one" else [records]
        for group in groups:
            await self.reader.call(tx, self.reader.apply, [record.fact for record in group])
            try:
                for record in group:
                    self.stumble(record.fact)
            except (RuntimeError, ValueError, Refuse) as error:
                if self.plan.blame == "nobody":
                    raise
                raise Failed(group) from error

    def stumble(self, fact: Fact) -> None:
        if self.plan.away_at <= self.loop.now < self.plan.away_at + AWAY_SECONDS:
            raise Retry("what the reaction calls is away")
        if self.loop.now < HEALED_SECONDS and self.random.random() < self.plan.failures:
            if self.random.random() < 0.5:
                raise Retry("later may work")
            self.failures[fact.id] += 1
            raise RuntimeError("may work the next time")
        if self.loop.now < self.plan.fixed_at:
            if (fact.lane, fact.version) in self.plan.refused:
                raise Refuse("never will work")
            if (fact.lane, fact.version) in self.plan.poison:
                self.failures[fact.id] += 1
                raise ValueError("a bug")

    async def operate(self, process: Process) -> None:
        """Replays every lane that waits; what is forged is discarded."""
        ledger = ModelLedger(self.reader, process)
        while True:
            for lane in sorted({parked.record.fact.lane for parked in self.reader.tables["parked"].values()}):
                with suppress(Gone, ValueError, RuntimeError, Retry, Refuse, Failed):
                    await consumer.replay(ledger, self.react_or_discard, lane, [self.reader.partition_of(lane)])
            await asyncio.sleep(OPERATOR_SECONDS)

    async def react_or_discard(self, tx: Session, records: Sequence[Record]) -> None:
        forged = {(record.partition, record.offset) for record in records if record.fact.digest}
        self.discarded |= forged
        await self.react(tx, [record for record in records if not record.fact.digest])


def verdict_of(plan: Plan) -> str:
    return History(plan).run().verdict
