"""The one process that starts the servers, the services and the proxy, keeps them running, and stops them in their order."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from parvis_suite.distributed.keeping import Kept, opened
from parvis_suite.distributed.plan import TARGETS_FILE, Plan, Program, inherited

STATE_FILE, ENVIRONMENT_FILE = "distributed.json", "environment"
BACKLOG = 1024
"""Connections that wait while the proxy is started again."""
PAUSE_SECONDS = 1.0
log = logging.getLogger(__name__)


@dataclass
class Supervisor:
    """Of one plan."""

    plan: Plan
    kept: dict[str, Kept] = field(default_factory=dict)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    is_complete: bool = False

    @property
    def environ(self) -> dict[str, str]:
        return {**inherited(), **self.plan.environment()}

    async def run(self, *, demo: bool) -> None:
        """Until SIGTERM or SIGINT."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        self.write_environment()
        with listening(self.plan.port) as front:
            work = asyncio.create_task(self.begin(front.fileno(), demo))
            stopped = asyncio.create_task(stopping.wait())
            try:
                await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
                    await stopped
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await self.stop()

    async def begin(self, front: int, demo: bool) -> None:
        """Servers, tables, services, proxy, demonstration: each when what it needs is there."""
        (self.plan.folder / "demo.json").unlink(missing_ok=True)
        await self.keep(*self.plan.servers())
        await self.once("migrate", "-m", "parvis_suite", "migrate")
        await self.keep(*self.plan.services(), self.plan.proxy(front), self.plan.postgres_exporter(), self.plan.prometheus())
        if demo:
            await self.once("demo", "-m", "parvis_suite.distributed", "seed", "--base-url", self.plan.base_url)
        self.is_complete = True
        self.write_state()
        log.info("the suite is at %s", self.plan.base_url)

    async def keep(self, *programs: Program) -> None:
        """Start them, and wait until all are ready."""
        for program in programs:
            kept = Kept(program, self.environ, self.plan.logs, self.write_state)
            self.kept[program.name] = kept
            self.tasks.append(asyncio.create_task(kept.keep()))
        for program in programs:
            await self.kept[program.name].ready.wait()
            log.info("%s is ready", program.name)

    async def once(self, name: str, *arguments: str) -> None:
        """A command that ends; again when it fails, since all of ours may be done twice."""
        while True:
            with opened(self.plan.logs / f"{name}.log") as output:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *arguments, env=self.environ, stdout=output, stderr=output, start_new_session=True
                )
            try:
                status = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                raise
            if status == 0:
                log.info("%s is done", name)
                return
            log.error("%s ended with %s and is tried again", name, status)
            await asyncio.sleep(PAUSE_SECONDS)

    async def stop(self) -> None:
        """Who asks before who answers: the proxy, the services, then the servers."""
        self.is_complete = False
        (self.plan.folder / "demo.json").unlink(missing_ok=True)
        servers = [program.name for program in self.plan.servers()]
        first = [one for name, one in self.kept.items() if name not in servers]
        await asyncio.gather(*(one.stop() for one in first))
        log.info("the services have stopped")
        await asyncio.gather(*(self.kept[name].stop() for name in servers if name in self.kept))
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.write_state()
        log.info("stopped")

    # what others read

    def write_state(self) -> None:
        """Where every process is found, for `down`, for tests, and for whoever looks."""
        described = {name: one.described() for name, one in self.kept.items()}
        state: dict[str, Any] = {
            "base_url": self.plan.base_url,
            "supervisor": os.getpid(),
            "complete": self.is_complete,
            "processes": described,
        }
        write(self.plan, STATE_FILE, json.dumps(state, indent=1))
        targets = [
            {"targets": [address], "labels": {"job": name, "process": f"{name}-{number}"}}
            for name, one in self.kept.items()
            for number, address in enumerate(one.program.metrics, 1)
        ]
        write(self.plan, TARGETS_FILE, json.dumps(targets, indent=1))

    def write_environment(self) -> None:
        """For whoever runs `parvis` beside it: `set -a; . FOLDER/environment`."""
        lines = [f"{name}='{value}'\n" for name, value in self.plan.environment().items()]
        write(self.plan, ENVIRONMENT_FILE, "".join(lines))


def write(plan: Plan, name: str, content: str) -> None:
    """Whole or not at all."""
    draft = plan.folder / f"{name}.draft"
    draft.write_text(content)
    draft.replace(plan.folder / name)


def listening(port: int) -> socket.socket:
    """Where agents come in, from before the proxy is there until after it has gone: they wait, and are not refused. Raises OSError."""
    front = socket.socket()
    front.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    front.bind(("127.0.0.1", port))
    front.listen(BACKLOG)
    return front


def running_at(folder: Any) -> dict[str, Any] | None:
    """What the supervisor that works in this folder has written, if it lives."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text())
        os.kill(int(state["supervisor"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return state


def outline(states: Sequence[tuple[str, Any]]) -> str:
    return "\n".join(f"{name:<10} port {one['port'] or '-':<6} process {one['server_pid'] or one['pid']}" for name, one in states)
