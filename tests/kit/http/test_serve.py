"""Processes started, loaded, stopped and killed: nobody who asks is left without an answer."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import ClientSession
from parvis_kit.background import Background, supervise
from parvis_kit.metrics import LOOP_LAG, watch_loop
from parvis_kit.serve import listen
from parvis_kit.testing.waiting import until
from parvis_kit.workers import hold_port

SCRIPT = Path(__file__).with_name("serve_things.py")
CLIENTS = 20


@dataclass
class Process:
    """One of `serve_things`, once it is ready."""

    running: asyncio.subprocess.Process
    base_url: str = ""
    metrics_url: str = ""

    async def read_addresses(self) -> None:
        assert self.running.stdout is not None
        said: dict[str, str] = json.loads(await self.running.stdout.readline())
        self.base_url, self.metrics_url = said["base_url"], said["metrics_url"]


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts processes, and leaves none behind."""
    async with AsyncExitStack() as stack:

        async def start_one(what: str, port: int = 0, folder: Path = tmp_path) -> Process:
            folder.mkdir(exist_ok=True)
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(SCRIPT), what, str(folder), str(port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            stack.push_async_callback(stop, process)
            started = Process(process)
            await started.read_addresses()
            return started

        yield start_one


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        children = psutil.Process(process.pid).children()
        process.kill()
        for child in children:
            child.kill()
        await process.wait()


@dataclass
class Load:
    """Clients that ask again as soon as they are answered, and never forgive."""

    port: int
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        over = asyncio.Event()
        clients = [asyncio.create_task(self.ask(over)) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*clients)

    async def ask(self, over: asyncio.Event) -> None:
        """Keeps its connection until it is told that it closes."""
        while not over.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                closing = False
                while not closing and not over.is_set():
                    writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                    closing = b"connection: close" in head
                    if not head.startswith(b"http/1.1 200"):
                        raise ConnectionError(head.decode())
                    self.answered += 1
                writer.close()
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))

    async def until_more(self, number: int = 200) -> None:
        goal = self.answered + number

        async def reached() -> bool:
            return self.answered >= goal

        await until(reached, f"{number} more requests are answered")


async def test_a_process_told_to_stop_under_load_fails_no_request(start: Start, tmp_path: Path) -> None:
    with hold_port("127.0.0.1", 0) as held:
        port: int = held.getsockname()[1]
        leaving, staying = await start("shared", port, tmp_path / "leaving"), await start("shared", port, tmp_path / "staying")
        load = Load(port)
        async with load.going_on():
            await load.until_more()
            leaving.running.terminate()
            assert await asyncio.wait_for(leaving.running.wait(), 20) == 0
            await load.until_more()
        assert load.failures == []
        assert staying.running.returncode is None


async def test_it_stops_in_the_order_that_loses_nothing(start: Start, tmp_path: Path) -> None:
    process = await start("alone")
    ledger = tmp_path / "ledger"

    async def started_again() -> bool:
        return ledger.exists() and "background started 2" in ledger.read_text()

    await until(started_again, "the background that failed is started again")
    async with ClientSession() as client:
        assert (await client.get(process.base_url + "/readyz")).status == 200
        process.running.terminate()

        async def draining() -> bool:
            answer = await client.get(process.base_url + "/readyz")
            return answer.status == 503 and answer.headers["Connection"] == "close" and "draining" in await answer.text()

        await until(draining, "it says that it drains")
        assert (await client.get(process.base_url + "/slow")).status == 200
    assert await asyncio.wait_for(process.running.wait(), 20) == 0
    assert ledger.read_text().split("\n")[:-1] == [
        "background started 1",
        "background started 2",
        "background stopped",
        "database closed",
    ]


async def test_figures_are_on_a_port_of_their_own(start: Start) -> None:
    process = await start("alone")
    async with ClientSession() as client:
        await client.get(process.base_url + "/slow")
        figures = await (await client.get(process.metrics_url)).text()
        assert (await client.get(process.base_url + "/metrics")).status == 404
    assert 'parvis_http_requests_total{method="GET",route="/slow",service="things",status="2xx"} 1.0' in figures
    assert "parvis_build_info{" in figures and "process_resident_memory_bytes" in figures and "parvis_loop_lag_seconds" in figures


async def test_a_worker_that_dies_is_started_again_and_all_stop_together(start: Start) -> None:
    with hold_port("127.0.0.1", 0) as held:
        parent = await start("workers", held.getsockname()[1])
        await parent.read_addresses()
        family = psutil.Process(parent.running.pid)
        first = {child.pid for child in family.children()}
        assert len(first) == 2
        os.kill(min(first), signal.SIGKILL)
        await parent.read_addresses()
        second = {child.pid for child in family.children()}
        assert len(second) == 2 and max(first) in second
        async with ClientSession() as client:
            assert (await client.get(parent.base_url + "/slow")).status == 200
        parent.running.terminate()
        assert await asyncio.wait_for(parent.running.wait(), 20) == 0
        assert not any(psutil.pid_exists(pid) for pid in second)


async def test_workers_end_when_their_parent_is_killed(start: Start) -> None:
    with hold_port("127.0.0.1", 0) as held:
        parent = await start("workers", held.getsockname()[1])
        await parent.read_addresses()
        children = psutil.Process(parent.running.pid).children()
        parent.running.kill()

        async def gone() -> bool:
            return not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)

        await until(gone, "its workers have ended")


def test_a_port_that_is_taken_is_named_with_the_setting_that_changes_it() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="PARVIS_PORT"):
        listen("127.0.0.1", taken.getsockname()[1])


class Life:
    """Time that passes only in sleep, and work that fails as often as it is told."""

    def __init__(self, *lasting_seconds: float) -> None:
        self.now, self.lasting, self.pauses = 0.0, list(lasting_seconds), list[float]()

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def work(self) -> None:
        if not self.lasting:
            raise asyncio.CancelledError
        self.now += self.lasting.pop(0)
        raise ZeroDivisionError


async def test_what_fails_again_and_again_is_started_ever_more_seldom() -> None:
    life = Life(*[1.0] * 10)
    with pytest.raises(asyncio.CancelledError):
        await supervise("things.consume", life.work, life.sleep, life.time)
    assert life.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


async def test_what_ran_for_long_is_started_again_at_once() -> None:
    life = Life(1, 1, 61, 1)
    with pytest.raises(asyncio.CancelledError):
        await supervise("things.consume", life.work, life.sleep, life.time)
    assert life.pauses == [0.2, 0.4, 0.2, 0.4]


async def test_background_work_has_let_go_when_it_is_stopped() -> None:
    held: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        held.append("connection")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            held.pop()

    background = Background()
    background.start({"things.consume": work})
    await begun.wait()
    await background.stop()
    assert held == []


async def test_a_loop_that_wakes_late_says_by_how_much() -> None:
    moments = iter([0.0, 1.25, 2.0])

    async def sleep(seconds: float) -> Any:
        assert seconds == 1.0

    with pytest.raises(RuntimeError):
        await watch_loop(moments.__next__, sleep)
    assert LOOP_LAG._value.get() == 0.25
