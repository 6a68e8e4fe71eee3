"""A member of a consumer's group: Kafka shares out the partitions, and the consumer's database says where each one stands."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError

from parvis_kit.events.consumer import Behind
from parvis_kit.events.kafka.client import give_up, gone_when_away, options
from parvis_kit.events.kafka.producer import say
from parvis_kit.events.kafka.wire import decode, partition_name, partition_parts
from parvis_kit.events.ports import Batch, Gone, Record
from parvis_kit.problems import Unavailable
from parvis_kit.settings import Kafka

FETCH_MAX = 500
"""Facts of one transaction: more makes it long and saves nothing."""
FETCH_BYTES_MAX = 8 * 2**20
LOOK_SECONDS = 1.0
"""How long a quiet member waits before it looks whether partitions were shared out anew."""
QUIET_SECONDS = 5.0
"""A partition that says nothing shows where it stands this often, or a database restored from a backup would go unnoticed."""
SILENT_SECONDS_MAX = 15.0
JOIN_SECONDS_MAX = 30.0
HEARTBEATS_A_SESSION = 4
REPORT_SECONDS_MAX = 2.0

Stands = Callable[[], Awaitable[Mapping[str, int]]]
"""Where the consumer stands, by partition, as its database has it."""


def record_of(prefix: str, record: ConsumerRecord) -> Record:
    topic = record.topic.removeprefix(prefix)
    partition = partition_name(topic, record.partition)
    place = f"{partition}@{record.offset}"
    return Record(partition, record.offset, decode(topic, place, record.key, record.value, record.headers, record.timestamp))


class Anew(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes that partitions were shared out; whatever has to be awaited then would race with the fetching of their records."""

    def __init__(self) -> None:
        self.assigned = False

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Whoever takes them over finds in the database how far they came."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.assigned = True


