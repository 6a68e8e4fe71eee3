"""Clients that people have, and those clients' own tests, against the doors: the judges that know CalDAV better than we do."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest
from parvis_kit.testing.databases import DATABASES

from .conftest import Desk

SECONDS_MAX = 900
CALDAV_DATABASES = DATABASES if os.environ.get("SOAK") else ("postgresql",)
"""A minute and a half each."""
VDIRSYNCER_PASSED_MIN, CALDAV_PASSED_MIN = 60, 125
"""So many that speak to us: none would pass that found no server."""
MIXIN = """
import os, pytest

class ServerMixin:
    @pytest.fixture
    def get_storage_args(self, request, slow_create_collection, aio_connector):
        async def inner(collection="test"):
            args = {"url": os.environ["DAV_URL"], "username": os.environ["DAV_USER"], "password": os.environ["DAV_PASSWORD"],
                    "connector": aio_connector}
            return await slow_create_collection(self.storage_class, args, collection) if collection is not None else args
        return inner
"""
SERVER = """
test-servers:
  parvis:
    type: external
    enabled: true
    url: {url}
    username: {user}
    password: {password}
    scheduling_users:
"""
COLLEAGUE = """
      - url: {url}
        username: {user}
        password: {password}
"""


async def run(desk: Desk, clients: dict[str, str], *command: str, folder: Path, **environment: str) -> tuple[int, str]:
    """While the doors are open: the exit status, and all that was said."""
    url = str(desk.client.make_url("/"))
    told = {"DAV_URL": url, "DAV_USER": "ada@example.org", "DAV_PASSWORD": desk.passwords["ada"], **environment}
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    process = await asyncio.create_subprocess_exec(
        clients["python"], *command, cwd=folder, env={**kept, **told}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, said.decode(errors="replace")


def passed_in(said: str) -> int:
    found = re.search(r"(\d+) passed", said)
    return int(found[1]) if found else 0


def failures_of(said: str) -> list[str]:
    return sorted(re.findall(r"^(?:FAILED|ERROR) \S*::(\S+)", said, re.MULTILINE))


async def test_vdirsyncer_s_own_tests_of_a_storage_pass(desk: Desk, clients: dict[str, str], tmp_path: Path) -> None:
    source = next(Path(clients["sources"]).glob("vdirsyncer-*"))
    folder = tmp_path / "judge"
    shutil.copytree(source / "tests", folder / "tests")
    server = folder / "tests/storage/servers/parvis"
    server.mkdir(parents=True)
    (server / "__init__.py").write_text(MIXIN)
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/storage/dav/test_caldav.py", "-o", "asyncio_mode=auto")
    status, said = await run(desk, clients, *command, folder=folder, DAV_SERVER="parvis")
    assert passed_in(said) >= VDIRSYNCER_PASSED_MIN, said[-6000:]
    assert (status, failures_of(said)) == (0, []), said[-6000:]


@pytest.mark.soak
@pytest.mark.parametrize("database_kind", CALDAV_DATABASES, indirect=True)
async def test_python_caldav_s_own_tests_pass(desk: Desk, clients: dict[str, str], tmp_path: Path) -> None:
    source = next(Path(clients["sources"]).glob("caldav-*"))
    folder = tmp_path / "judge"
    shutil.copytree(source / "tests", folder / "tests")
    url = str(desk.client.make_url("/"))
    server = SERVER.format(url=url, user="ada@example.org", password=desk.passwords["ada"])
    for name in ("carl", "dora", "finn"):
        await desk.add(name, "interieur")
        server += COLLEAGUE.format(url=url, user=f"{name}@example.org", password=desk.passwords[name])
    (folder / "tests/caldav_test_servers.yaml").write_text(server)
    command = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=auto",
        "tests",
        "--ignore=tests/test_docs.py",
        "-k",
        "parvis",
    )
    status, said = await run(desk, clients, *command, folder=folder, PYTHON_CALDAV_TEST_DOCKER="0")
    assert passed_in(said) >= CALDAV_PASSED_MIN, said[-6000:]
    assert (status, failures_of(said)) == (0, []), said[-6000:]
