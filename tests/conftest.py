"""What every test of Parvis may ask for: the kit's fixtures, on the servers that infra/servers starts."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parvis_messaging.homeserver import registration

pytest_plugins = ["parvis_kit.testing.plugin"]

ROOT = Path(__file__).resolve().parent.parent
ON_THE_SHAPE = ("/test_distributed_", "/test_agent_day", "/test_mixed_load")
"""What the files are called whose tests need the distributed shape."""


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
    """The files that need the distributed shape go to one worker, which starts it once: two of them are more than two cores carry."""
    from xdist.scheduler import LoadFileScheduling

    class ByShape(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return "distributed" if any(name in file for name in ON_THE_SHAPE) else file

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


def free_port() -> int:
    """Below 32768: one of the ephemeral range may be somebody's outgoing connection by the time it is listened at."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 20000 and 31999")
