"""What it costs to start the command, and to keep a service running.  python tests/bench/bench_command.py"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
from _bars import exit_status, say

TIMES = 7
READY_SECONDS_MAX = 180.0
"""Beyond the bar, so that a figure is told of a start that missed it."""
HELP_BAR_MS, RSS_BAR_MB, SUITE_BAR_MB, REST_BAR_MS = 150, 90, 250, 40
SETTLE_SECONDS, REST_SECONDS = 10.0, 30.0
FIRST_SECONDS, AGAIN_SECONDS = 60.0, 5.0
"""The first one makes its tables and its people."""
LIBRARIES = (
    "aiohttp.web, sqlalchemy, sqlalchemy.dialects.postgresql, greenlet, pydantic, joserfc.jws, asyncpg, aiosqlite, "
    "prometheus_client, click, uvloop"
)
"""What every service stands on, and nothing of ours."""


def cpu_ms(*arguments: str) -> float:
    """CPU milliseconds of a Python process, the best of several."""
    found = []
    for _ in range(TIMES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    return min(found)


def up(environ: dict[str, str], folder: Path, *, rest: bool = False) -> tuple[float, float, float]:
    """Wall seconds until the demonstration stands, the megabytes that it holds then, and the milliseconds of CPU that it takes in a second
    when nobody asks anything."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "parvis_suite", "up", "--demo"], env=environ, stderr=subprocess.DEVNULL)
    try:
        while not (folder / "demo.json").exists():
            if process.poll() is not None or time.monotonic() - began > READY_SECONDS_MAX:
                raise SystemExit("the demonstration did not come up")
            time.sleep(0.02)
        took, suite = time.monotonic() - began, psutil.Process(process.pid)
        held, resting = suite.memory_info().rss / 1e6, 0.0
        if rest:
            time.sleep(SETTLE_SECONDS)
            before = sum(suite.cpu_times()[:2])
            time.sleep(REST_SECONDS)
            resting = (sum(suite.cpu_times()[:2]) - before) / REST_SECONDS * 1000
        return took, held, resting
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def memory_mb(environ: dict[str, str]) -> float:
    """Of a process that serves directory on SQLite, after a hundred requests."""
    process = subprocess.Popen([sys.executable, "-m", "parvis_suite", "serve", "directory"], env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "serving at " in line)
        base = line.split("serving at ")[1].split(",")[0]
        for _ in range(100):
            urllib.request.urlopen(f"{base}/readyz").read()
        return float(psutil.Process(process.pid).memory_info().rss / 1e6)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def libraries_mb() -> float:
    """Of a process that has imported them, and done nothing."""
    script = f"import {LIBRARIES}, os, psutil; print(psutil.Process(os.getpid()).memory_info().rss)"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout) / 1e6


def main() -> int:
    bare, click = cpu_ms("-c", ""), cpu_ms("-c", "import click")
    said = cpu_ms("-m", "parvis_suite", "--help")
    figure = f"{said:.0f} ms CPU (import click {click:.0f}, Python alone {bare:.0f})"
    say("parvis --help", figure, f"≤ {HELP_BAR_MS} ms", said <= HELP_BAR_MS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        environ = {**os.environ, "PARVIS_DATA": str(folder), "PARVIS_PORT": "0"}
        (first, seeded, _), (then, again, resting) = up(environ, folder), up(environ, folder, rest=True)
        suite = max(seeded, again)
        say("up --demo, until it stands the first time", f"{first:.1f} s wall", f"≤ {FIRST_SECONDS:g} s", first <= FIRST_SECONDS)
        say("up --demo, until it stands the next time", f"{then:.1f} s wall", f"≤ {AGAIN_SECONDS:g} s", then <= AGAIN_SECONDS)
        served, libraries = memory_mb(environ), libraries_mb()
        say("up --demo, once it stands", f"{suite:.0f} MB RSS", f"≤ {SUITE_BAR_MB} MB", suite <= SUITE_BAR_MB)
        say("up --demo, when nobody asks anything", f"{resting:.0f} ms CPU a second", f"≤ {REST_BAR_MS} ms", resting <= REST_BAR_MS)
        figure = f"{served:.0f} MB RSS (its libraries alone {libraries:.0f})"
        say("serve directory", figure, f"≤ {RSS_BAR_MB} MB", served <= RSS_BAR_MB)
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
