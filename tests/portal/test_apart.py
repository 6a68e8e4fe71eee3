"""`parvis serve portal`: the portal in a process of its own, with nothing but the services' addresses."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
from parvis_kit.testing.waiting import until
from parvis_kit.workers import hold_port

from .conftest import Suite, Visitor


async def test_apart_from_the_services_it_signs_people_in_and_shows_their_files(suite: Suite, tmp_path: Path) -> None:
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    services = dict.fromkeys(("directory", "files", "calendar", "messaging", "billing"), suite.base)
    environ = {name: value for name, value in suite.environ.items() if not name.startswith("PARVIS_")}
    environ |= {"PARVIS_PORT": str(port), "PARVIS_METRICS_PORT": "0", "PARVIS_DATA": str(tmp_path)}
    environ["PARVIS_PORTAL_SERVICES"] = json.dumps(services)
    with (tmp_path / "portal.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "parvis_suite", "serve", "portal"], env=environ, stdout=log, stderr=log)
    try:

        async def is_ready() -> bool:
            assert process.poll() is None, (tmp_path / "portal.log").read_text()
            return ready(port)

        await until(is_ready, "the portal is ready", 120)
        apart = Suite(suite.folder, port, environ, process, suite.demo)  # type: ignore[arg-type]
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            visitor = await Visitor(apart, session).sign_in("agent")
            assert "Espace personnel" in await visitor.see("/files")
            assert sorted(one.name for one in tmp_path.iterdir()) == ["portal.log"], "it keeps nothing"
    finally:
        process.terminate()
        assert process.wait(60) == 0


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            found: Any = json.load(answer)
            return bool(found["ready"])
    except OSError:
        return False
