"""What a history is made of: the servers of a plan, the processes that use them, and the time that they share."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from parvis_kit.events.consumer import Consumer
from parvis_kit.testing.simulation.log import PARTITIONS, Broker
from parvis_kit.testing.simulation.loop import OUTSIDE, Loop, Process
from parvis_kit.testing.simulation.plan import ROLES, Plan
from parvis_kit.testing.simulation.store import Store

HEALED_SECONDS = 10.0
"""From here on nothing fails by chance: only then is a stall a fault of the code."""
LONG = 0.03
"""How often a call takes up to twenty times the latency."""


class World:
    """The servers, the processes, and what everybody knows of them."""

    def __init__(self, plan: Plan, traced: bool = False) -> None:
        self.plan, self.random, self.loop = plan, Random(plan.seed ^ 0x5EED), Loop()  # type: ignore[abstract]  # no sockets here
        self.trace: list[str] | None = [] if traced else None
        is_file, self.broker = plan.shape == "file", self.new_broker()
        partition_of = (lambda lane: PARTITIONS[lane % 3]) if self.broker else (lambda lane: self.name_of(lane % plan.publishers))
        self.publishers = [
            Store(self.loop, self.delay, durable=True, is_file=is_file, partition_of=partition_of, beginning=plan.beginning)
            for _ in range(plan.publishers)
        ]
        self.reader = Store(self.loop, self.delay, durable=False, is_file=is_file, partition_of=partition_of)
        self.databases = [*self.publishers, self.reader]
        self.processes: dict[str, Process] = {}
        self.everyone: list[Process] = []
        self.consumers: dict[Process, Consumer] = {}
        self.fact_ids = count(1)
        self.left = {f"writer{n}": plan.changes if self.lanes_of(n) else 0 for n in range(ROLES["writer"])}
        self.failures: Counter[int] = Counter()
        self.forged: set[tuple[str, int]] = set()
        self.discarded: set[tuple[str, int]] = set()
        self.verdict = self.detail = ""

    def new_broker(self) -> Broker | None:
        plan = self.plan
        if plan.shape != "broker":
            return None
        return Broker(self.loop, self.delay, self.random, plan.send_faults, HEALED_SECONDS, plan.fetch, plan.beginning)

    @staticmethod
    def name_of(publisher: int) -> str:
        return f"publisher{publisher}"

    def lanes_of(self, writer: int) -> list[int]:
        number = self.plan.publishers
        return [lane for lane in range(self.plan.lanes) if lane % number == writer % number]

    def delay(self) -> float:
        """Mostly short; sometimes long enough for anything to pass by."""
        drawn = self.random.random()
        return self.plan.latency * (drawn if drawn > LONG else 20 * drawn / LONG)

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.loop.now:8.3f} {text}")

    def later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        self.loop.call_later(seconds, action, *arguments, context=OUTSIDE)

    def say(self, verdict: str, detail: str = "") -> None:
        """The first word counts, and ends the history."""
        if not self.verdict:
            self.verdict, self.detail = verdict, detail
            self.loop.stop()
