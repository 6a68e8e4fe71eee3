"""Ask whether a known vulnerability touches what the run lock pins; say loudly of what nobody could be asked."""

import json
import os
import re
import subprocess  # noqa: S404
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from pip._internal.models.index import PyPI

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", re.MULTILINE)
NOT_CHECKED = 3
"""The exit status that `make check` repeats in its last line."""
TIMEOUT_SECONDS = 10
SECONDS_MAX = 90
"""The service is asked once for each of some sixty packages."""
AT_ONCE_MAX = 4
"""A project's own page lists all that was ever released: some are 10 MB."""


def main() -> int:
    pinned = dict(PIN.findall(LOCK.read_text(encoding="utf-8")))
    asked, found = ask_about_versions()
    left = {name: version for name, version in pinned.items() if name not in asked}
    with ThreadPoolExecutor(AT_ONCE_MAX) as pool:
        for name, bugs in zip(left, pool.map(ask_about_newest, left.items()), strict=True):
            if bugs is not None:
                asked.add(name)
                found += bugs
    for line in found:
        print(line)
    print(f"{len(asked)} of {len(pinned)} packages asked about, {len(found)} vulnerabilities known")
    if unasked := sorted(pinned.keys() - asked):
        print(f"NOT CHECKED for known vulnerabilities: {', '.join(f'{name} {pinned[name]}' for name in unasked)}")
    return 1 if found else NOT_CHECKED if unasked else 0


def ask_about_versions() -> tuple[set[str], list[str]]:
    """Of whom pip-audit got an answer, and what it says."""
    audit = [Path(sys.executable).parent / "pip-audit", "--disable-pip", "--require-hashes", "-r", LOCK]
    command = [*audit, "--format", "json", "--progress-spinner", "off", "--timeout", str(TIMEOUT_SECONDS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)  # noqa: S603
        answer = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError, KeyError):
        return set(), []
    known = [one for one in answer if "skip_reason" not in one]
    return {one["name"] for one in known}, [told(one["name"], one["version"], bug) for one in known for bug in one["vulns"]]


def ask_about_newest(pin: tuple[str, str]) -> list[str] | None:
    """Some indexes answer for a project and not for each of its versions: what they tell is of the newest one. None: nothing was told."""
    name, version = pin
    try:
        answer = requests.get(f"{PyPI.pypi_url}/{name}/json", timeout=TIMEOUT_SECONDS, verify=os.environ.get("PIP_CERT") or True)
        page: dict[str, Any] = answer.json() if answer.ok else {}
    except (requests.RequestException, ValueError):
        return None
    if page.get("info", {}).get("version") != version or "vulnerabilities" not in page:
        return None
    return [told(name, version, bug) for bug in page["vulnerabilities"] if not bug.get("withdrawn")]


def told(name: str, version: str, bug: dict[str, Any]) -> str:
    fixes = bug.get("fix_versions") or bug.get("fixed_in") or ["no version yet"]
    return f"{name} {version}: {bug['id']}; fixed in {', '.join(fixes)}; `make lock` takes newer versions"


if __name__ == "__main__":
    sys.exit(main())
