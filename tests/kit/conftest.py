"""Where the logs under test lie."""

from collections.abc import Callable

import pytest
from parvis_kit.testing.databases import Place


@pytest.fixture
def log_url_of(place: Place) -> Callable[[str], str]:
    """The database URL of each service: files of an empty folder, or one empty database of a real server."""
    return place.url_of
