"""Check Prometheus' and Alertmanager's configuration, and that each rule does what its cases say, with promtool and amtool."""

import os
import subprocess  # noqa: S404
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "infra/prometheus"
NOT_CHECKED = 3


def main() -> int:
    fetched = subprocess.run(  # noqa: S603
        [sys.executable, ROOT / "infra/servers/prometheus.py", "install"], capture_output=True, text=True
    )
    if fetched.returncode:
        return missing(fetched.stderr.strip())
    rules, cases = sorted(PLACE.glob("rules/*.yml")), sorted(PLACE.glob("tests/*.yml"))
    checks: list[list[str | Path]] = [
        ["promtool", "check", "rules", *rules],
        ["promtool", "check", "config", "--syntax-only", PLACE / "prometheus.yml"],
        ["amtool", "check-config", PLACE / "alertmanager.yml"],
        ["promtool", "test", "rules", *cases],
    ]
    failed = 0
    for command in checks:
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            print(done.stdout + done.stderr)
            failed = 1
    return failed


def missing(why: str) -> int:
    """A failure under CI=true, otherwise said aloud."""
    print(f"NOT CHECKED: alerts and their cases: {why}", file=sys.stderr)
    return 1 if os.environ.get("CI", "").lower() in ("true", "1") else NOT_CHECKED


if __name__ == "__main__":
    sys.exit(main())
