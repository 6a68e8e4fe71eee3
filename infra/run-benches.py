"""What `make bench` runs: each bench in a process of its own, beside one real PostgreSQL; each prints its figures and their floors."""

import os
import subprocess  # noqa: S404
import sys
from pathlib import Path

from parvis_kit.testing.servers import ServerMissing, started

ROOT = Path(__file__).resolve().parent.parent
BENCHES = ROOT / "tests/bench"


def main() -> int:
    asked = set(sys.argv[1:])
    benches = [one for one in sorted(BENCHES.glob("*.py")) if not one.name.startswith("_") and (not asked or one.stem in asked)]
    if not benches:
        print(f"no bench of that name; there are: {', '.join(sorted(one.stem for one in BENCHES.glob('[!_]*.py')))}")
        return 2
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PARVIS_")}
    try:
        with started(ROOT / "infra/servers/postgres.py", "--durable") as server:
            return run(benches, {**environ, "BENCH_POSTGRES_URL": server["url"]})
    except ServerMissing as reason:
        print(f"NOT MEASURED on PostgreSQL: {reason}")
        return max(run(benches, environ), 1)


def run(benches: list[Path], environ: dict[str, str]) -> int:
    failed = []
    for bench in benches:
        print(f"── {bench.stem}", flush=True)
        if subprocess.run([sys.executable, str(bench)], cwd=ROOT, env=environ).returncode:  # noqa: S603
            failed.append(bench.stem)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
