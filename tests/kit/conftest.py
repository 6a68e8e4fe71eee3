"""Where the logs under test lie."""

from collections.abc import Callable

import pytest
from parvis_kit.testing.databases import EVERY_DATABASE, Place


@pytest.fixture
def log_url_of(place: Place) -> Callable[[str], str]:
    """The database URL of each service: files of an empty folder, or one empty database of a real server."""
    return place.url_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The log's contract is held on the oldest supported PostgreSQL too."""
    if "log_url_of" in metafunc.fixturenames:
        metafunc.parametrize("database_kind", EVERY_DATABASE, indirect=True)
