"""What `make check` runs: every step to its end, then which of them failed."""

import os
import subprocess  # noqa: S404
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
STEPS = {
    "style": ["ruff", "check", "--quiet", "."],
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "types": ["mypy"],
    "types of scripts": ["python", "infra/check-scripts.py"],
    "walls": ["lint-imports", "--no-logo"],
    "house and schemas": ["python", "-m", "pytest", "-q", "--no-header", "tests/house", "tests/contracts"],
    "alerts": ["python", "infra/check-rules.py"],
    "vulnerabilities": ["python", "infra/known-vulnerabilities.py"],
}
NOT_CHECKED = 3
"""The exit status of a step that could not look at all it has to."""


def main() -> int:
    failed, unseen = [], []
    for name, (tool, *arguments) in STEPS.items():
        began = time.monotonic()
        print(f"── {name}", flush=True)
        done = subprocess.run([str(BIN / tool), *arguments], cwd=ROOT, env={**os.environ, "FORCE_COLOR": ""})  # noqa: S603
        verdict = {0: "ok", NOT_CHECKED: "NOT CHECKED, see above,"}.get(done.returncode, "FAILED")
        print(f"   {verdict} in {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode == NOT_CHECKED:
            unseen.append(name)
        elif done.returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed" if not unseen else "what could be checked passed")
    if unseen:
        print(f"NOT CHECKED: {', '.join(unseen)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
