"""Agents at work for long: nothing grows that has no reason to. Half a minute in `make test`, half an hour in `make soak`."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .fire import waiting
from .overload import memory_bytes
from .running import NotYet, patiently
from .shape import Shape
from .test_agent_day import PROGRAM, agents_of
from .test_distributed_faults import waiting_in_outboxes

SOAK = bool(os.environ.get("SOAK"))
SECONDS = float(os.environ.get("LOAD_SECONDS", "1800" if SOAK else "24"))
AGENTS, DAYS = (40, max(1, round(SECONDS / 150))) if SOAK else (8, 1)
"""Forty agents who do a day's work in two minutes and a half: some fifty requests a second."""
LOOK_SECONDS = SECONDS / 60
OURS = ("directory", "files", "calendar", "messaging", "billing", "portal", "proxy")
"""Whose memory may not grow. PostgreSQL touches its buffers and Java its heap until they are as large as they were told to be."""
GROWN_BYTES_MAX = (8 if SOAK else 24) * 2**20
"""A process, from the second third of the time to the last: a kilobyte for each of its requests would be thirty megabytes."""
GROWN_DESCRIPTORS_MAX = 24
"""Connections that happen to be open; pools and browsers hold as many."""
OUTBOX_MAX = 200
"""What may wait in all outboxes at the moment of a look, at the load's own pace: some seconds of it."""


@dataclass(frozen=True, slots=True)
class Look:
    """At all processes, at one moment."""

    memory: dict[str, int]
    """Bytes, of a service's workers together."""
    descriptors: dict[str, int]
    outbox: int


@pytest.mark.soak
def test_under_a_long_mixed_load_nothing_grows(distributed: Shape, tmp_path: Path) -> None:
    file = tmp_path / "agents.json"
    file.write_text(json.dumps(asyncio.run(agents_of(distributed, AGENTS))))
    command = [sys.executable, str(PROGRAM), "--base", distributed.base, "--agents", str(file)]
    starts = {name: one["starts"] for name, one in distributed.processes.items()}
    looks: list[Look] = []
    with subprocess.Popen([*command, "--seconds", str(SECONDS), "--days", str(DAYS)], stdout=subprocess.PIPE, text=True) as generator:
        assert generator.stdout is not None
        assert generator.stdout.readline() == "begun\n"
        began = time.monotonic()
        while generator.poll() is None and time.monotonic() < began + SECONDS:
            looks.append(look_at(distributed))
            try:
                generator.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        said = json.loads(generator.stdout.readline())
    requests = sum(said["acts"].values())
    print(f"{requests} acts of {AGENTS} agents in {said['seconds']:.0f} s, {said['later']} times 'ask again later', {len(looks)} looks")
    third = len(looks) // 3
    middle, last = looks[third : 2 * third], looks[2 * third :]
    print(described(looks[:third], middle, last))
    assert said["failures"] == {} and requests > AGENTS * DAYS * 150
    assert starts == {name: one["starts"] for name, one in distributed.processes.items()}, "nobody was started again"
    for name in OURS:
        grown = typical(last, name) - typical(middle, name)
        assert grown < GROWN_BYTES_MAX, f"{name} holds {grown / 2**20:.1f} MiB more"
    for name in distributed.processes.keys() - {"postgres"}:  # its connections open a file for each table that they meet
        more = max(one.descriptors[name] for one in last) - max(one.descriptors[name] for one in middle)
        assert more <= GROWN_DESCRIPTORS_MAX, f"{name} holds {more} descriptors more"
    assert max(one.outbox for one in last) <= OUTBOX_MAX, [one.outbox for one in last]

    async def nothing_waits() -> None:
        if left := await waiting(distributed):
            raise NotYet(str(left))

    asyncio.run(patiently(nothing_waits))


def look_at(shape: Shape) -> Look:
    held = {name: [held_by(pid) for pid in shape.pids_of(name)] for name in shape.processes}
    return Look(
        {name: sum(memory for memory, _ in each) for name, each in held.items()},
        {name: sum(descriptors for _, descriptors in each) for name, each in held.items()},
        asyncio.run(waiting_in_outboxes(shape)),
    )


def held_by(pid: int) -> tuple[int, int]:
    """Bytes and descriptors; of a process that has just ended, as those of PostgreSQL's connections do, nothing."""
    try:
        return memory_bytes(pid), len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0, 0


def typical(looks: Sequence[Look], name: str) -> float:
    return statistics.median(one.memory[name] for one in looks)


def described(*thirds: Sequence[Look]) -> str:
    """MiB and descriptors of each process in each third of the time, and what waited in outboxes at most."""
    lines = []
    for name in thirds[0][0].memory:
        memory = ", ".join(f"{typical(third, name) / 2**20:.1f}" for third in thirds)
        descriptors = ", ".join(str(max(one.descriptors[name] for one in third)) for third in thirds)
        lines.append(f"  {name:<12} MiB {memory}; descriptors at most {descriptors}")
    return "\n".join([*lines, "  in outboxes at most " + ", ".join(str(max(one.outbox for one in third)) for third in thirds)])
