"""Five times the load that a service can carry, on the distributed shape: how long the accepted take, beside those of a full service."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/suite")]

from _bars import exit_status, verdict  # noqa: E402
from overload import ask_for, memory_bytes  # noqa: E402

AT_WORK_MAX = 64
"""As infra/proxy/haproxy.cfg says: so many at once keep the service as busy as it can be."""
SECONDS, OVERLOAD_SECONDS = 10.0, 60.0
AGENT = 12
RATIO_MAX = 2.0


def parvis(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "parvis_suite.distributed", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def workers_of(state: dict[str, object]) -> list[int]:
    pid = state["processes"]["files"]["pid"]  # type: ignore[index]
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="parvis-", ignore_cleanup_errors=True) as folder:
        parvis("up", "--data", folder, "--port", os.environ.get("BENCH_PORT", "28642"))
        try:
            demo = json.loads((Path(folder) / "demo.json").read_text())
            workers = workers_of(json.loads((Path(folder) / "distributed.json").read_text()))
            url, token = f"{demo['base_url']}/api/files/v1/spaces/personal", demo["agents"][AGENT]["token"]
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
            return exit_status()
        finally:
            parvis("down", "--data", folder)


if __name__ == "__main__":
    sys.exit(main())
