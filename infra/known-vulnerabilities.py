"""Ask whether a known vulnerability touches what the run lock pins; say loudly when nobody could be asked."""

import json
import subprocess  # noqa: S404
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = "10"
SECONDS_MAX = 90
"""The service is asked once for each of some forty packages."""


def main() -> int:
    audit = [Path(sys.executable).parent / "pip-audit", "--disable-pip", "--require-hashes", "-r", ROOT / "requirements.lock"]
    command = [*audit, "--format", "json", "--progress-spinner", "off", "--timeout", TIMEOUT_SECONDS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)  # noqa: S603
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        reason = done.stderr.strip().splitlines()[-1:] if isinstance(error, json.JSONDecodeError) else ["no answer in time"]
        print(f"NOT CHECKED for known vulnerabilities: the service that knows them cannot be reached ({' '.join(reason)[:300]})")
        return 0
    found = [
        (one["name"], one["version"], bug["id"], bug.get("fix_versions")) for one in answer["dependencies"] for bug in one.get("vulns", ())
    ]
    for name, version, bug, fixes in found:
        print(f"{name} {version}: {bug}; fixed in {', '.join(fixes or []) or 'no version yet'}; `make lock` takes newer versions")
    skipped = [one for one in answer["dependencies"] if "skip_reason" in one]
    print(f"{len(answer['dependencies']) - len(skipped)} packages asked about, {len(found)} vulnerabilities known")
    if skipped:
        print(f"NOT CHECKED for known vulnerabilities: {len(skipped)} packages, {skipped[0]['skip_reason'][:200]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
