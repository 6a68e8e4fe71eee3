"""The distributed shape: what the proxy adds to a request; and five times the load of a full service, how long the accepted take."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/suite")]

import psutil  # noqa: E402
from _bars import exit_status, say, verdict  # noqa: E402
from overload import Answered, ask_for, memory_bytes  # noqa: E402

AT_WORK_MAX = 64
"""As infra/proxy/haproxy.cfg says: so many at once keep the service as busy as it can be."""
SECONDS, OVERLOAD_SECONDS = 10.0, 60.0
AGENT = 12
RATIO_MAX = 2.0
CALM_RATE, CALM_AT_ONCE, CALM_SECONDS, CALM_TURNS = 50.0, 2, 5.0, 4
"""So few a second that none waits for another."""


def parvis(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "parvis_suite.distributed", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def processes_of(state: Any, name: str) -> list[psutil.Process]:
    """Who does its work: of a server, not its starter."""
    one = state["processes"][name]
    first = psutil.Process(one["server_pid"] or one["pid"])
    return [first, *first.children(recursive=True)]


def cpu_us(processes: list[psutil.Process]) -> float:
    """To the nanosecond, of all threads: ticks are as long as a hundred requests."""
    threads = (task for one in processes for task in Path(f"/proc/{one.pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in threads) / 1000


def show_overhead(state: Any, base_url: str, path: str, token: str) -> None:
    """The same GET at the service and through the proxy, in turn, so that what disturbs one disturbs the other."""
    ways = {"at the service": f"http://127.0.0.1:{state['processes']['files']['port']}", "through the proxy": base_url}
    found = {way: Answered() for way in ways}
    spent = {(way, name): 0.0 for way in ways for name in ("files", "proxy")}
    processes = {name: processes_of(state, name) for name in ("files", "proxy")}
    for turn in range(CALM_TURNS + 1):
        for way, base in ways.items():
            before = {name: cpu_us(some) for name, some in processes.items()}
            more = asyncio.run(ask_for(base + path, token, at_once=CALM_AT_ONCE, seconds=CALM_SECONDS, rate=CALM_RATE))
            if more.wrong or more.refused:
                raise SystemExit(f"{way}: {len(more.refused)} refused, {more.wrong[:3]}")
            if turn:  # the first is a warm-up
                found[way].accepted += more.accepted
                for name, some in processes.items():
                    spent[way, name] += cpu_us(some) - before[name]
    for way, one in found.items():
        files, proxy = (spent[way, name] / len(one.accepted) for name in ("files", "proxy"))
        figure = f"p50 {one.percentile(0.5):.2f} ms, p99 {one.percentile(0.99):.2f} ms"
        say(f"a personal space, {CALM_RATE:.0f}/s, {way}", figure, f"CPU a request: service {files:.0f} µs, proxy {proxy:.0f} µs")
    direct, proxied = found.values()
    more_ms = [proxied.percentile(share) - direct.percentile(share) for share in (0.5, 0.99)]
    say("what the proxy adds", f"p50 {more_ms[0]:+.2f} ms, p99 {more_ms[1]:+.2f} ms", "reported")


def overload(state: Any, url: str, token: str) -> None:
    workers = [one.pid for one in processes_of(state, "files")[1:]]
    asyncio.run(ask_for(url, token, at_once=AT_WORK_MAX, seconds=3))
    normal = asyncio.run(ask_for(url, token, at_once=AT_WORK_MAX, seconds=SECONDS))
    print(f"as many as it carries ({AT_WORK_MAX} at once): {normal.told()}")
    before = sum(map(memory_bytes, workers))
    over = asyncio.run(ask_for(url, token, at_once=5 * AT_WORK_MAX, seconds=OVERLOAD_SECONDS, rate=5 * normal.rate))
    grown = (sum(map(memory_bytes, workers)) - before) / 2**20
    print(f"five times as many ({5 * normal.rate:.0f}/s for {OVERLOAD_SECONDS:.0f} s): {over.told()}")
    ratio = over.percentile(0.99) / normal.percentile(0.99)
    print(f"{verdict(ratio <= RATIO_MAX)}p99 of the accepted: {ratio:.2f} times that of before   bar: ≤ {RATIO_MAX}")
    print(f"{verdict(not over.wrong and bool(over.refused))}the others are refused, and nothing is answered otherwise")
    print(f"memory: {grown:+.1f} MiB in {len(workers)} workers")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="parvis-", ignore_cleanup_errors=True) as folder:
        parvis("up", "--data", folder, "--port", os.environ.get("BENCH_PORT", "28642"))
        try:
            demo = json.loads((Path(folder) / "demo.json").read_text())
            state = json.loads((Path(folder) / "distributed.json").read_text())
            path, token = "/api/files/v1/spaces/personal", demo["agents"][AGENT]["token"]
            show_overhead(state, demo["base_url"], path, token)
            overload(state, demo["base_url"] + path, token)
            return exit_status()
        finally:
            parvis("down", "--data", folder)


if __name__ == "__main__":
    sys.exit(main())
