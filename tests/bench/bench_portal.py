"""What a page costs over all services, on PostgreSQL: the portal and whatever it asks, beside the services' answers alone."""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("services", "infra", "files", "billing", "calendar", "messaging")]
sys.path.insert(0, str(Path(__file__).parent))

from _bars import exit_status, verdict  # noqa: E402
from bench_directory import postgres  # noqa: E402
from bench_http import on_cpu_nanoseconds  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_kit.workers import hold_port  # noqa: E402

ROUNDS, TURNS = 9, 40
PAGE_MS = 8.0
AGENT, ADMINISTRATOR, FINANCE, OPERATOR = 6, 0, 3, 4
"""Of the demonstration's people."""
READY_SECONDS_MAX = 400.0
WARM_SECONDS = 3.0
"""After its demonstration the suite is busy for a moment yet."""


@contextmanager
def suite(url: str, folder: Path) -> Iterator[tuple[int, str, Any]]:
    """Its process, its address and its demonstration."""
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    environ = {**os.environ, "PARVIS_DATABASE_URL": url, "PARVIS_DATA": str(folder), "PARVIS_PORT": str(port), "PARVIS_METRICS_PORT": "0"}
    environ |= {"PARVIS_ACCESS_LOG": "false", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-m", "parvis_suite", "up", "--demo"], env=environ, cwd=ROOT)
    try:
        until = time.monotonic() + READY_SECONDS_MAX
        while not (folder / "demo.json").exists():
            assert process.poll() is None and time.monotonic() < until, "it did not come up"
            time.sleep(0.1)
        time.sleep(WARM_SECONDS)
        yield process.pid, f"http://127.0.0.1:{port}", json.loads((folder / "demo.json").read_text())
    finally:
        process.terminate()
        process.wait(60)


class Still(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def cookies_of(base: str, person: Any) -> str:
    form = urllib.parse.urlencode({"email": person["email"], "password": person["password"]}).encode()
    try:
        urllib.request.build_opener(Still).open(f"{base}/sign-in", form)
    except urllib.error.HTTPError as answer:
        return "; ".join(one.partition(";")[0] for one in answer.headers.get_all("Set-Cookie"))
    raise AssertionError("signing in leads on")


def asked(url: str, headers: dict[str, str]) -> bytes:
    """Its body; a refusal has one too: that nobody has left is an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            found: bytes = answer.read()
    except urllib.error.HTTPError as refused:
        if refused.code != 404:
            raise
        found = refused.read()
    return found


def cost(pid: int, urls: list[str], headers: dict[str, str]) -> float:
    """Milliseconds of CPU of the process, for all of these once."""
    before = on_cpu_nanoseconds(pid)
    for _ in range(TURNS):
        for url in urls:
            asked(url, headers)
    return (on_cpu_nanoseconds(pid) - before) / 1e6 / TURNS


def main() -> int:
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        place = PostgresServer(server)
        database = place.create()
        try:
            with suite(database, Path(folder) / "data") as (pid, base, demo):
                measure(pid, base, demo)
        finally:
            place.drop(database)
    return exit_status()


Page = tuple[int, str, list[str]]
"""Whose, its path, and what it asks the services."""


def pages_of_all(base: str, demo: Any, root: str, space: str) -> dict[str, Page]:
    """As the portal's pages ask."""
    files, calendar, messaging, directory, billing = (
        f"{base}/api/{one}/v1" for one in ("files", "calendar", "messaging", "directory", "billing")
    )
    today = datetime.now(ZoneInfo("Europe/Paris")).date()
    monday = datetime.combine(today - timedelta(days=today.weekday()), datetime.min.time(), ZoneInfo("Europe/Paris"))
    week = urllib.parse.urlencode({"from": monday.isoformat(), "to": (monday + timedelta(days=7)).isoformat(), "limit": 500})
    way, agent = f"{directory}/ministries/{demo['agents'][ADMINISTRATOR]['ministry']}", demo["agents"][AGENT]["id"]
    services = ("directory", "files", "calendar", "messaging", "billing")
    return {
        "home": (
            AGENT,
            "/",
            [f"{files}/spaces/personal", f"{calendar}/invitations?limit=20", f"{messaging}/notices?limit=3&unread=true"],
        ),
        "a folder": (
            AGENT,
            f"/files/folders/{root}",
            [f"{files}/items/{root}", f"{files}/folders/{root}/items?limit=50", f"{files}/uploads?limit=20", f"{files}/spaces/{space}"],
        ),
        "files": (
            AGENT,
            "/files",
            [f"{files}/spaces/personal", f"{files}/folders/{root}/items?limit=50", f"{files}/spaces?limit=100", f"{files}/shared?limit=50"],
        ),
        "devices": (AGENT, "/devices", [f"{directory}/app-passwords"]),
        "agenda": (
            AGENT,
            "/agenda",
            [f"{calendar}/{one}" for one in (f"events?{week}", "invitations?limit=50", "privacy?limit=500", "privacy/received?limit=500")],
        ),
        "meet": (AGENT, "/agenda/meet", [f"{directory}/agents/{agent}"]),
        "notices": (AGENT, "/notices", [f"{messaging}/notices?limit=30", f"{messaging}/preferences"]),
        "cost": (AGENT, "/cost", [f"{billing}/me", f"{files}/spaces/personal"]),
        "onboarding": (ADMINISTRATOR, "/onboarding", [f"{way}/onboardings?limit=10", f"{way}/leavers?limit=20"]),
        "a leaver": (
            ADMINISTRATOR,
            f"/onboarding/leavers/{agent}",
            [f"{directory}/agents/{agent}", f"{directory}/agents/{agent}/departure", f"{calendar}/departures/{agent}"],
        ),
        "finance": (FINANCE, "/finance", [f"{billing}/report", f"{billing}/periods"]),
        "health": (
            OPERATOR,
            "/health",
            [f"{files}/uploads-under-way", *(f"{base}/api/{one}/v1/operations" for one in services)],
        ),
    }


def measure(pid: int, base: str, demo: Any) -> None:
    people = {number: demo["agents"][number] for number in (AGENT, ADMINISTRATOR, FINANCE, OPERATOR)}
    cookies = {number: {"Cookie": cookies_of(base, person)} for number, person in people.items()}
    bearer = {number: {"Authorization": f"Bearer {person['token']}"} for number, person in people.items()}
    found = re.search(rb"/files/folders/([0-9a-f-]+)", asked(f"{base}/files", cookies[AGENT]))
    assert found
    space = json.loads(asked(f"{base}/api/files/v1/spaces/personal", bearer[AGENT]))["id"]
    pages = pages_of_all(base, demo, found[1].decode(), space)
    figures: dict[str, list[float]] = {}
    for turn in range(ROUNDS + 1):
        for name, (who, path, alone) in pages.items():
            whole, services = cost(pid, [base + path], cookies[who]), cost(pid, alone, bearer[who])
            if turn:  # the first is a warm-up
                figures.setdefault(name, []).append(whole)
                figures.setdefault(f"{name} alone", []).append(services)
    for name in pages:
        whole, services = statistics.median(figures[name]), statistics.median(figures[f"{name} alone"])
        told = f"{whole:.2f} ms of CPU in all, its services' answers alone {services:.2f} ms"
        print(f"{verdict(whole <= PAGE_MS)}{name:11}{told}   bar: {PAGE_MS} ms")


if __name__ == "__main__":
    sys.exit(main())
