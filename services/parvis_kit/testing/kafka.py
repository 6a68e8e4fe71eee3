"""A real Kafka for tests: topics of their own for each, so that none waits for another's to be gone."""

import asyncio
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import RecordsToDelete

from parvis_kit.events.kafka import topics
from parvis_kit.events.kafka.client import options
from parvis_kit.settings import Kafka

PARTITIONS = 3
SAID = {
    f"PARVIS_{field.upper()}": field
    for field in ("kafka_bootstrap_servers", "kafka_prefix", "kafka_partitions", "kafka_replication_factor")
}


@dataclass(slots=True)
class KafkaServer:
    """A cluster whose names begin anew for whoever asks."""

    bootstrap: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def settings(self, prefix: str = "") -> Kafka:
        """With this prefix, or one that nobody has had."""
        return Kafka(
            kafka_bootstrap_servers=self.bootstrap,
            kafka_prefix=prefix or f"t{os.getpid()}-{next(self.numbers)}.",
            kafka_partitions=PARTITIONS,
            kafka_replication_factor=self.bootstrap.count(",") + 1,
        )

    def environ(self) -> dict[str, str]:
        """The same, as a process is told."""
        return {name: str(getattr(settings, field)) for settings in [self.settings()] for name, field in SAID.items()}


async def make_topics(kafka: Kafka, names: Iterable[str]) -> None:
    await topics.make(kafka, names)


async def make_anew(kafka: Kafka, topic: str) -> None:
    """As somebody does it who deletes a topic and makes it again: its offsets begin at 0."""
    async with topics.admin(kafka) as client:
        await client.delete_topics([kafka.kafka_prefix + topic])
        while kafka.kafka_prefix + topic in await topics.partition_counts(client):  # noqa: ASYNC110 (Kafka tells nobody)
            await asyncio.sleep(0.05)
    await make_topics(kafka, [topic])


async def put(kafka: Kafka, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
    """Append a record by hand, as anybody may who has the right."""
    producer = AIOKafkaProducer(**options(kafka, "by-hand"))
    await producer.start()
    try:
        await producer.send_and_wait(kafka.kafka_prefix + topic, value, key=key, headers=list(headers))
    finally:
        await producer.stop()


async def records_of(kafka: Kafka, topic: str) -> list[ConsumerRecord]:
    """All that a topic holds, partition by partition."""
    client = AIOKafkaConsumer(**options(kafka, "by-hand"), enable_auto_commit=False)
    await client.start()
    found: list[ConsumerRecord] = []
    try:
        places = [TopicPartition(kafka.kafka_prefix + topic, number) for number in range(kafka.kafka_partitions)]
        begins, ends = await client.beginning_offsets(places), await client.end_offsets(places)
        for place in places:
            position = begins[place]
            client.assign([place])
            client.seek(place, position)
            while position < ends[place]:
                for record in (await client.getmany(place, timeout_ms=1000)).get(place, ()):
                    found.append(record)
                position = await client.position(place)
    finally:
        await client.stop()
    return found


async def forget_before(kafka: Kafka, topic: str, offsets: dict[int, int]) -> None:
    """As retention does it: what lies before these offsets (by partition number) is gone."""
    async with topics.admin(kafka) as client:
        name = kafka.kafka_prefix + topic
        await client.delete_records({TopicPartition(name, number): RecordsToDelete(offset) for number, offset in offsets.items()})
