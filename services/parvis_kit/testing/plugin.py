"""Fixtures for whoever tests on Parvis' kit: `pytest_plugins = ["parvis_kit.testing.plugin"]`, and a fixture for each script."""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from parvis_kit.db import Database
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import DATABASES, Place, PostgresServer
from parvis_kit.testing.kafka import KafkaServer
from parvis_kit.testing.servers import ServerMissing, started

OpenDatabase = Callable[..., Awaitable[Database]]
NOT_TESTED: dict[str, str] = {}
"""What could not be tried on this machine, and why."""
IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
ASKED = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PARVIS_")}
"""Taken out of the environment: what somebody set for their own Parvis must not change a test's."""


def missing(what: str, why: str) -> None:
    """A server cannot be had: a failure under CI=true, otherwise a skip that the last lines of the run repeat."""
    NOT_TESTED[what] = why
    if IN_CI:
        pytest.fail(f"{what} cannot be had, and CI=true makes that a failure: {why}", pytrace=False)
    pytest.skip(f"not tested on {what}: {why.splitlines()[0]}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Workers of a run in several processes are told what was asked of the whole, which is in no environment any more."""
    node.workerinput["asked"] = ASKED


def pytest_configure(config: pytest.Config) -> None:
    ASKED.update(getattr(config, "workerinput", {}).get("asked", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["not_tested"] = NOT_TESTED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker could not try belongs to the last lines of the run too; a worker that was killed has told nothing."""
    NOT_TESTED.update(getattr(node, "workeroutput", {}).get("not_tested", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, why in NOT_TESTED.items():
        terminalreporter.section(f"NOT TESTED on {what}", red=True, bold=True)
        terminalreporter.write_line(why)


@pytest.fixture(scope="session")
def postgres_servers(postgres_script: Path) -> Iterator[Callable[[str], PostgresServer]]:
    """A server of each kind, started when the first test wants it and stopped with the run."""
    with ExitStack() as stack:
        running: dict[str, PostgresServer | ServerMissing] = {}

        def server(kind: str) -> PostgresServer:
            if kind not in running:
                running[kind] = _start(stack, postgres_script, kind)
            found = running[kind]
            if isinstance(found, ServerMissing):
                missing(f"PostgreSQL ({kind})", str(found))
            return cast(PostgresServer, found)

        yield server


def _start(stack: ExitStack, script: Path, kind: str) -> PostgresServer | ServerMissing:
    if kind == "postgresql" and (url := ASKED.get("PARVIS_TEST_POSTGRES_URL")):
        return PostgresServer(url)
    source = "debian" if kind == "debian" else ASKED.get("PARVIS_TEST_POSTGRES", "pypi")
    try:
        said = stack.enter_context(started(script, "--source", source))
    except ServerMissing as reason:
        return reason
    return PostgresServer(said["url"], said["version"])


@pytest.fixture(scope="session")
def postgres(postgres_servers: Callable[[str], PostgresServer]) -> PostgresServer:
    """The real PostgreSQL of this run (PARVIS_TEST_POSTGRES_URL, or PARVIS_TEST_POSTGRES=debian, choose another)."""
    return postgres_servers("postgresql")


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> Iterator[str]:
    """An empty database of the real PostgreSQL."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """For a server that root starts as nobody: pytest's own folder is closed to it, once more by each run that begins meanwhile."""
    with tempfile.TemporaryDirectory(prefix="parvis-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def kafka(kafka_script: Path) -> Iterator[KafkaServer]:
    """The real Kafka of this run: one broker (PARVIS_TEST_KAFKA names one that already runs)."""
    if named := ASKED.get("PARVIS_TEST_KAFKA"):
        yield KafkaServer(named)
        return
    with ExitStack() as stack:
        try:
            said = stack.enter_context(started(kafka_script))
        except ServerMissing as reason:
            missing("Kafka", str(reason))
        yield KafkaServer(said["bootstrap"])


@pytest.fixture(scope="session")
def s3(s3_script: Path) -> Iterator[dict[str, str]]:
    """The real S3 store of this run, as it says it is: `endpoint`, `access_key`, `secret`."""
    with ExitStack() as stack:
        try:
            said = stack.enter_context(started(s3_script))
        except ServerMissing as reason:
            missing("S3", str(reason))
        yield said


@pytest.fixture(params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Every test that touches it runs once for each. `parametrize("database_kind", EVERY_DATABASE, indirect=True)` adds Debian's."""
    return cast(str, request.param)


@pytest_asyncio.fixture
async def place(
    database_kind: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Place]:
    """Where the services of one test have their tables; nothing of it is left afterwards."""
    make = request.getfixturevalue("postgres_servers") if database_kind != "sqlite" else None
    kind = "postgresql" if database_kind == "kafka" else database_kind
    async with AsyncExitStack() as stack:
        yield Place(tmp_path, make(kind) if make else None, stack, tmp_path_factory.getbasetemp() / "prepared")


@pytest.fixture
def database_url(place: Place) -> str:
    """A fresh, empty database, for a test that needs but one."""
    return place.url_of("parvis")


@pytest.fixture
def open_database(place: Place) -> OpenDatabase:
    """`await open_database("directory", metadata)`: a service's database with its tables, closed and dropped at the end."""
    return place.open


@pytest.fixture
def clock() -> FrozenClock:
    """Nine o'clock on a Monday, until the test moves it."""
    return FrozenClock()
