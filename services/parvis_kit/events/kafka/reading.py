"""A look at Kafka that belongs to no group: what operators see, and how far each consumer is behind."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition

from parvis_kit.events.kafka.client import give_up, gone_when_away, options
from parvis_kit.events.kafka.source import FETCH_BYTES_MAX, record_of
from parvis_kit.events.kafka.wire import named, partition_name, partition_parts
from parvis_kit.events.log import Stand, Topics, Waiting
from parvis_kit.events.ports import Batch, Gone
from parvis_kit.settings import Kafka

READ_SECONDS_MAX = 5.0
"""For what is known to be there."""
WAIT_MILLISECONDS_MAX = 20
"""For what is not: the next question waits on the same line."""


class KafkaReading:
    """The partitions of some topics, one read at a time."""

    def __init__(self, kafka: Kafka, client: AIOKafkaConsumer, topics: Topics) -> None:
        self.kafka, self.client = kafka, client
        self.partitions = {name: publisher for publisher, mine in topics.items() for name in named(mine, kafka.kafka_partitions)}

    async def read(self, partition: str, start: int, limit: int) -> Batch:
        with gone_when_away(f"{partition} cannot be read"):
            beginning, end = (await self._spans([partition]))[partition]
            position = max(start, beginning)
            if position >= end:
                return Batch(partition, start, position, (), beginning, at_end=True)
            place = self._place(partition)
            self.client.assign([place])
            self.client.seek(place, position)
            fetched = await self.client.getmany(place, timeout_ms=int(READ_SECONDS_MAX * 1000), max_records=limit)
            records = [record_of(self.kafka.kafka_prefix, record) for record in fetched.get(place, ())]
            after = max(await self.client.position(place), records[-1].offset + 1 if records else position)
            self.client.unsubscribe()
        if not records and after == position:
            raise Gone(f"{partition} holds something at {position}, and does not hand it out")
        return Batch(partition, start, after, records, beginning, after >= end)

    async def waiting(self, asked: Sequence[Stand]) -> list[Waiting]:
        """For each consumer. On a compacted topic an upper bound: offsets are counted, not the facts that compaction has left."""
        with gone_when_away("the log's ends cannot be read"):
            spans = await self._spans(self.partitions)
        return [await self._waiting(topics, stands, spans) for topics, stands in asked]

    async def _waiting(self, topics: Topics, stands: Mapping[str, int], spans: Mapping[str, tuple[int, int]]) -> Waiting:
        facts: dict[str, int] = dict.fromkeys(topics, 0)
        oldest: dict[str, list[datetime]] = defaultdict(list)
        for publisher, mine in topics.items():
            for partition in named(mine, self.kafka.kafka_partitions):
                beginning, end = spans[partition]
                start = max(stands.get(partition, 0), beginning)
                if start < end:
                    facts[publisher] += end - start
                    oldest[publisher] += [record.fact.at for record in (await self.read(partition, start, 1)).records]
        return {publisher: (facts[publisher], min(oldest[publisher], default=None)) for publisher in topics}

    async def since(self, moment: datetime) -> dict[str, int]:
        """By the broker's clock, which is what its topics keep."""
        milliseconds = max(0, int(moment.timestamp() * 1000))
        with gone_when_away("the log cannot be searched"):
            places = [self._place(partition) for partition in self.partitions]
            found = await self.client.offsets_for_times(dict.fromkeys(places, milliseconds))
            ends = await self.client.end_offsets([place for place in places if found[place] is None])
        return {self._name(place): ends[place] if (at := found[place]) is None else at.offset for place in places}

    async def is_at_end(self, stands: Mapping[str, int]) -> bool:
        with gone_when_away("the log's ends cannot be read"):
            spans = await self._spans(self.partitions)
        return all(end == beginning or stands.get(one, 0) >= end for one, (beginning, end) in spans.items())

    async def lost(self, stands: Mapping[str, int]) -> dict[str, int]:
        with gone_when_away("the log's ends cannot be read"):
            spans = await self._spans(self.partitions)
        mine = {partition: stands[partition] for partition in self.partitions if stands.get(partition, 0) > 0}
        return {one: spans[one][0] for one, stand in mine.items() if not spans[one][0] <= stand <= spans[one][1]}

    async def ends(self) -> dict[str, int]:
        with gone_when_away("the log's ends cannot be read"):
            return {partition: span[1] for partition, span in (await self._spans(self.partitions)).items()}

    async def _spans(self, partitions: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Where each begins and ends."""
        places = [self._place(partition) for partition in partitions]
        begins, ends = await self.client.beginning_offsets(places), await self.client.end_offsets(places)
        return {self._name(place): (begins[place], ends[place]) for place in places}

    def _place(self, partition: str) -> TopicPartition:
        topic, number = partition_parts(partition)
        return TopicPartition(self.kafka.kafka_prefix + topic, number)

    def _name(self, place: TopicPartition) -> str:
        return partition_name(place.topic.removeprefix(self.kafka.kafka_prefix), place.partition)


@asynccontextmanager
async def open_reading(kafka: Kafka, service: str, topics: Topics) -> AsyncIterator[KafkaReading]:
    client = AIOKafkaConsumer(
        **options(kafka, f"look-{service}"),
        enable_auto_commit=False,
        fetch_max_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=WAIT_MILLISECONDS_MAX,
    )
    try:
        with gone_when_away(f"Kafka at {kafka.kafka_bootstrap_servers} does not answer"):
            await client.start()
        yield KafkaReading(kafka, client, topics)
    finally:
        await give_up(client.stop())
