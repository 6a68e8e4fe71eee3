"""What every test of Parvis may ask for: the kit's fixtures, on the servers that infra/servers starts."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parvis_messaging.homeserver import registration
from parvis_suite.distributed.plan import free_ports

pytest_plugins = ["parvis_kit.testing.plugin"]

ROOT = Path(__file__).resolve().parent.parent
ON_THE_SHAPE = ("/test_distributed_", "/test_agent_day", "/test_mixed_load")
"""What the files are called whose tests need the distributed shape."""


LONGEST = "tests/suite/test_the_whole_main_job.py"
"""A file stays with one worker: this one, left to the end, kept the others waiting for minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def postgres_script() -> Path:
    """How a real PostgreSQL is started here."""
    return ROOT / "infra/servers/postgres.py"


@pytest.fixture(scope="session")
def kafka_script() -> Path:
    """How a real Kafka is started here."""
    return ROOT / "infra/servers/kafka.py"


@pytest.fixture(scope="session")
def s3_script() -> Path:
    """How a real S3 store is started here; `make test STORE=minio_server` takes the other one."""
    from parvis_kit.testing.plugin import ASKED  # pytest has not read it as a plugin yet when it reads this file

    return ROOT / "infra/servers" / f"{ASKED.get('PARVIS_TEST_S3', 'seaweedfs')}.py"


@pytest.fixture(scope="session")
def haproxy_script() -> Path:
    """How the front proxy is started here."""
    return ROOT / "infra/servers/haproxy.py"


@pytest.fixture(scope="session")
def prometheus_script() -> Path:
    """How Prometheus and its Alertmanager are started here."""
    return ROOT / "infra/servers/prometheus.py"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """
    The files that need the distributed shape go to one worker, which starts it once: two of them are more than two cores carry.
    So do the portal's, which ask one suite of each kind.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByShape(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            if any(name in file for name in ON_THE_SHAPE):
                return "distributed"
            return "portal" if "tests/portal/" in file else file

    return ByShape(config, log) if config.getoption("dist") == "loadfile" else None


@dataclass(frozen=True)
class SynapseServer:
    """A real Matrix homeserver, which pushes to `port` here, whoever listens there at the time."""

    url: str
    server_name: str
    port: int
    registration: Path


@pytest.fixture(scope="session")
def synapse_script() -> Path:
    """How a real Synapse is started here."""
    return ROOT / "infra/servers/synapse.py"


@pytest.fixture(scope="session")
def synapse(synapse_script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SynapseServer]:
    """The real Synapse of this run, on SQLite: one for all tests, which take names of their own in it."""
    from parvis_kit.testing.plugin import missing
    from parvis_kit.testing.servers import ServerMissing, started

    folder, port, name = tmp_path_factory.mktemp("synapse"), free_port(), "parvis.test"
    path = folder / "registration.json"
    registration.write(path, registration.made(name, f"http://127.0.0.1:{port}"))
    try:
        with started(synapse_script, "--server-name", name, "--registration", str(path)) as said:
            yield SynapseServer(said["url"], name, port, path)
    except ServerMissing as reason:
        missing("Synapse", str(reason))


def pytest_configure(config: pytest.Config) -> None:
    """Each worker and what it starts have ports of their own: what was killed is started again where it was."""
    if (said := getattr(config, "workerinput", None)) is not None:
        number, each = int(said["workerid"].removeprefix("gw")), 12_000 // said["workercount"]
        os.environ["SERVERS_PORTS"] = f"{20_000 + number * each}-{19_999 + (number + 1) * each}"


GIVEN: list[int] = []
"""The ports that these tests were given: most are taken only a moment later."""


def free_port() -> int:
    """Another one at each call, which nobody's outgoing connection takes while whoever listens there is started again."""
    GIVEN.extend(free_ports(1, taken=GIVEN))
    return GIVEN[-1]
