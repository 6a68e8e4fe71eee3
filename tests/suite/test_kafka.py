"""A suite whose facts go through Kafka: its topics are made, compared, and said to be wrong before anything rests on them."""

import asyncio

import pytest
from parvis_kit.settings import Kafka
from parvis_kit.testing.kafka import records_of

from .conftest import Suite
from .test_up import asked, eventually, running

TOPIC = "parvis.lantern.wick"


@pytest.fixture
def database_kind() -> str:
    return "kafka"


@pytest.fixture
def on_kafka(anywhere: Suite) -> Suite:
    return anywhere


def settings_of(suite: Suite) -> Kafka:
    return Kafka.read(suite.environ)


def test_up_makes_its_topics_and_carries_facts_through_them(on_kafka: Suite) -> None:
    with running(on_kafka, "up") as (process, base):
        eventually("it is ready", lambda: asked(f"{base}/readyz")[0] == 200)
        assert asked(f"{base}/api/lantern/v1/wicks/dry", "POST")[0] == 201
        eventually("the fact has its effect", lambda: asked(f"{base}/api/lantern/v1/light")[1] == {"wicks": ["dry"]})
        [record] = asyncio.run(records_of(settings_of(on_kafka), TOPIC))
        assert record.key == b"dry" and dict(record.headers)["ce_type"] == b"lantern.wick.lit.v1"
        lag = on_kafka("events", "lag").output
        assert "lantern.times@1" in lag and lag.count("0 facts") == 3
        process.terminate()
        assert process.wait(30) == 0


def test_migrate_tells_of_each_topic_and_then_has_nothing_to_do(on_kafka: Suite) -> None:
    said = on_kafka("migrate")
    assert said.exit_code == 0, said.output
    assert said.output == f"lantern: The lantern.\nkafka: topic {TOPIC}\n2 steps done\n"
    assert on_kafka("migrate").output == "nothing to do: all tables are at this version\n"
    found = on_kafka("doctor")
    assert "ok    its topics are as the settings say" in found.output, found.output


def test_other_partitions_than_the_settings_say_are_refused_by_whatever_starts(on_kafka: Suite) -> None:
    on_kafka("migrate")
    asked_for = {"PARVIS_KAFKA_PARTITIONS": "7"}
    for command in (["serve", "lantern"], ["migrate"], ["up"]):
        result = on_kafka(*command, **asked_for)
        assert result.exit_code == 2 and "has 3 partitions and PARVIS_KAFKA_PARTITIONS is 7: set it to 3" in result.output
    found = on_kafka("doctor", **asked_for)
    assert found.exit_code == 1 and "has 3 partitions" in found.output


def test_a_service_does_not_serve_without_its_topics(on_kafka: Suite) -> None:
    on_kafka("migrate")
    result = on_kafka("serve", "lantern", PARVIS_KAFKA_PREFIX="elsewhere.")
    assert result.exit_code == 2 and f"topic elsewhere.{TOPIC} is missing: run `parvis migrate`" in result.output
    found = on_kafka("doctor", PARVIS_KAFKA_PREFIX="elsewhere.")
    assert found.exit_code == 1 and f"WRONG topic elsewhere.{TOPIC} is missing: run `parvis migrate`" in found.output


def test_a_service_that_is_started_while_kafka_is_away_serves_and_its_facts_wait(on_kafka: Suite) -> None:
    on_kafka("migrate")
    on_kafka.environ["PARVIS_KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    with running(on_kafka, "serve", "lantern") as (_, base):
        assert asked(f"{base}/api/lantern/v1/wicks/dry", "POST")[0] == 201
        assert asked(f"{base}/api/lantern/v1/light")[1] == {"wicks": []}, "nobody has heard of it"


def test_a_kafka_that_is_away_is_named_with_its_settings(on_kafka: Suite) -> None:
    away = {"PARVIS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    result = on_kafka("migrate", **away)
    assert result.exit_code == 2
    assert "Kafka at 127.0.0.1:1 does not answer" in result.output and "PARVIS_KAFKA_" in result.output
    assert "WRONG Kafka answers: Kafka at 127.0.0.1:1" in on_kafka("doctor", **away).output
