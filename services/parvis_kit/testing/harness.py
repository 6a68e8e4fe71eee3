"""Starts the log's parts as processes, kills them at their windows, and asks the probe what was lost."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

LEASE_SECONDS = 2.0
RATE = 250
FACTS_PER_KILL = 400
MORE_FACTS = 50
WAIT_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0


@dataclass
class Part:
    """One probe at work, started again whenever it dies."""

    database: str
    arguments: list[str]
    process: subprocess.Popen[str] | None = None

    def start(self, failpoint: str = "") -> "Part":
        command = [
            sys.executable,
            "-m",
            "parvis_kit.testing.probe",
            *self.arguments,
            "--database",
            self.database,
            "--lease",
            str(LEASE_SECONDS),
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
        """Raises AssertionError when it ends instead."""
        line = self.running.stdout.readline() if self.running.stdout else ""
        if not line.startswith("ready"):
            raise AssertionError(f"{self.arguments} did not get ready: {line!r}")
        return self

    def signal(self, number: int) -> None:
        self.running.send_signal(number)

    @property
    def exit_status(self) -> int | None:
        return self.running.poll()

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


@dataclass
class Log:
    """A database with writer, relay and consumer over it."""

    database: str
    seed: int
    acknowledged: int = 0
    parts: list[Part] = field(default_factory=list)

    @property
    def has_relay(self) -> bool:
        return self.database.startswith("postgresql")

    def part(self, *arguments: str) -> Part:
        part = Part(self.database, list(arguments))
        self.parts.append(part)
        return part

    def write(self, facts: int, seed: int, rate: float = RATE) -> Part:
        return self.part("write", "--facts", str(facts), "--seed", str(seed), "--rate", str(rate))

    def finish(self, writer: Part) -> None:
        """Wait for a writer, and count what it was told is committed."""
        out, _ = writer.running.communicate(timeout=WAIT_SECONDS_MAX)
        self.acknowledged += sum(map(int, re.findall(r"acknowledged (\d+)", out)))

    def verify(self, seconds: float = 30) -> str:
        """What the probe says is wrong; empty when all is right."""
        command = [sys.executable, "-m", "parvis_kit.testing.probe", "verify", "--database", self.database, "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def log_at(database: str, seed: int) -> Iterator[Log]:
    """Whatever happens, no process stays behind."""
    log = Log(database, seed)
    print(f"seed {seed}, {database.partition(':')[0]}")
    try:
        yield log
    finally:
        for part in log.parts:
            if part.process is not None and not part.is_dead():
                part.signal(signal.SIGCONT)
                part.running.kill()
                part.running.communicate()


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

    def kill_at(self, name: str, window: str, random: Random) -> None:
        """While facts are written, kill one part at the n-th time that it reaches the window, then start it again."""
        if name == "write":
            victim = self.log.write(FACTS_PER_KILL, random.randrange(10**6)).start(f"{window}:kill:{random.randint(2, 60)}")
        else:
            self.running[name].stop()
            victim = self.start(name, f"{window}:kill:{random.randint(3, 6)}")  # the first two transactions make tables
        self.log.finish(self.log.write(FACTS_PER_KILL, random.randrange(10**6)).start())
        while not victim.is_dead():
            self.log.finish(self.log.write(MORE_FACTS, random.randrange(10**6)).start())
        if victim.exit_status != -signal.SIGKILL:
            raise AssertionError(f"{name} ended by itself with {victim.exit_status}")
        if name == "write":
            self.log.finish(victim)
        else:
            self.start(name)