class KafkaSource:
    """The Source. Positions are this member's own: the group's offsets are a courtesy that nothing rests on."""

    def __init__(self, kafka: Kafka, consumer: str, topics: Sequence[str], stands: Stands, session_seconds: float) -> None:
        self.kafka, self.consumer, self.stands, self.session_seconds = kafka, consumer, stands, session_seconds
        self.topics = [kafka.kafka_prefix + topic for topic in topics]
        self.anew = Anew()
        self.member: AIOKafkaConsumer | None = None
        self.positions: dict[TopicPartition, int] = {}
        self.beginnings: dict[TopicPartition, int] = {}
        self.heard_at: dict[TopicPartition, float] = {}
        self.joined_at = 0.0

    # the port

    async def fetch(self) -> Sequence[Batch]:
        try:
            return await self._fetch()
        except Unavailable as away:  # the database: nothing is wrong with the group
            raise Gone(str(away.__cause__ or away)) from away
        except Gone as gone:
            say(self.consumer, gone)
            await self.close()
            raise

    async def report(self, offsets: Mapping[str, int]) -> None:
        mine = {place: offset for name, offset in offsets.items() if (place := self._place(name)) in self.positions}
        if self.member is None or not mine:
            return
        with gone_when_away("offsets cannot be reported"):
            async with asyncio.timeout(REPORT_SECONDS_MAX):
                await self.member.commit(mine)

    def seek(self, partition: str, offset: int) -> None:
        place = self._place(partition)
        if self.member is None or place not in self.positions:
            return
        self.positions[place] = max(offset, self.beginnings.get(place, 0))
        with suppress(IllegalStateError):  # no longer this member's
            self.member.seek(place, self.positions[place])

    # inside

    async def _fetch(self) -> Sequence[Batch]:
        member = self.member or await self._join()
        if self.anew.assigned:
            await self._take_up(member)
        try:
            with gone_when_away(f"{self.consumer} cannot read"):
                fetched = await member.getmany(timeout_ms=int(LOOK_SECONDS * 1000), max_records=FETCH_MAX)
        except Gone as gone:
            if isinstance(gone.__cause__, OffsetOutOfRangeError):
                await self._return_to_the_log(member, gone.__cause__)
                return ()
            if isinstance(gone.__cause__, NoOffsetForPartitionError):  # partitions came that are not taken up yet
                self.anew.assigned = True
                return ()
            raise
        if self.anew.assigned:
            return ()  # what came may be of a position that is not ours; it comes again
        return [*self._batches(member, fetched), *await self._quiet(member, fetched)]

    async def _join(self) -> AIOKafkaConsumer:
        session = int(self.session_seconds * 1000)
        member = AIOKafkaConsumer(
            **options(self.kafka, self.consumer),
            group_id=f"{self.kafka.kafka_prefix}parvis.{self.consumer}",
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=session,
            heartbeat_interval_ms=session // HEARTBEATS_A_SESSION,
            fetch_max_bytes=FETCH_BYTES_MAX,
        )
        member.subscribe(self.topics, listener=self.anew)
        self.member = member
        with gone_when_away(f"{self.consumer} cannot join its group at {self.kafka.kafka_bootstrap_servers}"):
            async with asyncio.timeout(JOIN_SECONDS_MAX):
                await member.start()
        self.joined_at = time.time()
        return member

    async def _take_up(self, member: AIOKafkaConsumer) -> None:
        """Begin where the database stands, in each partition that is ours now."""
        self.anew.assigned = False
        try:
            assigned, stands = member.assignment(), await self.stands()
            with gone_when_away(f"{self.consumer} cannot see where the log begins"):
                self.beginnings = dict(await member.beginning_offsets(assigned)) if assigned else {}
        except (Gone, Unavailable):
            self.anew.assigned = True
            raise
        self.positions, self.heard_at = {}, {}
        for place in assigned:
            self.positions[place] = max(stands.get(self._name(place), 0), self.beginnings[place])
            with suppress(IllegalStateError):  # they were shared out again meanwhile, and are taken up again
                member.seek(place, self.positions[place])

    async def _return_to_the_log(self, member: AIOKafkaConsumer, error: OffsetOutOfRangeError) -> None:
        """Retention has passed us, or the log was made anew. Raises Behind when it is shorter than what was read of it."""
        places = [place for place in error.args[0] if place in self.positions]
        with gone_when_away(f"{self.consumer} cannot see where the log begins and ends"):
            self.beginnings |= await member.beginning_offsets(places)
            ends = await member.end_offsets(places)
        for place in places:
            if self.positions[place] > ends[place]:
                self.anew.assigned = True  # the database may be told meanwhile where to go on
                raise Behind(
                    f"{self.consumer} stands at {self.positions[place]} of {self._name(place)}, which ends at {ends[place]}: "
                    "the topic was made anew, or has lost its end"
                )
            self.seek(self._name(place), self.positions[place])

    def _batches(self, member: AIOKafkaConsumer, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[Batch]:
        batches = []
        now = time.monotonic()
        for place, records in fetched.items():
            start, self.positions[place], self.heard_at[place] = self.positions[place], records[-1].offset + 1, now
            batches.append(self._batch(member, place, start, [record_of(self.kafka.kafka_prefix, record) for record in records]))
        return batches

    async def _quiet(self, member: AIOKafkaConsumer, fetched: Mapping[TopicPartition, Any]) -> list[Batch]:
        batches = []
        now = time.monotonic()
        self._refuse_silence(member)
        for place in self.positions:
            if place not in fetched and now - self.heard_at.get(place, 0) >= QUIET_SECONDS:
                start, self.heard_at[place] = self.positions[place], now
                with suppress(IllegalStateError):  # a compacted stretch was passed, in which nothing was left
                    self.positions[place] = max(start, await member.position(place))
                batches.append(self._batch(member, place, start, ()))
        return batches

    def _refuse_silence(self, member: AIOKafkaConsumer) -> None:
        """Kafka answers every half second, be it that there is nothing. Its library tries again for ever, and says so only in its logs."""
        heard = [member.last_poll_timestamp(place) or 0 for place in self.positions if place in member.assignment()]
        if heard and time.time() - max(self.joined_at, max(heard) / 1000) > SILENT_SECONDS_MAX:
            raise Gone(f"Kafka at {self.kafka.kafka_bootstrap_servers} says nothing")

    def _batch(self, member: AIOKafkaConsumer, place: TopicPartition, start: int, records: Sequence[Record]) -> Batch:
        known = place in member.assignment()
        end = member.highwater(place) if known else None
        at_end = end is not None and self.positions[place] >= end
        return Batch(self._name(place), start, self.positions[place], records, self.beginnings[place], at_end)

    def _name(self, place: TopicPartition) -> str:
        return partition_name(place.topic.removeprefix(self.kafka.kafka_prefix), place.partition)

    def _place(self, name: str) -> TopicPartition:
        topic, number = partition_parts(name)
        return TopicPartition(self.kafka.kafka_prefix + topic, number)

    async def close(self) -> None:
        """Leave the group, so that nobody waits for this member."""
        if self.member is None:
            return
        member, self.member, self.positions = self.member, None, {}
        await give_up(member.stop())


@asynccontextmanager
async def open_source(
    kafka: Kafka, consumer: str, topics: Sequence[str], stands: Stands, session_seconds: float
) -> AsyncIterator[KafkaSource]:
    source = KafkaSource(kafka, consumer, topics, stands, session_seconds)
    try:
        yield source
    finally:
        await source.close()
