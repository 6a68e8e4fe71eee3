"""What is wrong with a history, decided from two tables: what the publishers say there is, and what was applied."""

from dataclasses import dataclass, field
from typing import Any

from parvis_kit.events.consumer import ATTEMPTS_MAX
from parvis_kit.events.ports import Parked
from parvis_kit.testing.simulation.faults import Faults
from parvis_kit.testing.simulation.store import Fact
from parvis_kit.testing.simulation.world import HEALED_SECONDS, World

INBOX_SECONDS = 16.0
"""Longer than any sender is held up; a day's rewind is longer than this."""
SETTLE_SECONDS_MAX = 40.0
LINGER_SECONDS = 3.6
"""Longer than a late append."""
WATCH_SECONDS = 0.4
PURGE_SECONDS = 1.0
RIGHT = "right"


@dataclass(slots=True)
class Outcome:
    verdict: str
    """`right`, or what is wrong."""
    detail: str = ""
    steps: int = 0
    seconds: float = 0.0
    facts: int = 0
    records: int = 0
    trace: list[str] = field(default_factory=list)

    @property
    def digest(self) -> tuple[Any, ...]:
        """Two runs of one plan are the same when this is."""
        return self.verdict, self.detail, self.steps, self.seconds, self.facts, self.records


class Checker:
    """Looks at the tables of one history, and purges its inbox."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.faults = world, faults
        self.quiet_since: float | None = None
        self.parked_seen: set[int] = set()

    def begin(self) -> None:
        self.world.later(WATCH_SECONDS, self.watch)
        self.world.later(PURGE_SECONDS, self.purge)

    def outcome(self) -> Outcome:
        world = self.world
        if world.broker is not None:
            records = sum(map(len, world.broker.partitions.values()))
        else:
            records = sum(len(one.tables["log"]) for one in world.publishers)
        loop = world.loop
        return Outcome(self.world.verdict, self.world.detail, loop.steps, loop.now, sum(self.truth().values()), records, world.trace or [])

    def truth(self) -> dict[int, int]:
        """How often each lane was changed."""
        return {lane: number for publisher in self.world.publishers for lane, number in sorted(publisher.tables["aggregate"].items())}

    def purge(self) -> None:
        """The inbox does not remember for ever."""
        inbox, before = self.world.reader.tables["inbox"], self.world.loop.now - INBOX_SECONDS
        for id in [id for id, seen in inbox.items() if seen.at < before]:
            del inbox[id]
        self.world.later(PURGE_SECONDS, self.purge)

    def watch(self) -> None:
        truth, projection = self.truth(), self.world.reader.tables["projection"]
        self.faults.look()
        for lane in sorted(projection):
            if problem := judge(projection[lane], truth.get(lane, 0)):
                self.world.say(problem, f"lane {lane}: {projection[lane]} of {truth.get(lane, 0)}")
        for seq, parked in self.world.reader.tables["parked"].items():
            if seq not in self.parked_seen:
                self.parked_seen.add(seq)
                if problem := self.judge_parked(parked):
                    self.world.say("parked wrongly", problem)
        if not self.world.verdict:
            self.watch_for_the_end(truth)
        self.world.later(WATCH_SECONDS, self.watch)

    def watch_for_the_end(self, truth: dict[int, int]) -> None:
        now, faults = self.world.loop.now, self.faults
        if self.is_busy(truth):
            self.quiet_since = None
            if not faults.pending and now > max(faults.end_at, HEALED_SECONDS) + SETTLE_SECONDS_MAX:
                self.world.say(*self.stuck(truth))
        elif self.quiet_since is None:
            self.quiet_since = now
        elif now - self.quiet_since > LINGER_SECONDS:
            self.world.say(RIGHT)

    def is_busy(self, truth: dict[int, int]) -> bool:
        world, projection = self.world, self.world.reader.tables["projection"]
        if self.faults.pending or any(world.left.values()) or world.loop.now < self.faults.end_at:
            return True
        if world.forged - world.discarded or world.reader.tables["parked"]:
            return True
        if any(one.tables["outbox"] for one in world.publishers):
            return True
        return any(len(projection.get(lane, ())) != n for lane, n in truth.items())

    def judge_parked(self, parked: Parked) -> str:
        """What is wrong with the reason for which a fact waits."""
        fact, failures = parked.record.fact, self.world.failures
        if (parked.reason == "conflict") != bool(fact.digest):
            return f"{fact} is parked as {parked.reason}"
        if parked.reason == "failed" and failures[fact.id] < ATTEMPTS_MAX:
            return f"{fact} is parked after {failures[fact.id]} failures"
        if (fact.lane, fact.version) in self.world.plan.refused and parked.reason == "failed" and not failures[fact.id]:
            return f"{fact} was refused and is parked as {parked.reason}"
        if parked.reason == "refused" and (fact.lane, fact.version) not in self.world.plan.refused:
            return f"{fact} is parked as {parked.reason}"
        return ""

    def judge_behind(self, name: str, behind: Exception) -> None:
        """Right only when the log has really forgotten what the reader has not applied."""
        world, offsets = self.world, self.world.reader.tables["offsets"]
        if world.broker is not None:
            beginnings = world.broker.beginnings
        else:
            beginnings = {world.name_of(place): one.beginning for place, one in enumerate(world.publishers)}
        is_behind = self.faults.has_forgotten and any(0 < offsets.get(one, 0) < begin for one, begin in beginnings.items())
        self.world.say(RIGHT if is_behind else "broken", f"{name}: {behind!r}")

    def stuck(self, truth: dict[int, int]) -> tuple[str, str]:
        world, projection = self.world, self.world.reader.tables["projection"]
        missing = {lane: (len(projection.get(lane, ())), n) for lane, n in sorted(truth.items())}
        detail = f"applied of published, by lane: {missing}"
        if any(world.left.values()) or any(one.tables["outbox"] for one in world.publishers) or world.reader.tables["parked"]:
            return "stalled", detail
        if all(applied == n for applied, n in missing.values()):
            return "conflict dropped", f"{sorted(world.forged - world.discarded)}"
        published = {(lane, version) for lane, n in truth.items() for version in range(1, n + 1)}
        return "lost" if published - self.in_log() else "lost or stalled", detail

    def in_log(self) -> set[tuple[int, int]]:
        world = self.world
        facts: list[Fact] = []
        if world.broker is not None:
            facts = [record.fact for records in world.broker.partitions.values() for record in records]
        else:
            facts = [fact for publisher in world.publishers for fact in publisher.tables["log"].values()]
        return {(fact.lane, fact.version) for fact in facts}


def judge(applied: tuple[int, ...], published: int) -> str:
    """What is wrong with the story of a lane, that should read 1, 2, 3…"""
    if applied == tuple(range(1, len(applied) + 1)) and len(applied) <= published:
        return ""
    if len(set(applied)) < len(applied):
        return "applied twice"
    if len(applied) > published:
        return "phantom"
    return "disorder" if applied != tuple(sorted(applied)) else "gap"
