"""The same command several times on one machine: a parent that starts its children, starts again those that die, and tells all to stop.

It serves nothing, so it imports nothing that serves: a third of a worker's memory.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.2, 30.0
"""Before a worker that died is started again: doubled from death to death."""
STEADY_SECONDS = 60.0
"""Whoever ran for this long died of something new: the pause begins again at its least."""
GRACE_SECONDS = 30.0
"""Beyond a child's own drain and shutdown; then it is killed."""
REFUSED = 2
"""The exit status of whoever said what has to be done first: starting it again would not help."""
DEATH_SIGNAL_OPTION = 1
"""PR_SET_PDEATHSIG of prctl(2)."""

log = logging.getLogger(__name__)


class WorkerRefused(Exception):
    """A worker cannot serve as things are, and has said why."""


async def run_workers(count: int, command: Sequence[str], environment_of: Callable[[int], Mapping[str, str]]) -> None:
    """Until SIGTERM or SIGINT, which every child then gets. They share a port; `environment_of` gives each its metrics port.

    Raises WorkerRefused when one ends with REFUSED as it is started first; later that is a death like another, since the others serve.
    """
    with stop_signals() as stopping:
        workers = (_keep_running(number, command, environment_of(number), stopping) for number in range(count))
        if not all(await asyncio.gather(*workers)):
            raise WorkerRefused


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def hold_port(host: str, port: int) -> socket.socket:
    """A port for children to share, any free one for 0, theirs while this is open. It does not listen, so it takes no connection."""
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held


async def _keep_running(number: int, command: Sequence[str], environment: Mapping[str, str], stopping: asyncio.Event) -> bool:
    """Whether it was ever taken for one that can serve."""
    pause, time, first = PAUSE_SECONDS_MIN, asyncio.get_running_loop().time, True
    stopped = asyncio.create_task(stopping.wait())
    while not stopping.is_set():
        began = time()
        child = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment}, preexec_fn=_die_with_parent)
        ended = asyncio.create_task(child.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            await _stop(child, ended)
            return True
        if first and child.returncode == REFUSED:
            stopping.set()
            return False
        first = False
        if time() - began >= STEADY_SECONDS:
            pause = PAUSE_SECONDS_MIN
        log.error("worker %d ended with %s; it is started again", number, child.returncode)
        await asyncio.wait((stopped,), timeout=pause)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)
    return True


async def _stop(child: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
    if child.returncode is None:
        child.send_signal(signal.SIGTERM)
    if not (await asyncio.wait((ended,), timeout=GRACE_SECONDS))[0]:
        child.kill()
        await ended


def _die_with_parent() -> None:
    """Between fork and exec: no worker outlives a parent that was killed, or a second parent would find its port shared with strangers."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DEATH_SIGNAL_OPTION, signal.SIGTERM)
