"""One program kept running: started, known to be ready, started again when it dies, and told to stop."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import aiohttp

from parvis_suite.distributed.plan import Program

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.1, 5.0
"""Before a program that died is started again; twice as long each time, until it has been ready."""
LOOK_SECONDS = 0.1
STOP_SECONDS_MAX = 60.0
"""Beyond every program's own drain; then it is killed."""
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


@dataclass
class Kept:
    """A program and whatever process it is at the moment."""

    program: Program
    environ: Mapping[str, str]
    logs: Path
    changed: Callable[[], None] = lambda: None
    """Told of each start and each end."""
    process: asyncio.subprocess.Process | None = None
    said: dict[str, str] = field(default_factory=dict)
    """Of a server, what its starter says of it: `pid` is the server's own."""
    starts: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False

    async def keep(self) -> None:
        """Until `stop`."""
        pause = PAUSE_SECONDS_MIN
        while not self.stopping:
            await self.start()
            assert self.process is not None  # noqa: S101
            status, was_ready = await self.process.wait(), self.ready.is_set()
            self.ready.clear()
            self.said = {}
            self.changed()
            if self.stopping:
                return
            pause = PAUSE_SECONDS_MIN if was_ready else min(2 * pause, PAUSE_SECONDS_MAX)
            log.warning("%s ended with %s and is started again", self.program.name, status)
            await asyncio.sleep(pause)

    async def start(self) -> None:
        with opened(self.logs / f"{self.program.name}.log") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.program.command,
                env={**self.environ, **self.program.environ},
                stdout=asyncio.subprocess.PIPE if self.program.is_server else output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the supervisor, which then stops all in their order
                preexec_fn=die_with_parent,
                pass_fds=self.program.fds,
            )
        self.starts += 1
        self.changed()
        self.watching = asyncio.create_task(self.watch(self.process))

    async def watch(self, process: asyncio.subprocess.Process) -> None:
        """Until it is ready, or has ended."""
        if process.stdout is not None:
            while line := await process.stdout.readline():
                if line.startswith(b"ready "):
                    self.said = dict(part.split("=", 1) for part in line.decode().split()[1:])
                    break
            else:
                return
        elif self.program.port:
            while process.returncode is None and not await answers(self.program.port):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(LOOK_SECONDS)
        if process.returncode is None:
            self.ready.set()
            self.changed()

    async def stop(self) -> None:
        self.stopping = True
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            log.error("%s does not end and is killed", self.program.name)
            process.kill()
        log.info("%s has stopped", self.program.name)

    def described(self) -> dict[str, object]:
        process = self.process
        running = process is not None and process.returncode is None
        return {
            "pid": process.pid if process is not None and running else None,
            "server_pid": int(self.said["pid"]) if self.said.get("pid", "").isdecimal() else None,
            "ready": self.ready.is_set(),
            "starts": self.starts,
            "port": self.program.port,
            "metrics": list(self.program.metrics),
            "log": str(self.logs / f"{self.program.name}.log"),
        }


def opened(log: Path) -> IO[bytes]:
    return log.open("ab")


async def answers(port: int) -> bool:
    """Whether what listens there is ready for requests."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"http://127.0.0.1:{port}/readyz") as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


def die_with_parent() -> None:
    """Between fork and exec: nothing outlives a supervisor that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.umask(0o022)
