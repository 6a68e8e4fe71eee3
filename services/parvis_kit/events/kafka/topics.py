"""Topics as Parvis needs them: made once, by `parvis migrate`, and compared whenever something starts."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from parvis_kit.events.facts import is_state
from parvis_kit.events.kafka.client import gone_when_away, options
from parvis_kit.events.upkeep import FACTS_KEPT, STATES_SETTLE, TOMBSTONES_KEPT
from parvis_kit.settings import Kafka

MESSAGE_BYTES_MAX = 2**20
"""Of a batch: four facts of the greatest size, or three thousand ordinary ones."""
IN_SYNC_MIN = 2
"""Of three copies: one broker may be away and nothing acknowledged is lost when another one burns."""
SEEN_SECONDS_MAX = 30.0
"""Between the controller's word that a topic is made and the moment when the brokers show it: some milliseconds, seconds under load."""
LOOK_SECONDS = 0.05


class CannotMake(Exception):
    """Kafka refuses to make a topic; the message says why."""


@asynccontextmanager
async def admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """Raises Gone."""
    client = AIOKafkaAdminClient(**options(kafka, "migrate"))
    try:
        with gone_when_away(f"Kafka at {kafka.kafka_bootstrap_servers} does not answer"):
            await client.start()
            yield client
    finally:
        await client.close()


def configuration_of(topic: str, kafka: Kafka) -> dict[str, str]:
    """What is kept, and for how long. The broker's clock counts, so that a fact about last year is not deleted as it comes."""
    kept = {
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(IN_SYNC_MIN if kafka.kafka_replication_factor > IN_SYNC_MIN else 1),
        "unclean.leader.election.enable": "false",
    }
    if is_state(topic):
        compact = {"min.compaction.lag.ms": milliseconds(STATES_SETTLE), "delete.retention.ms": milliseconds(TOMBSTONES_KEPT)}
        return {**kept, "cleanup.policy": "compact", **compact}
    return {**kept, "cleanup.policy": "delete", "retention.ms": milliseconds(FACTS_KEPT), "retention.bytes": "-1"}


def falls_short(found: str, needed: str) -> bool:
    """Whether a topic may lose what it is trusted with, or refuse it. Of a size or a time, more than is needed was set on purpose."""
    if not needed.lstrip("-").isdecimal():
        return found != needed
    return _at_least(found) < _at_least(needed)


def _at_least(number: str) -> float:
    """-1 is without end."""
    return float("inf") if number == "-1" else float(number or 0)


def milliseconds(time: timedelta) -> str:
    return str(int(time.total_seconds() * 1000))


async def partition_counts(client: AIOKafkaAdminClient) -> dict[str, int]:
    """Every topic of the cluster and how many partitions it has."""
    return {one["topic"]: len(one["partitions"]) for one in await client.describe_topics() if not one["error_code"]}


async def make(kafka: Kafka, topics: Iterable[str]) -> list[str]:
    """Make those that are missing, and say which, once they can be used. What is there stays as it is. Raises CannotMake, or Gone."""
    async with admin(kafka) as client:
        there = await partition_counts(client)
        missing = [topic for topic in sorted(topics) if kafka.kafka_prefix + topic not in there]
        if missing:
            answer = await client.create_topics([_new(topic, kafka) for topic in missing])
            for name, code, why in answer.topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):
                    raise CannotMake(f"topic {name}: {why or for_code(code).__name__}")
            await _shown(client, {kafka.kafka_prefix + topic for topic in missing})
    return missing


async def _shown(client: AIOKafkaAdminClient, names: set[str]) -> None:
    """The controller answers before the brokers have heard: whoever looked at once was told that what is made is missing."""
    until = asyncio.get_running_loop().time() + SEEN_SECONDS_MAX
    while unseen := names - (await partition_counts(client)).keys():
        if asyncio.get_running_loop().time() > until:
            raise CannotMake(f"Kafka has made {', '.join(sorted(unseen))} and shows no leader: look at its controller, then run it again")
        await asyncio.sleep(LOOK_SECONDS)


def _new(topic: str, kafka: Kafka) -> NewTopic:
    return NewTopic(
        kafka.kafka_prefix + topic, kafka.kafka_partitions, kafka.kafka_replication_factor, topic_configs=configuration_of(topic, kafka)
    )


async def wrong(kafka: Kafka, topics: Iterable[str]) -> list[str]:
    """What stands in the way of using these topics, each with what to do; nothing when all is well. Raises Gone."""
    asked = sorted(topics)
    async with admin(kafka) as client:
        there = await partition_counts(client)
        found = await _configurations(client, kafka, [topic for topic in asked if kafka.kafka_prefix + topic in there])
    return [said for topic in asked if (said := _wrong_with(kafka, topic, there, found))]


async def _configurations(client: AIOKafkaAdminClient, kafka: Kafka, topics: Iterable[str]) -> dict[str, dict[str, str] | str]:
    """Of each topic, by its whole name: what is set, as far as it is Parvis's; or why Kafka does not say it."""
    wanted = [ConfigResource(ConfigResourceType.TOPIC, kafka.kafka_prefix + one, configuration_of(one, kafka)) for one in topics]
    found: dict[str, dict[str, str] | str] = {}
    for answer in await client.describe_configs(wanted) if wanted else ():
        for code, why, _, name, entries in answer.resources:
            if code and (error := for_code(code)).retriable:
                raise error(f"the configuration of {name}: {why or error.__name__}")
            found[name] = why or for_code(code).__name__ if code else {entry[0]: entry[1] or "" for entry in entries}
    return found


def _wrong_with(kafka: Kafka, topic: str, there: Mapping[str, int], found: Mapping[str, dict[str, str] | str]) -> str:
    name = kafka.kafka_prefix + topic
    if name not in there:
        return f"topic {name} is missing: run `parvis migrate`"
    if there[name] != kafka.kafka_partitions:
        return (
            f"topic {name} has {there[name]} partitions and PARVIS_KAFKA_PARTITIONS is {kafka.kafka_partitions}: set it to {there[name]}; "
            "keys would lose their order if the number changed"
        )
    kept = found[name]
    if isinstance(kept, str):
        return f"topic {name} does not show its configuration ({kept}): give {kafka.kafka_username or 'Parvis'} the right DescribeConfigs"
    short = {one: needed for one, needed in configuration_of(topic, kafka).items() if falls_short(kept.get(one, ""), needed)}
    if not short:
        return ""
    return (
        f"topic {name} has {_written({one: kept.get(one, '') for one in short})}, and would not keep what it is given: run "
        f"`kafka-configs.sh --bootstrap-server {kafka.kafka_bootstrap_servers} --alter --entity-type topics --entity-name {name} "
        f"--add-config {_written(short)}`"
    )


def _written(configuration: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in configuration.items())
