"""A whole suite in one process: from the first migration to the last closed database."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from parvis_kit.serve import Addresses
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_suite.assembly import DEMO_FILE, up
from parvis_suite.services import build_all

from .conftest import Suite

SECONDS_MAX = 90.0
"""Of patience with a loaded machine."""


@contextmanager
def running(suite: Suite, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and where it serves; ended as an operator would."""
    process = suite.start(*arguments)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "serving at " in line:
                break
        else:
            pytest.fail(f"it ended with {process.wait()}")
        yield process, line.split("serving at ")[1].split(",")[0]
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS_MAX)


def asked(url: str, method: str = "GET") -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def eventually(what: str, condition: Any) -> None:
    until = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.05)


def test_up_migrates_serves_carries_facts_and_stops(anywhere: Suite) -> None:
    with running(anywhere, "up") as (process, base):
        assert asked(f"{base}/livez") == (200, {"alive": True})
        eventually("it is ready", lambda: asked(f"{base}/readyz")[0] == 200)
        assert asked(f"{base}/api/lantern/v1/wicks/dry", "POST")[0] == 201
        eventually("the fact has its effect", lambda: asked(f"{base}/api/lantern/v1/light")[1] == {"wicks": ["dry"]})
        process.terminate()
        assert process.wait(SECONDS_MAX) == 0
    assert not (anywhere.folder / "data" / DEMO_FILE).exists()
    assert {stat.S_IMODE(one.stat().st_mode) for one in (anywhere.folder / "data").glob("*.db*")} <= {0o600}


def test_a_second_up_on_the_same_folder_is_refused_and_the_first_goes_on(parvis: Suite) -> None:
    with running(parvis, "up") as (process, base):
        second = parvis.start("up")
        said, _ = second.communicate(timeout=SECONDS_MAX)
        assert second.returncode == 2
        assert f"another Parvis (process {process.pid}) is at work" in said
        assert asked(f"{base}/livez")[0] == 200


def test_nothing_is_written_outside_the_data_folder(parvis: Suite, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    parvis.environ |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    before = {one for one in parvis.folder.rglob("*") if not one.is_relative_to(parvis.folder / "data")}
    with running(parvis, "up"):
        pass
    assert {one for one in parvis.folder.rglob("*") if not one.is_relative_to(parvis.folder / "data")} == before


def test_workers_share_a_port_and_end_with_their_parent(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    environ = {**os.environ, "PARVIS_DATA": str(tmp_path), "PARVIS_PORT": "0", "PARVIS_METRICS_PORT": "0", "PYTHONPATH": path}
    command = [sys.executable, "-m", "parvis_suite"]
    subprocess.run([*command, "migrate"], env=environ, check=True, capture_output=True)
    parent = subprocess.Popen([*command, "serve", "directory", "--workers", "2"], env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert parent.stderr is not None
        said = (line for line in parent.stderr if "serving at " in line)
        bases = {next(said).split("serving at ")[1].split(",")[0] for _ in range(2)}
        assert len(bases) == 1
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 2
        assert psutil.Process(parent.pid).memory_info().rss < min(one.memory_info().rss for one in workers) / 2, "it serves nothing itself"
        base = bases.pop()
        assert asked(f"{base}/livez")[0] == 200
    finally:
        parent.terminate()
        parent.communicate(timeout=SECONDS_MAX)
    assert parent.returncode == 0
    assert not [worker for worker in workers if worker.is_running()]


def test_workers_that_cannot_serve_say_why_once_and_are_not_started_again(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    environ = {**os.environ, "PARVIS_DATA": str(tmp_path), "PARVIS_PORT": "0", "PARVIS_METRICS_PORT": "0", "PYTHONPATH": path}
    command = [sys.executable, "-m", "parvis_suite", "serve", "directory", "--workers", "2"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert ended.returncode == 2 and ended.stderr.count("run `parvis migrate` first") <= 2, ended.stderr
    assert ended.stderr.splitlines()[-1] == "Error: directory cannot be served as things are: its workers have said why"


async def test_the_demonstration_s_file_is_written_last_and_for_its_owner_alone(anywhere: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in anywhere.environ.items():
        monkeypatch.setenv(name, value)
    platform = Platform.read()
    demo = platform.data / DEMO_FILE
    platform.data.mkdir()
    demo.write_text("of a former run")
    seen: list[str] = []

    async def seed(services: Sequence[Service], addresses: Addresses) -> dict[str, Any]:
        assert not demo.exists()
        await asyncio.to_thread(asked, f"{addresses.base_url}/api/lantern/v1/wicks/dry", "POST")
        seen.append(addresses.base_url)
        return {"base_url": addresses.base_url, "agents": ["Éléonore"]}

    running = asyncio.create_task(up(build_all(platform), platform, seed=seed))
    async with asyncio.timeout(SECONDS_MAX):
        while not (seen and demo.exists()) and not running.done():
            await asyncio.sleep(0.02)
    assert json.loads(demo.read_text()) == {"base_url": seen[0], "agents": ["Éléonore"]}
    everything = await asyncio.to_thread(asked, f"{seen[0]}/api/lantern/v1/light")
    assert everything == (200, {"wicks": ["dry"]}), "the demonstration's facts have had their effects"
    assert stat.S_IMODE(demo.stat().st_mode) == 0o600
    assert [one.name for one in platform.data.iterdir() if "demo" in one.name] == [DEMO_FILE]
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(SECONDS_MAX):
        await running
    assert not demo.exists()


async def test_a_demonstration_that_fails_leaves_no_file(parvis: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in parvis.environ.items():
        monkeypatch.setenv(name, value)
    platform = Platform.read()

    async def seed(services: Sequence[Service], addresses: Addresses) -> dict[str, Any]:
        raise RuntimeError("no ministry came")

    with pytest.raises(RuntimeError, match="no ministry came"):
        await up(build_all(platform), platform, seed=seed)
    assert not (platform.data / DEMO_FILE).exists()
