"""The whole main job on the distributed shape: undisturbed, and while everything under it is killed, frozen and started again."""

import asyncio
import json
import os
import time
from random import Random

import aiohttp
import pytest

from .fire import Fire, Traffic, waiting
from .running import SEED, NotYet, patiently
from .shape import Shape
from .test_the_whole_main_job import whole_job

ROUNDS_A_WALK = 3
WALKS = 10 if os.environ.get("SOAK") else 1
"""Thirty rounds of faults, or three."""
GIVER, TAKER = 6, 9
"""Of the demonstration's agents: two of one ministry and one team, who are nothing but agents."""
STUCK_SECONDS_MAX = 30.0
"""Of anything, once so long has passed since the last fault, and since every process was there again."""


def test_the_whole_main_job_on_the_distributed_shape(distributed: Shape, dav_python: str) -> None:
    asyncio.run(walk(distributed, dav_python))
    said = (distributed.folder / "servers/synapse/synapse.log").read_text()
    assert "STARTING SERVER" in said and "logcontext" not in said, "a lost logging context makes Synapse deaf sooner or later"


@pytest.mark.soak
def test_the_whole_main_job_while_every_process_is_killed_frozen_and_stopped(distributed: Shape, dav_python: str) -> None:
    for number in range(WALKS):
        under_fire(distributed, dav_python, SEED + number, ROUNDS_A_WALK)


async def walk(shape: Shape, dav_python: str) -> None:
    shape.dav_python = dav_python
    shape.walk = int.from_bytes(os.urandom(3))
    await whole_job(shape)


def under_fire(shape: Shape, dav_python: str, seed: int, rounds: int) -> None:
    print(f"seed {seed}")
    agents = json.loads((shape.folder / "demo.json").read_text())["agents"]

    async def all_of_it() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
            traffic = Traffic(shape, agents[GIVER], agents[TAKER])
            await traffic.begin(session)
            fire = Fire(shape, Random(seed), rounds)
            going = asyncio.create_task(traffic.go_on())
            shooting = asyncio.create_task(asyncio.to_thread(fire.run))
            walking = asyncio.create_task(walk(shape, dav_python))
            try:
                await asyncio.wait((walking, shooting), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if walking.done() and walking.exception():
                    fire.over.set()
                await shooting
                healed = asyncio.create_task(patiently(lambda: all_there(shape)))
                traffic.stopping.set()  # as long as it goes on, some fact is always under way
                await going
                await walking
                await asyncio.gather(going, walking)
            await settle(shape, fire, await healed, traffic, session)

    asyncio.run(all_of_it())


async def all_there(shape: Shape) -> float:
    """When every process was ready again."""
    if not shape.is_well():
        raise NotYet(str({name: one for name, one in shape.processes.items() if not one["ready"]}))
    return time.monotonic()


async def settle(shape: Shape, fire: Fire, healed: float, traffic: Traffic, session: aiohttp.ClientSession) -> None:
    """Nothing is stuck, nothing lost, nothing there twice."""
    assert len(fire.shots) >= len(shape.processes), "otherwise this proves nothing"
    began = max(fire.last, healed)

    async def nothing_waits() -> None:
        """What the walk has said since is younger, and has as long."""
        left = await waiting(shape)
        late = time.monotonic() - began > STUCK_SECONDS_MAX
        stuck = {what: one for what, one in left.items() if one.seconds > STUCK_SECONDS_MAX}
        assert not (stuck and late), f"stuck for {STUCK_SECONDS_MAX} s: {stuck}"
        if left:
            raise NotYet(str(left))

    await patiently(nothing_waits)
    print(f"all up {began - fire.last:.0f} s after the last fault, nothing waits {time.monotonic() - began:.0f} s later")
    await patiently(lambda: traffic.check(session))
    print(f"{len(traffic.stored)} files, {len(traffic.shared)} shares, {len(traffic.written)} messages: each there once")
