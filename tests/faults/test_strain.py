"""More than a log sees on most days: a broker away for long, a hundred thousand facts that wait."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from parvis_kit.events.kafka.client import REQUEST_MILLISECONDS_MAX
from parvis_kit.settings import Kafka
from parvis_kit.testing.harness import FACTS_PER_KILL, RATE, Troupe, log_at
from parvis_kit.testing.kafka import KafkaServer
from parvis_kit.testing.servers import started

pytestmark = pytest.mark.soak
IN_SOAK = bool(os.environ.get("SOAK"))
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
AWAY_SECONDS = 60 if IN_SOAK else 15
BACKLOG, BURST = (1_000_000 if IN_SOAK else 100_000), 100
DRAIN_SECONDS_MAX = 3_600 if IN_SOAK else 500
MEMORY_BYTES_MAX = 250 * 2**20
"""A relay or a consumer of a hundred facts a second takes about 90 MB here, one that read its backlog at once some hundreds more."""


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_a_broker_may_be_away_for_longer_than_any_request_waits(
    postgres_log: str, kafka_script: Path, kafka: KafkaServer, open_folder: Path, how: str
) -> None:
    """A frozen one answers nothing and closes nothing; what it was sent may or may not have been written."""
    assert AWAY_SECONDS > 2 * REQUEST_MILLISECONDS_MAX / 1000
    place = ["--dir", str(open_folder / "server")]
    with ExitStack() as servers:
        said = servers.enter_context(started(kafka_script, *place))
        with log_at(postgres_log, SEED, KafkaServer(said["bootstrap"]).settings()) as log:
            troupe = Troupe(log)
            troupe.start_all()
            log.finish(log.write(FACTS_PER_KILL, SEED).start())
            os.kill(int(said["pid"]), signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
            log.finish(log.write(RATE * AWAY_SECONDS, SEED + 1).start(), AWAY_SECONDS * 4)
            if how == "frozen":
                os.kill(int(said["pid"]), signal.SIGCONT)
            else:
                servers.enter_context(started(kafka_script, *place, "--port", said["bootstrap"].rpartition(":")[2]))
            log.finish(log.write(FACTS_PER_KILL, SEED + 2).start())
            assert log.verify() == ""
            assert not any(part.is_dead() for part in troupe.running.values())


@pytest.mark.parametrize("kind", ["postgresql", "kafka"])
def test_a_backlog_is_worked_off_in_order_and_in_little_memory(postgres_log: str, request: pytest.FixtureRequest, kind: str) -> None:
    settings: Kafka | None = request.getfixturevalue("kafka").settings() if kind == "kafka" else None
    with log_at(postgres_log, SEED, settings) as log:
        log.finish(log.write(BACKLOG, SEED, rate=10**9, burst=BURST).start(), DRAIN_SECONDS_MAX)
        assert log.acknowledged >= BACKLOG
        troupe = Troupe(log)
        troupe.start_all()
        assert log.verify(seconds=DRAIN_SECONDS_MAX) == ""
        assert {name: part.memory_max_bytes for name, part in troupe.running.items() if part.memory_max_bytes > MEMORY_BYTES_MAX} == {}
