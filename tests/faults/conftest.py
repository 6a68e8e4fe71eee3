"""Where the log under fire lies: an empty folder for SQLite, an empty database of the real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from parvis_kit.testing.databases import DATABASES, PostgresServer


@pytest.fixture(params=DATABASES)
def log_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}"
    return str(request.getfixturevalue("postgres_log"))


@pytest.fixture
def postgres_log(postgres: PostgresServer) -> Iterator[str]:
    """An empty database."""
    url = postgres.create()
    yield url
    postgres.drop(url)
