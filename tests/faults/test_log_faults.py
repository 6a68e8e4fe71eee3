"""The log under fire: killed at every window, frozen past its lease, doubled: nothing lost, nothing out of order, nothing twice."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from parvis_kit.settings import Kafka
from parvis_kit.testing.harness import FACTS_PER_KILL, LEASE_SECONDS, Troupe, log_at
from parvis_kit.testing.servers import end, started

pytestmark = pytest.mark.soak
ROUNDS = 20 if os.environ.get("SOAK") else 3
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
"""Drawn anew for each run and printed with each failure; SEED=… runs the same again."""

RELAY_WINDOWS = ["relay.before_move", "relay.before_commit", "relay.after_commit"]
WINDOWS = [
    ("write", "transaction.before_commit"),
    ("write", "transaction.after_commit"),
    ("consume", "transaction.before_commit"),
    ("consume", "transaction.after_commit"),
    ("consume", "consumer.before_commit"),
    ("consume", "consumer.after_commit"),
]


@pytest.mark.parametrize(("part", "window"), WINDOWS)
def test_killed_at_any_window_nothing_is_lost_disordered_or_applied_twice(log_database: str, part: str, window: str) -> None:
    check_kills(log_database, part, window)


@pytest.mark.parametrize("window", RELAY_WINDOWS)
def test_a_relay_killed_at_any_window_loses_disorders_and_doubles_nothing(postgres_log: str, window: str) -> None:
    check_kills(postgres_log, "relay", window)


def check_kills(database: str, part: str, window: str) -> None:
    with log_at(database, SEED) as log:
        troupe, random = Troupe(log), Random(SEED)
        troupe.start_all()
        for _ in range(ROUNDS):
            troupe.kill_at(part, window, random)
        assert log.verify() == ""
        assert log.acknowledged >= FACTS_PER_KILL * ROUNDS


def test_without_fence_and_inbox_the_same_kills_go_wrong(log_database: str) -> None:
    """The control: were this to pass, the tests above would prove nothing."""
    with log_at(log_database, SEED) as log:
        troupe, random = Troupe(log, ("--unprotected",)), Random(SEED)
        troupe.start_all()
        troupe.kill_at("consume", "probe.between_effects_and_offsets", random)
        assert "out of order or twice" in log.verify(seconds=5)


def test_clocks_that_are_set_back_by_hours_disorder_nothing(log_database: str) -> None:
    with log_at(log_database, SEED) as log:
        troupe, random = Troupe(log), Random(SEED)
        troupe.start_all()
        for _ in range(ROUNDS):
            troupe.set_clocks_back(random)
        assert log.verify() == ""
        assert log.acknowledged >= 2 * FACTS_PER_KILL * ROUNDS


def test_two_consumers_at_once_apply_each_fact_once(log_database: str) -> None:
    with log_at(log_database, SEED) as log:
        troupe = Troupe(log)
        troupe.start_all()
        log.part("consume").start().wait_ready()
        log.finish(log.write(FACTS_PER_KILL, SEED).start())
        assert log.verify() == ""


def test_a_consumer_frozen_past_its_lease_and_thawed_changes_nothing(log_database: str) -> None:
    with log_at(log_database, SEED) as log:
        troupe = Troupe(log)
        troupe.start_all()
        frozen = troupe.start("consume", "consumer.before_commit:sleep:0.2")
        writer = log.write(FACTS_PER_KILL, SEED).start()
        log.finish(log.write(40, SEED + 1).start())
        other = log.part("consume").start().wait_ready()  # on SQLite none could start while the frozen one is in a transaction
        frozen.signal(signal.SIGSTOP)
        log.finish(writer)
        if log.has_relay:
            assert log.verify(seconds=5 * LEASE_SECONDS) == "", "the other one takes over"
        frozen.signal(signal.SIGCONT)
        log.finish(log.write(FACTS_PER_KILL, SEED + 2).start())
        assert log.verify() == ""
        assert not other.is_dead()


def test_two_relays_at_once_disorder_nothing(postgres_log: str) -> None:
    with log_at(postgres_log, SEED) as log:
        troupe = Troupe(log)
        troupe.start_all()
        log.part("relay").start().wait_ready()
        log.finish(log.write(FACTS_PER_KILL, SEED, rate=1000).start())
        assert log.verify() == ""


def test_a_leader_frozen_past_its_lease_is_replaced_and_harmless_when_it_thaws(postgres_log: str) -> None:
    with log_at(postgres_log, SEED) as log:
        troupe = Troupe(log)
        troupe.start_all()
        log.finish(log.write(40, SEED).start())
        assert log.verify() == "", "the first relay leads"
        troupe.running["relay"].signal(signal.SIGSTOP)
        standby = log.part("relay").start().wait_ready()
        log.finish(log.write(FACTS_PER_KILL, SEED + 1).start())
        assert log.verify() == "", "the standby carries on while the leader is frozen"
        troupe.running["relay"].signal(signal.SIGCONT)
        log.finish(log.write(FACTS_PER_KILL, SEED + 2).start())
        assert log.verify() == ""
        assert not standby.is_dead() and not troupe.running["relay"].is_dead()


@pytest.mark.parametrize("kind", ["postgresql", "kafka"])
def test_postgresql_ended_at_once_and_started_again_loses_nothing_that_was_acknowledged(
    postgres_script: Path, open_folder: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """SIGQUIT is `pg_ctl stop -m immediate`: no checkpoint, no farewell; nobody else is started again."""
    random = Random(SEED)
    settings: Kafka | None = request.getfixturevalue("kafka").settings() if kind == "kafka" else None
    with ExitStack() as servers:
        durable = ["--durable", "--dir", f"{open_folder}/server"]
        said = servers.enter_context(started(postgres_script, *durable))
        port = said["url"].rpartition(":")[2].partition("/")[0]
        with log_at(said["url"], SEED, settings) as log:
            Troupe(log).start_all()
            for _ in range(ROUNDS):
                writer = log.write(FACTS_PER_KILL, random.randrange(10**6)).start()
                log.finish(log.write(random.randint(20, 80), random.randrange(10**6)).start())
                end(int(said["pid"]), signal.SIGQUIT)
                said = servers.enter_context(started(postgres_script, *durable, "--port", port))
                log.finish(writer)
            assert log.verify() == ""
