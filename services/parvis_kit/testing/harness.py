"""Starts the log's parts as processes, kills them at their windows, and asks the probe what was lost."""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from parvis_kit.settings import Kafka

LEASE_SECONDS = 2.0
RATE = 250
FACTS_PER_KILL = 400
MORE_FACTS = 50
WAIT_SECONDS_MAX = 180.0
"""Four hundred facts take two seconds; of a machine that is shared by many, a minute and more. Only a failure waits so long."""
STOP_SECONDS_MAX = 10.0
REACHED_RARELY = {"consumer.before_report": (1, 2)}
"""Windows that come every few seconds at most, and at which time they are to strike."""


@dataclass
class Part:
    """One probe at work, started again whenever it dies."""

    database: str
    arguments: list[str]
    kafka: Kafka | None = None
    lease_seconds: float = LEASE_SECONDS
    process: subprocess.Popen[str] | None = None
    heard: str = ""
    """What it has said so far, as far as somebody listened."""

    def start(self, failpoint: str = "") -> "Part":
        command = [
            sys.executable,
            "-m",
            "parvis_kit.testing.probe",
            *self.arguments,
            "--database",
            self.database,
            "--lease",
            str(self.lease_seconds),
            *between(self.kafka),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PARVIS_FAIL": failpoint})
        return self

    @property
    def running(self) -> subprocess.Popen[str]:
        if self.process is None:
            raise RuntimeError("start it first")
        return self.process

    def is_dead(self) -> bool:
        return self.running.poll() is not None

    def wait_ready(self) -> "Part":
        """Raises AssertionError when it ends instead, or takes too long."""
        out = self.running.stdout
        line = out.readline() if out and select.select([out], [], [], WAIT_SECONDS_MAX)[0] else ""
        if not line.startswith("ready"):
            raise AssertionError(f"{self.arguments} did not get ready: {line!r}")
        return self

    def signal(self, number: int) -> None:
        self.running.send_signal(number)

    def set_clock_back(self) -> None:
        """By an hour, for it alone; it works on with that. Raises AssertionError when it has ended."""
        self.signal(signal.SIGUSR1)
        self.hear("set back")

    def hear(self, beginning: str) -> None:
        """Wait until it says a line that begins so. Raises AssertionError when it ends before."""
        line = ""
        while not line.startswith(beginning):
            line = self.running.stdout.readline() if self.running.stdout else ""
            if not line:
                raise AssertionError(f"{self.arguments} ended before it said {beginning!r}")
            self.heard += line

    @property
    def exit_status(self) -> int | None:
        return self.running.poll()

    @property
    def memory_max_bytes(self) -> int:
        """The most that it has held at once (VmHWM, proc(5))."""
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        if not self.is_dead():
            self.running.terminate()
        try:
            self.running.communicate(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.communicate()
        return self.running.returncode


def between(kafka: Kafka | None) -> list[str]:
    """What a probe is told of the Kafka between the services."""
    return ["--kafka", kafka.kafka_bootstrap_servers, "--prefix", kafka.kafka_prefix] if kafka else []


@dataclass
class Log:
    """A database, and perhaps a Kafka, with writer, relay and consumer over it."""

    database: str
    seed: int
    kafka: Kafka | None = None
    lease_seconds: float = LEASE_SECONDS
    acknowledged: int = 0
    parts: list[Part] = field(default_factory=list)
    others: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def has_relay(self) -> bool:
        return self.database.startswith("postgresql")

    def part(self, *arguments: str) -> Part:
        part = Part(self.database, list(arguments), self.kafka, self.lease_seconds)
        self.parts.append(part)
        return part

    def write(self, facts: int, seed: int, rate: float = RATE, burst: int = 1) -> Part:
        return self.part("write", "--facts", str(facts), "--seed", str(seed), "--rate", str(rate), "--burst", str(burst))

    def finish(self, writer: Part, seconds: float = WAIT_SECONDS_MAX) -> None:
        """Wait for a writer, and count what it was told is committed."""
        out, _ = writer.running.communicate(timeout=seconds)
        self.acknowledged += sum(map(int, re.findall(r"acknowledged (\d+)", writer.heard + out)))

    def run(self, script: Path) -> int:
        """Start something beside the probes, a broker that was killed perhaps; its process id. It ends with this log."""
        process = subprocess.Popen([script], start_new_session=True)
        self.others.append(process)
        return process.pid

    def verify(self, seconds: float = WAIT_SECONDS_MAX, *options: str) -> str:
        """What the probe says is wrong; empty when all is right."""
        command = [sys.executable, "-m", "parvis_kit.testing.probe", "verify", "--database", self.database, "--seconds", str(seconds)]
        command += [*between(self.kafka), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + STOP_SECONDS_MAX + WAIT_SECONDS_MAX, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def log_at(database: str, seed: int, kafka: Kafka | None = None, lease_seconds: float = LEASE_SECONDS) -> Iterator[Log]:
    """Whatever happens, no process stays behind."""
    log = Log(database, seed, kafka, lease_seconds)
    print(f"seed {seed}, {'kafka' if kafka else database.partition(':')[0]}")
    try:
        yield log
    finally:
        for part in log.parts:
            if part.process is not None and not part.is_dead():
                part.signal(signal.SIGCONT)
                part.running.kill()
                part.running.communicate()
        for process in log.others:
            process.kill()
            process.wait()


@dataclass
class Troupe:
    """A relay and a consumer at work over a log, to be killed in turn."""

    log: Log
    options: tuple[str, ...] = ()
    running: dict[str, Part] = field(default_factory=dict)

    def start(self, name: str, failpoint: str = "") -> Part:
        options = self.options if name == "consume" else ()
        self.running[name] = self.log.part(name, *options).start(failpoint).wait_ready()
        return self.running[name]

    def start_all(self) -> None:
        for name in ("relay", "consume") if self.log.has_relay else ("consume",):
            self.start(name)

    def set_clocks_back(self, random: Random) -> None:
        """While facts are written: of one of two writers, then of each part; then a part begins anew, with the right time."""
        writer, other = (self.log.write(FACTS_PER_KILL, random.randrange(10**6)).start() for _ in range(2))
        writer.hear("acknowledged")
        for part in (writer, *random.sample(list(self.running.values()), len(self.running))):
            part.set_clock_back()
        self.log.finish(writer)
        self.log.finish(other)
        name = random.choice(list(self.running))
        self.running[name].stop()
        self.start(name)

    def kill_at(self, name: str, window: str, random: Random) -> None:
        """While facts are written, kill one part at the n-th time that it reaches the window, then start it again."""
        if name == "write":
            victim = self.log.write(FACTS_PER_KILL, random.randrange(10**6)).start(f"{window}:kill:{random.randint(2, 60)}")
        else:
            # What is killed keeps up, as at 250 facts a second. The share of duplicates is that of the whole run: one kill alone is above.
            if name == "relay" and self.log.kafka and (wrong := self.log.verify(WAIT_SECONDS_MAX, "--duplicates=1")):
                raise AssertionError(wrong)
            self.running[name].stop()
            first, last = REACHED_RARELY.get(window, (3, 6))  # the first two transactions make tables
            victim = self.start(name, f"{window}:kill:{random.randint(first, last)}")
        self.log.finish(self.log.write(FACTS_PER_KILL, random.randrange(10**6)).start())
        while not victim.is_dead():
            self.log.finish(self.log.write(MORE_FACTS, random.randrange(10**6)).start())
        if victim.exit_status != -signal.SIGKILL:
            raise AssertionError(f"{name} ended by itself with {victim.exit_status}")
        if name == "write":
            self.log.finish(victim)
        else:
            self.start(name)
