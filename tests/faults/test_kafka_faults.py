"""Kafka under fire, a PostgreSQL at either end: killed at every window, frozen, doubled, away: nothing lost, disordered, doubled."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from parvis_kit.settings import Kafka
from parvis_kit.testing.harness import FACTS_PER_KILL, WAIT_SECONDS_MAX, Troupe, log_at
from parvis_kit.testing.kafka import KafkaServer
from parvis_kit.testing.servers import end, started

USUAL_LEASE_SECONDS = 10.0
"""Longer than three brokers need to find a new leader: a producer that waits for it sends nothing twice."""
pytestmark = pytest.mark.soak
ROUNDS = 20 if os.environ.get("SOAK") else 3
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
AGAIN = () if os.environ.get("SOAK") else ("--duplicates", "0.34")
"""A relay that was killed sends a claim again, and its claims grow with what waited while it was started anew: of three kills on a slow
machine that is more than a tenth. Twenty are held to it; and whoever sent all again would send each fact three times more."""
WINDOWS = [
    ("relay", "relay.before_claim"),
    ("relay", "relay.after_send"),
    ("relay", "relay.after_ack"),
    ("relay", "relay.after_delete"),
    ("consume", "consumer.before_commit"),
    ("consume", "consumer.after_commit"),
    ("consume", "consumer.before_report"),
]


@pytest.fixture
def settings(kafka: KafkaServer) -> Kafka:
    return kafka.settings()


@pytest.mark.parametrize(("part", "window"), WINDOWS)
def test_killed_at_any_window_nothing_is_lost_disordered_or_applied_twice(
    postgres_log: str, settings: Kafka, part: str, window: str
) -> None:
    with log_at(postgres_log, SEED, settings) as log:
        troupe, random = Troupe(log), Random(SEED)
        troupe.start_all()
        for _ in range(ROUNDS):
            troupe.kill_at(part, window, random)
        assert log.verify(WAIT_SECONDS_MAX, *AGAIN) == ""
        assert log.acknowledged >= FACTS_PER_KILL * ROUNDS


def test_without_fence_and_inbox_the_same_kills_go_wrong(postgres_log: str, settings: Kafka) -> None:
    """The control: were this to pass, the tests above would prove nothing."""
    with log_at(postgres_log, SEED, settings) as log:
        troupe, random = Troupe(log, ("--unprotected",)), Random(SEED)
        troupe.start_all()
        troupe.kill_at("consume", "probe.between_effects_and_offsets", random)
        assert "out of order or twice" in log.verify(seconds=5)


def test_clocks_that_are_set_back_by_hours_disorder_nothing(postgres_log: str, settings: Kafka) -> None:
    with log_at(postgres_log, SEED, settings) as log:
        troupe, random = Troupe(log), Random(SEED)
        troupe.start_all()
        for _ in range(ROUNDS):
            troupe.set_clocks_back(random)
        assert log.verify() == ""
        assert log.acknowledged >= 2 * FACTS_PER_KILL * ROUNDS


def test_two_relays_at_once_disorder_nothing(postgres_log: str, settings: Kafka) -> None:
    with log_at(postgres_log, SEED, settings) as log:
        troupe = Troupe(log)
        troupe.start_all()
        log.part("relay").start().wait_ready()
        log.finish(log.write(FACTS_PER_KILL, SEED, rate=1000).start())
        assert log.verify() == ""


def test_a_relay_frozen_past_its_lease_is_replaced_and_harmless_when_it_thaws(postgres_log: str, settings: Kafka) -> None:
    with log_at(postgres_log, SEED, settings) as log:
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


def test_a_consumer_frozen_past_its_session_and_thawed_changes_nothing(postgres_log: str, settings: Kafka) -> None:
    with log_at(postgres_log, SEED, settings) as log:
        troupe = Troupe(log)
        troupe.start_all()
        frozen = troupe.start("consume", "consumer.before_commit:sleep:0.2")
        writer = log.write(FACTS_PER_KILL, SEED).start()
        log.finish(log.write(40, SEED + 1).start())
        frozen.signal(signal.SIGSTOP)
        other = log.part("consume").start().wait_ready()
        log.finish(writer)
        assert log.verify() == "", "the other one takes over"
        frozen.signal(signal.SIGCONT)
        log.finish(log.write(FACTS_PER_KILL, SEED + 2).start())
        assert log.verify() == ""
        assert not other.is_dead() and not frozen.is_dead()


def test_members_that_come_and_go_apply_each_fact_once(postgres_log: str, settings: Kafka) -> None:
    """A storm of rebalances: every one of them hands partitions over in the middle of a stream."""
    with log_at(postgres_log, SEED, settings) as log:
        troupe, random = Troupe(log), Random(SEED)
        troupe.start_all()
        writer = log.write(4 * FACTS_PER_KILL, SEED).start()
        members = [log.part("consume").start().wait_ready() for _ in range(2)]
        while not writer.is_dead():
            member = random.choice(members)
            member.signal(random.choice([signal.SIGKILL, signal.SIGTERM]))
            member.running.wait()
            member.start().wait_ready()
        log.finish(writer)
        assert log.verify() == ""


def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    postgres_log: str, kafka_script: Path, kafka: KafkaServer, open_folder: Path
) -> None:
    random = Random(SEED)
    place = ["--dir", str(open_folder / "server")]
    with ExitStack() as servers:
        said = servers.enter_context(started(kafka_script, *place))
        port = said["bootstrap"].rpartition(":")[2]
        with log_at(postgres_log, SEED, KafkaServer(said["bootstrap"]).settings(), USUAL_LEASE_SECONDS) as log:
            Troupe(log).start_all()
            for _ in range(ROUNDS):
                writer = log.write(FACTS_PER_KILL, random.randrange(10**6)).start()
                log.finish(log.write(random.randint(20, 80), random.randrange(10**6)).start())
                end(int(said["pid"]))
                log.finish(log.write(random.randint(20, 80), random.randrange(10**6)).start())
                said = servers.enter_context(started(kafka_script, *place, "--port", port))
                log.finish(writer)
            assert log.verify() == ""


def test_of_three_brokers_one_may_be_killed_and_come_back(postgres_log: str, kafka_script: Path, kafka: KafkaServer) -> None:
    """Kept three times, acknowledged by two."""
    random = Random(SEED)
    with started(kafka_script, "--brokers", "3") as said:
        nodes = said["pid"].split(",")
        settings = KafkaServer(said["bootstrap"]).settings()
        with log_at(postgres_log, SEED, settings, USUAL_LEASE_SECONDS) as log:
            Troupe(log).start_all()
            for _ in range(ROUNDS):
                victim = random.randrange(3)
                writer = log.write(FACTS_PER_KILL, random.randrange(10**6)).start()
                log.finish(log.write(random.randint(20, 80), random.randrange(10**6)).start())
                end(int(nodes[victim]))
                log.finish(writer)
                assert log.verify() == "", "two of three go on"
                nodes[victim] = str(log.run(Path(said["dir"]) / f"node-{victim + 1}.sh"))
            log.finish(log.write(FACTS_PER_KILL, SEED).start())
            assert log.verify() == ""
