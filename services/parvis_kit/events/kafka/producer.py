"""From the relay's hands into Kafka: one batch for each partition and claim, and a new producer after any failure."""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence

from aiokafka import AIOKafkaProducer

from parvis_kit.events.kafka.client import CLOSE_SECONDS_MAX, SAY_AGAIN_SECONDS, give_up, gone_when_away, options
from parvis_kit.events.kafka.topics import MESSAGE_BYTES_MAX
from parvis_kit.events.kafka.wire import Message, number_of, partition_name, partition_parts
from parvis_kit.events.ports import Gone
from parvis_kit.failpoints import reach
from parvis_kit.settings import Kafka

BATCH_BYTES_MAX = MESSAGE_BYTES_MAX - 4096
"""What Kafka counts against a topic's greatest message is the batch, with its frame."""
START_SECONDS_MAX = 5.0

log = logging.getLogger(__name__)
said: dict[str, float] = {}


class KafkaProducer:
    """The Producer: idempotent, and acknowledged by every replica in sync."""

    def __init__(self, kafka: Kafka, service: str) -> None:
        self.kafka, self.service = kafka, service
        self.producer: AIOKafkaProducer | None = None
        self.counts: dict[str, int] = {}
        """Partitions of each topic, read once: the number never changes."""
        self.reached: dict[str, int] = {}
        """Behind the last fact that each partition has acknowledged."""

    @property
    def started(self) -> AIOKafkaProducer:
        if self.producer is None:
            raise Gone("the producer is not started")
        return self.producer

    async def start(self) -> None:
        self.producer = AIOKafkaProducer(
            **options(self.kafka, f"relay-{self.service}"), enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES_MAX
        )
        with gone_when_away(f"Kafka at {self.kafka.kafka_bootstrap_servers} does not answer"):
            async with asyncio.timeout(START_SECONDS_MAX):
                await self.producer.start()

    async def partition_of(self, topic: str, key: str) -> str:
        if topic not in self.counts:
            self.counts = await self._read_counts()
        if topic not in self.counts:
            raise Gone(f"topic {self.kafka.kafka_prefix + topic} is missing, and no fact leaves: run `parvis migrate`")
        return partition_name(topic, number_of(key, self.counts[topic]))

    async def topics(self) -> Collection[str]:
        """That there are."""
        self.counts = self.counts or await self._read_counts()
        return self.counts

    async def _read_counts(self) -> dict[str, int]:
        prefix = self.kafka.kafka_prefix
        with gone_when_away("the topics of Kafka cannot be listed"):
            cluster = await self.started.client.fetch_all_metadata()
        names = [name for name in cluster.topics() if name.startswith(prefix)]
        return {name.removeprefix(prefix): len(cluster.partitions_for_topic(name) or ()) for name in names}

    async def send(self, partition: str, facts: Sequence[Message]) -> int:
        topic, number = partition_parts(partition)
        batch = self.started.create_batch()
        taken = 0
        for message in facts:
            if batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers) is None:
                break  # it is full; the rest comes with the next claim
            taken += 1
        batch.close()
        with gone_when_away(f"{partition} does not take facts"):
            sent = await self.started.send_batch(batch, self.kafka.kafka_prefix + topic, partition=number)
            await reach("relay.after_send")
            acknowledged = await sent
        if acknowledged.offset < 0:  # it has them, from an attempt whose answer was lost, and no longer knows where
            raise Gone(f"{partition} does not say where it has put facts")
        self.reached[partition] = acknowledged.offset + taken
        return taken

    async def throw_away(self) -> None:
        """Its stop() would go on sending what was given up, perhaps after the next producer has sent what follows."""
        if self.producer is None:
            return
        producer, self.producer = self.producer, None
        sender = producer._sender.sender_task
        if sender is not None:
            sender.cancel()
        await give_up(producer.client.close())
        if sender is not None:
            await asyncio.wait([sender], timeout=CLOSE_SECONDS_MAX)
        producer._closed = True


def say(who: str, failure: BaseException) -> None:
    """The cores try again without a word; whoever reads the logs should know why nothing moves."""
    if time.monotonic() - said.get(who, float("-inf")) >= SAY_AGAIN_SECONDS:
        said[who] = time.monotonic()
        log.warning("%s starts again: %s", who, str(failure) or type(failure).__name__)
