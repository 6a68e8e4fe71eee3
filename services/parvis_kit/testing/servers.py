"""Real servers for tests: started by a script that says `ready name=value …`, stopped when the test is done with them."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS_MAX = 240.0
"""The first start fetches the server, from a slow mirror perhaps."""
STOP_SECONDS_MAX = 30.0


class ServerMissing(Exception):
    """The server cannot be had here; the message says why."""


@contextmanager
def started(script: Path, *arguments: str) -> Iterator[dict[str, str]]:
    """What the server says of itself (`url`, `dir`, `pid`, …), for as long as the body runs."""
    command = [sys.executable, str(script), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield _ready(process, command)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def end(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Kill a server, and see it gone: until then it holds its port, and whoever starts it again is refused. Raises AssertionError."""
    os.kill(pid, how)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} is alive {STOP_SECONDS_MAX:.0f} s after {how.name}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """A zombie, which nobody has waited for, is not alive (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _ready(process: subprocess.Popen[str], command: Sequence[str]) -> dict[str, str]:
    assert process.stdout and process.stderr
    deadline = time.monotonic() + READY_SECONDS_MAX
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(deadline - time.monotonic()):
                break
            line = process.stdout.readline()
            if not line:
                raise ServerMissing(process.stderr.read().strip() or f"{' '.join(command)} said nothing")
            if line.startswith("ready "):
                return dict(part.split("=", 1) for part in line.split()[1:])
    raise ServerMissing(f"{' '.join(command)} was not ready after {READY_SECONDS_MAX:.0f} s")
