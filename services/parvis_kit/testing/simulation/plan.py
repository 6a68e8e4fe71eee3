"""What a history depends on: drawn from a seed, and made smaller while it still goes wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

ROLES = {"writer": 3, "relay": 2, "consumer": 2, "operator": 1}
FOREVER_SECONDS = 1e9
NEVER = 1e9
FILE_FREEZE_SECONDS_MAX = 4.0
"""Nobody ends the transaction of a frozen process on a file: it has to go on by itself."""

EVERYWHERE = ("kill", "freeze", "freeze", "stop", "crash", "cut", "outage", "duplicate", "conflict", "tidy", "forget")
"""A leader that freezes for ever is one fault in a hundred: the lease is seen to matter only then."""
KINDS = {"broker": (*EVERYWHERE, "rebalance", "rewind", "rewind"), "table": EVERYWHERE, "file": EVERYWHERE}
SHAPES = ("broker", "broker", "broker", "table", "table", "file")
"""A broker's log has the most that can go wrong."""


@dataclass(frozen=True, slots=True)
class Fault:
    at: float
    kind: str
    target: str = ""
    seconds: float = 0.0
    fuse: int = 0
    """Strike at this many of the target's steps after `at`, so that every await has its turn."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a history depends on; shrinking makes it smaller and keeps the seed of the noise."""

    seed: int
    shape: str
    """broker: outbox, relay, partitions and a group; table: outbox, relay, a log table; file: a log table of one writer."""
    publishers: int
    lanes: int
    changes: int
    pause: float
    claim: int
    fetch: int
    latency: float
    send_faults: float
    failures: float
    blame: str
    """How reactions say in whose fact an error lies: not at all, in one, or in all that were taken together."""
    poison: frozenset[tuple[int, int]]
    refused: frozenset[tuple[int, int]]
    fixed_at: float
    away_at: float
    """From when on every reaction asks for a later time, for a while."""
    beginning: int
    faults: tuple[Fault, ...]


def draw(seed: int) -> Plan:
    """Swarm: each history has its own few faults and its own speeds, or rare ones would drown."""
    random = Random(seed)
    shape = random.choice(SHAPES)
    kinds = random.sample(KINDS[shape], random.randint(1, 3))
    lanes = random.choice([1, 2, 5])
    return Plan(
        seed=seed,
        shape=shape,
        publishers=1 if shape == "broker" else random.randint(1, min(2, lanes)),
        lanes=lanes,
        changes=random.randint(3, 10),
        pause=random.choice([0.02, 0.2, 0.6]),
        claim=random.choice([2, 5, 500]),
        fetch=random.choice([2, 12, 12]),
        latency=random.choice([0.002, 0.01, 0.05]),
        send_faults=random.choice([0, 0, 0.1, 0.3]),
        failures=random.choice([0, 0, 0.05]),
        blame=random.choice(["nobody", "one", "all"]),
        poison=draw_bad(random, lanes, [0, 0, 1, 2]),
        refused=draw_bad(random, lanes, [0, 0, 1]),
        fixed_at=random.uniform(1, 8),
        away_at=random.choice([NEVER, NEVER, NEVER, random.uniform(0, 4)]),
        beginning=random.choice([0, 0, 0, 7]),
        faults=tuple(draw_fault(random, shape, random.choice(kinds)) for _ in range(random.randint(0, 6))),
    )


def draw_bad(random: Random, lanes: int, numbers: list[int]) -> frozenset[tuple[int, int]]:
    return frozenset((random.randrange(lanes), random.randint(1, 6)) for _ in range(random.choice(numbers)))


def draw_fault(random: Random, shape: str, kind: str) -> Fault:
    at = random.uniform(0, 4)
    role = random.choice(["writer", "relay", "relay", "consumer", "consumer", "operator"])
    target = f"{role}{random.randrange(ROLES[role])}"
    match kind:
        case "kill" | "stop":
            return Fault(at, kind, target, random.uniform(0.1, 2), random.randint(0, 40))
        case "freeze":
            seconds = random.choice([0.5, 4.0, 7.0, FOREVER_SECONDS, FOREVER_SECONDS])
            seconds = min(seconds, FILE_FREEZE_SECONDS_MAX) if shape == "file" else seconds
            return Fault(at, kind, target, seconds, random.randint(0, 40))
        case "crash":
            return Fault(at, kind, random.choice(["publisher", "reader"]), random.uniform(0.05, 1))
        case "outage":
            return Fault(at, kind, seconds=random.uniform(0.2, 3))
        case "rewind":
            return Fault(random.choice([at, at + 20]), kind)
        case _:
            return Fault(at, kind)


def shrink(plan: Plan, verdict_of: Callable[[Plan], str]) -> Plan:
    """Take away faults, bad facts, changes and lanes while the history still goes wrong in the same way."""
    wanted, again = verdict_of(plan), True
    while again:
        again = False
        for candidate in smaller(plan):
            if verdict_of(candidate) == wanted:
                plan, again = candidate, True
                break
    return plan


def smaller(plan: Plan) -> list[Plan]:
    found = [replace(plan, faults=plan.faults[:n] + plan.faults[n + 1 :]) for n in range(len(plan.faults))]
    found += [replace(plan, poison=plan.poison - {one}) for one in sorted(plan.poison)]
    found += [replace(plan, refused=plan.refused - {one}) for one in sorted(plan.refused)]
    found += [replace(plan, send_faults=0)] if plan.send_faults else []
    found += [replace(plan, failures=0)] if plan.failures else []
    found += [replace(plan, away_at=NEVER)] if plan.away_at != NEVER else []
    found += [replace(plan, beginning=0)] if plan.beginning else []
    found += [replace(plan, changes=n) for n in range(1, plan.changes)]
    found += [replace(plan, publishers=1)] if plan.publishers > 1 else []
    found += [replace(plan, lanes=plan.publishers)] if plan.lanes > plan.publishers else []
    return found
