"""The distributed shape as a test finds it: the supervisor in a process of its own, and every other process by name."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from parvis_kit.settings import Platform
from parvis_kit.testing.plugin import missing
from parvis_suite.cli import main
from parvis_suite.distributed.plan import inherited
from yarl import URL

from ..conftest import free_port
from .running import PATIENCE_SECONDS_MAX, Running

START_SECONDS_MAX = 600.0
"""The first time fetches the servers."""


@dataclass
class Shape(Running):
    """Of one folder. Whoever kills a process of it waits until it is well again, because others use it too."""

    @property
    def state(self) -> Any:
        """As the supervisor wrote it last."""
        return json.loads((self.folder / "distributed.json").read_text())

    @property
    def processes(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state["processes"]
        return found

    @property
    def platform(self) -> Platform:
        return Platform.read(self.environ)

    def command(self, *arguments: str, expected: int = 0) -> str:
        """As an operator types it, in this process: a dozen of them in a process each are a minute's work for two cores."""
        said = CliRunner().invoke(main, arguments, prog_name="parvis", env=self.environ)
        assert said.exit_code == expected, f"{arguments}: {said.exit_code}\n{said.output}{said.exception!r}"
        return said.stdout

    def insist(self, *arguments: str) -> str:
        """As often as it takes: what it needs may be away for a while."""
        until = time.monotonic() + PATIENCE_SECONDS_MAX
        while True:
            try:
                return self.command(*arguments)
            except AssertionError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    def pids_of(self, name: str) -> list[int]:
        """Who does its work: the server, not its starter; the service's workers before their parent."""
        one = self.processes[name]
        if one["server_pid"]:
            return [*descendants(one["server_pid"]), one["server_pid"]]
        return [*descendants(one["pid"]), one["pid"]] if one["pid"] else []

    def is_well(self) -> bool:
        return all(one["ready"] for one in self.processes.values())

    def address_of(self, name: str) -> str:
        """Behind the proxy."""
        return f"http://127.0.0.1:{self.processes[name]['port']}"


def descendants(pid: int) -> list[int]:
    """The youngest first."""
    found: list[int] = []
    for child in children(pid):
        found += [*descendants(child), child]
    return found


def children(pid: int) -> list[int]:
    try:
        return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextmanager
def started_shape(folder: Path, *options: str) -> Iterator[Shape]:
    """From its first start until the block is left; `options` of `supervise`."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    log = folder / "supervisor.log"
    command = [sys.executable, "-m", "parvis_suite.distributed", "supervise", "--data", str(folder), "--port", str(port), *options]
    environ = {**inherited(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    shape = Shape(folder, environ, port, process)
    try:
        until = time.monotonic() + START_SECONDS_MAX
        while not is_complete(shape):
            if process.poll() is not None or time.monotonic() > until:
                missing("the distributed shape", log.read_text()[-3000:] + last_words(folder))
            time.sleep(0.1)
        yield shape_in(folder)
    finally:
        process.terminate()
        process.wait(120)


def shape_in(folder: Path) -> Shape:
    """One that runs, with its settings for whoever works beside it."""
    lines = (line.partition("=") for line in (folder / "environment").read_text().splitlines())
    said = {name: value.strip("'") for name, _, value in lines}
    path = os.pathsep.join(filter(None, sys.path))
    port = URL(said["PARVIS_PUBLIC_URL"]).port
    assert port is not None
    return Shape(folder, {**inherited(), "PYTHONPATH": path, **said}, port)


def is_complete(shape: Shape) -> bool:
    try:
        return bool(shape.state["complete"])
    except (OSError, ValueError):
        return False


def last_words(folder: Path, names: Sequence[str] = ("migrate", "demo", "postgres", "kafka", "seaweedfs", "proxy")) -> str:
    logs = (folder / "logs" / f"{name}.log" for name in names)
    return "".join(f"\n{one.name}: {one.read_text()[-800:]}" for one in logs if one.exists())
