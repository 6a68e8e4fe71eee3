"""A real Kafka for tests: topics of their own for each, so that none waits for another's to be gone."""

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from parvis_kit.events.kafka import topics
from parvis_kit.settings import Kafka

PARTITIONS = 3


@dataclass(slots=True)
class KafkaServer:
    """A cluster whose names begin anew for whoever asks."""

    bootstrap: str
    replicas: int = 1
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def settings(self) -> Kafka:
        """With a prefix that nobody has had."""
        return Kafka(
            kafka_bootstrap_servers=self.bootstrap,
            kafka_prefix=f"t{os.getpid()}-{next(self.numbers)}.",
            kafka_partitions=PARTITIONS,
            kafka_replication_factor=self.replicas,
        )


async def make_topics(kafka: Kafka, names: Iterable[str]) -> None:
    await topics.make(kafka, names)


async def forget_before(kafka: Kafka, topic: str, offsets: dict[int, int]) -> None:
    """As retention does it: what lies before these offsets (by partition number) is gone."""
    async with topics.admin(kafka) as client:
        name = kafka.kafka_prefix + topic
        await client.delete_records({TopicPartition(name, number): RecordsToDelete(offset) for number, offset in offsets.items()})
