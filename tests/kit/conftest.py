"""Where the logs under test lie."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from parvis_kit.db.migrations import Tree
from parvis_kit.db.versions import heads
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.testing.databases import Place
from parvis_kit.testing.kafka import KafkaServer, make_topics
from parvis_kit.testing.stage import Stage, ThingChanged, ThingState

from .library import planted

TOPICS = [ThingChanged.topic(), ThingState.topic()]


@pytest.fixture
def log_url_of(place: Place) -> Callable[[str], str]:
    """The database URL of each service: files of an empty folder, or one empty database of a real server."""
    return place.url_of


@pytest.fixture
async def stage(log_url_of: Callable[[str], str], database_kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Alpha and beta, and the log of this kind between them."""
    stage = Stage(log_url_of)
    if database_kind == "kafka":
        server: KafkaServer = request.getfixturevalue("kafka")
        log = KafkaLog(server.settings(), log_url_of, stage.log.bell)
        await make_topics(log.kafka, TOPICS)
        stage.log = log
    await stage.make_tables()
    yield stage
    await stage.close()


@pytest.fixture
def tree_of(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Tree]]:
    monkeypatch.syspath_prepend(tmp_path)
    yield planted(tmp_path, place.url_of)
    heads.cache_clear()
