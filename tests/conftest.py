"""What every test of Parvis may ask for: the kit's fixtures, on the servers that infra/servers starts."""

from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["parvis_kit.testing.plugin"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def postgres_script() -> Path:
    """How a real PostgreSQL is started here."""
    return ROOT / "infra/servers/postgres.py"


@pytest.fixture(scope="session")
def kafka_script() -> Path:
    """How a real Kafka is started here."""
    return ROOT / "infra/servers/kafka.py"


@pytest.fixture(scope="session")
def seaweedfs_script() -> Path:
    """How a real S3 store is started here."""
    return ROOT / "infra/servers/seaweedfs.py"


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
            return "distributed" if "/test_distributed_" in file else file

    return ByShape(config, log) if config.getoption("dist") == "loadfile" else None
