"""Where the logs under test lie."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The database URL of each service: files of an empty folder, or one empty database of the real server."""
    if request.param == "sqlite":
        return lambda service: f"sqlite:///{tmp_path / service}.db"
    database: str = request.getfixturevalue("postgres_database")
    return lambda service: database
