"""Where the logs under test lie."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parvis_kit.testing.databases import EVERY_DATABASE


@pytest.fixture(params=EVERY_DATABASE)
def log_url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """The database URL of each service: files of an empty folder, or one empty database of a real server."""
    if request.param == "sqlite":
        yield lambda service: f"sqlite:///{tmp_path / service}.db"
        return
    server = request.getfixturevalue("postgres_servers")(request.param)
    url: str = server.create()
    yield lambda service: url
    server.drop(url)
