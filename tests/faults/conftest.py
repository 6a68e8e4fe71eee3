"""Where the log under fire lies: an empty folder for SQLite, an empty database of the real server."""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def log_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}"
    return str(request.getfixturevalue("postgres_log"))


@pytest.fixture
def postgres_log(postgres_database: str) -> str:
    """An empty database."""
    return postgres_database
