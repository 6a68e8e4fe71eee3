"""Work that goes on beside the requests: started, watched, started again when it ends, stopped in the end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import TypeVar

from prometheus_client import Counter

from parvis_kit.logs import SERVICE
from parvis_kit.problems import Unavailable
from parvis_kit.service import Doors, Sweep

Run = Callable[[], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")

PAUSE_SECONDS_MIN = 0.2
PAUSE_SECONDS_MAX = 30.0
"""Between two failures in a row the pause doubles up to this: a database that is away is not hammered."""
STEADY_SECONDS = 60.0
"""What has run for this long failed for a new reason: the pause begins again at its least."""

FAILURES = Counter("parvis_background_failures_total", "Times that work beside the requests failed and was started again.", ["work"])

log = logging.getLogger(__name__)


async def supervise(name: str, run: Run, sleep: Sleep = asyncio.sleep, time: Callable[[], float] = monotonic) -> None:
    """Run it for ever. A failure is logged and followed by a pause; an end without one, by the least pause."""
    SERVICE.set(name.partition(".")[0])
    failures = FAILURES.labels(name)
    pause = PAUSE_SECONDS_MIN
    while True:
        began = time()
        try:
            await run()
            failed = False
        except Unavailable as away:  # no fault of ours: whoever reads the log wants to know what is away, not where we noticed
            log.warning("%s is tried again: %s", name, away.__cause__ or away)
            failures.inc()
            failed = True
        except Exception:  # whatever fails here must neither end the process nor stay unsaid
            log.exception("%s failed; it is started again", name)
            failures.inc()
            failed = True
        if not failed or time() - began >= STEADY_SECONDS:
            pause = PAUSE_SECONDS_MIN
        await sleep(pause)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


async def one_by_one(work: str, things: Iterable[T], do: Callable[[T], Awaitable[None]], named: Callable[[T], object] = str) -> int:
    """Of a sweep's things each in turn; how many failed. One that fails keeps nobody waiting behind it: it is logged, counted, and comes
    again with the next sweep.

    `named`: what the log may say of a thing. Raises Unavailable: what is away is away for all of them.
    """
    failed = 0
    for thing in things:
        try:
            await do(thing)
        except Unavailable:
            raise
        except Exception:  # whatever one of them trips over, it is no other's
            log.exception("%s: %s is left for the next time", work, named(thing))
            FAILURES.labels(work).inc()
            failed += 1
    return failed


def sweeps_of(service: Doors) -> dict[str, Run]:
    """A service's sweeps, as work to supervise."""
    return {f"{service.name}.{sweep.name}": _every(sweep) for sweep in service.sweeps}


def _every(sweep: Sweep, sleep: Sleep = asyncio.sleep) -> Run:
    async def run() -> None:
        if sweep.at_once:
            await sweep.action()
        while True:
            await sleep(sweep.every_seconds)
            await sweep.action()

    return run


class Background:
    """The tasks of a process."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, work: Mapping[str, Run]) -> None:
        self.tasks += [asyncio.create_task(supervise(name, run), name=name) for name, run in work.items()]

    async def stop(self) -> None:
        """All of them, and wait until they have let go of what they hold."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
