"""What every test of Parvis may ask for: the kit's fixtures, on the servers that infra/servers starts."""

from pathlib import Path

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
