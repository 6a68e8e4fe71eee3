"""What strikes the processes of a history and their servers, each at its time."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from parvis_kit.testing.simulation.log import SESSION_SECONDS, Broker
from parvis_kit.testing.simulation.loop import OUTSIDE, Process
from parvis_kit.testing.simulation.plan import FOREVER_SECONDS, Fault
from parvis_kit.testing.simulation.store import UNFLUSHED_SECONDS, Fact
from parvis_kit.testing.simulation.world import World

GRACE_SECONDS = 2.0
"""From the request to stop to the signal that cancels."""
STOP_SECONDS_MAX = 6.0
ARMED_SECONDS_MAX = 1.0
"""An idle process takes few steps: it is struck now rather than never."""
REPEATED_MAX = 3
"""Only the last few records of a log come again: older ones may be beyond the inbox."""
AGAIN_SECONDS = 0.05


class Faults:
    """The faults of one plan."""

    def __init__(self, world: World, start: Callable[[str], None]) -> None:
        self.world, self.start, self.later = world, start, world.later
        self.pending = len(world.plan.faults)
        self.end_at = 0.0
        self.has_forgotten = False
        self.stood: list[tuple[float, dict[str, int]]] = []
        """Where the reader stood, so that retention spares what a crash may still take back."""

    def begin(self) -> None:
        for fault in self.world.plan.faults:
            self.later(fault.at, self.arm, fault)

    def arm(self, fault: Fault) -> None:
        if not fault.target or fault.kind == "crash":
            self.world.note(f"{fault.kind} {fault.target} {fault.seconds:.2f}")
            self.strike_server(fault)
            self.pending -= 1
            return
        process = self.world.processes.get(fault.target)
        if process is None:
            self.pending -= 1
            return
        if process.strike is not None:
            process.strike()
            process = self.world.processes[fault.target]
        strike = partial(self.strike, process, fault)
        process.fuse, process.strike = fault.fuse, strike
        self.later(ARMED_SECONDS_MAX, self.disarm, process, strike)

    def disarm(self, process: Process, strike: Callable[[], None]) -> None:
        if process.strike is strike:
            strike()

    def strike(self, process: Process, fault: Fault) -> None:
        process.strike = None
        self.pending -= 1
        if not process.alive or process.frozen:
            return
        self.world.note(f"{fault.kind} {process.name} {fault.seconds:.2f}")
        self.end_at = max(self.end_at, self.world.loop.now + min(fault.seconds, 10))
        match fault.kind:
            case "kill":
                self.end(process, SESSION_SECONDS)
                self.later(fault.seconds, self.start, process.name)
            case "stop":
                self.stop(process, fault.seconds)
            case _:
                process.freeze()
                self.later(SESSION_SECONDS, self.expire, process)
                if fault.seconds == FOREVER_SECONDS:
                    self.later(1.0, self.start, process.name)
                else:
                    self.later(fault.seconds, process.thaw)

    def end(self, process: Process, group_seconds: float) -> None:
        """Its connections close, each in its time; the group misses it later, or is told."""
        process.kill()
        for database in self.world.databases:
            self.later(self.world.delay(), database.hang_up, process)
        if self.world.broker is not None:
            self.later(group_seconds, self.world.broker.leave, process)

    def stop(self, process: Process, seconds: float) -> None:
        """SIGTERM; a consumer is asked first and gets some time, every second time."""
        member = self.world.consumers.get(process)
        if member is not None and seconds < 1:
            member.stopping = True
            self.later(GRACE_SECONDS, process.terminate)
        else:
            self.later(0.0, process.terminate)
        if process.main is not None:
            process.main.add_done_callback(lambda _: self.stopped(process, seconds), context=OUTSIDE)
        self.later(GRACE_SECONDS + STOP_SECONDS_MAX, self.check_stopped, process)

    def stopped(self, process: Process, seconds: float) -> None:
        if process.alive and self.world.processes[process.name] is process:
            self.world.note(f"ended {process.name}")
            self.end(process, self.world.delay())
            self.later(seconds, self.start, process.name)

    def check_stopped(self, process: Process) -> None:
        if process.alive and not process.was_frozen and process.main is not None and not process.main.done():
            self.world.say("unstoppable", f"{process.name} works on after SIGTERM")

    def expire(self, process: Process) -> None:
        if process.frozen and self.world.broker is not None:
            self.world.broker.leave(process)

    def strike_server(self, fault: Fault) -> None:
        world = self.world
        self.end_at = max(self.end_at, world.loop.now + fault.seconds)
        match fault.kind:
            case "crash" if fault.target == "publisher":
                world.random.choice(world.publishers).crash(fault.seconds)
            case "crash":
                world.reader.crash(fault.seconds)
                self.stood = [(at, offsets) for at, offsets in self.stood if at <= world.loop.now - UNFLUSHED_SECONDS]
            case "cut":
                for database in world.databases:
                    if database.sessions:
                        database.end(world.random.choice(list(database.sessions)))
            case "outage" if world.broker is not None:
                world.broker.down_until = world.loop.now + fault.seconds
            case "outage":
                world.random.choice(world.publishers).unreadable_until = world.loop.now + fault.seconds
            case "rebalance" if world.broker is not None:
                world.broker.rebalance()
            case "rewind" if world.broker is not None:
                world.broker.rewind()
            case "duplicate" | "conflict":
                self.repeat(is_forged=fault.kind == "conflict")
            case _:
                self.forget(only_read=fault.kind == "tidy")

    def repeat(self, *, is_forged: bool) -> None:
        """The log has one of its last records again: a relay's duplicate, or other content under the same id."""
        world = self.world
        if world.broker is not None:
            self.repeat_at_the_broker(world.broker, is_forged)
            return
        place = world.random.randrange(len(world.publishers))
        publisher = world.publishers[place]
        log, head = publisher.tables["log"], publisher.tables["head"][0]
        if {"head", "writer", ("log", head + 1)} & publisher.locks.keys():
            self.later(AGAIN_SECONDS, partial(self.repeat, is_forged=is_forged))
        elif log:
            fact = log[world.random.randint(max(head - REPEATED_MAX + 1, min(log)), head)]
            log[head + 1], publisher.tables["head"][0] = self.copy(fact, is_forged), head + 1
            self.remember(world.name_of(place), head + 1, is_forged)

    def repeat_at_the_broker(self, broker: Broker, is_forged: bool) -> None:
        grown = [partition for partition, records in broker.partitions.items() if records]
        if grown and not broker.is_down():
            partition = self.world.random.choice(grown)
            fact = self.world.random.choice(broker.partitions[partition][-REPEATED_MAX:]).fact
            self.remember(partition, broker.next[partition], is_forged)
            broker.append(partition, [self.copy(fact, is_forged)])

    def copy(self, fact: Fact, is_forged: bool) -> Fact:
        return replace(fact, digest=self.world.random.randint(1, 2)) if is_forged else fact

    def remember(self, partition: str, offset: int, is_forged: bool) -> None:
        self.world.note(f"{partition} has a record again at {offset}")
        if is_forged:
            self.world.forged.add((partition, offset))

    def look(self) -> None:
        """Called by the checker, now and then."""
        self.stood.append((self.world.loop.now, dict(self.world.reader.tables["offsets"])))

    def forget(self, *, only_read: bool) -> None:
        """Retention: of what the reader has applied for good, or of everything, which a reader must notice that stands before it."""
        world = self.world
        kept_from = next((offsets for at, offsets in reversed(self.stood) if at <= world.loop.now - UNFLUSHED_SECONDS), {})
        for partition, stood in sorted(kept_from.items()):
            if stood > 0 and world.broker is not None:
                self.cut(only_read)
                world.broker.forget(partition, stood if only_read else world.broker.next[partition])
            elif stood > 0:
                publisher = world.publishers[int(partition[-1])]
                publisher.beginning = max(publisher.beginning, stood if only_read else publisher.tables["head"][0] + 1)
                for seq in [seq for seq in publisher.tables["log"] if seq < publisher.beginning]:
                    del publisher.tables["log"][seq]
                self.cut(only_read)

    def cut(self, only_read: bool) -> None:
        self.has_forgotten = self.has_forgotten or not only_read
