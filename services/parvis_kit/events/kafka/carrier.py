"""Who carries a service's facts to Kafka: the leader of its relay, with a producer, and a note of how far it has come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from parvis_kit.events.kafka.outbox import LIFE, PostgresOutbox
from parvis_kit.events.kafka.producer import KafkaProducer, say
from parvis_kit.events.kafka.reading import open_reading
from parvis_kit.events.kafka.undone import find_in, topics_said_by
from parvis_kit.events.ports import Gone
from parvis_kit.events.postgres_leader import Leader, gone_when_away, open_leader
from parvis_kit.events.relay import BrokerCarrier
from parvis_kit.settings import Kafka

SEND_SHARE = 0.75
"""Of the lease. As long as may be: a producer that is not given up tries again without duplicates, a new one cannot know what arrived."""


class KafkaCarrier(BrokerCarrier):
    """The leader of one service's relay. Only who leads has a producer."""

    outbox: PostgresOutbox
    producer: KafkaProducer

    def __init__(self, leader: Leader, producer: KafkaProducer, lease_seconds: float) -> None:
        outbox = PostgresOutbox(leader, producer.partition_of, producer.reached)
        super().__init__(outbox, producer, send_seconds_max=SEND_SHARE * lease_seconds)
        self.leader = leader

    async def lead(self) -> bool:
        leads = await super().lead()
        if leads:
            await self.producer.start()
            await self._take_up()
        return leads

    async def _take_up(self) -> None:
        """Whatever lies in a partition that no relay of ours has noted a position of is ours, up to now: nobody else carries.

        Raises Gone where the log tells what this database does not know: carried on, nobody could tell its facts from those of a life
        that is over.
        """
        service, kafka = self.leader.service, self.producer.kafka
        noted, life = await self.outbox.noted_before()
        if noted.get(LIFE) == life:  # nobody has restored it since the last one that led: this is done in no time after a kill
            return
        there = await self.producer.topics()
        topics = [topic for topic in topics_said_by(service) if topic in there]
        async with open_reading(kafka, service, {service: topics}) as reading:
            ends = await reading.ends()
            ahead = {partition: noted[partition] for partition, end in ends.items() if noted.get(partition, end) < end}
            if ahead:
                with gone_when_away():
                    waiting = await self.outbox.waiting()
                if lost := [
                    one for partition, ours in ahead.items() for one in await find_in(reading, partition, ours, ends[partition], waiting)
                ]:
                    raise Gone(
                        f"the log tells of {len(lost)} facts that this database does not know: was it restored? Nothing is carried until "
                        "`parvis doctor --after-restore` has put that right"
                    )
        self.producer.reached |= {partition: end for partition, end in ends.items() if partition not in noted} | {LIFE: life}
        with gone_when_away():
            await self.outbox.note()


@asynccontextmanager
async def open_carrier(kafka: Kafka, url: str, service: str, lease_seconds: float) -> AsyncIterator[KafkaCarrier]:
    """One connection, one try at leading. Raises Gone when the database or Kafka is away."""
    producer = KafkaProducer(kafka, service)
    try:
        async with open_leader(url, service, lease_seconds, synchronous_commit="off") as leader:
            try:
                yield KafkaCarrier(leader, producer, lease_seconds)
            finally:
                await producer.throw_away()
    except (Gone, TimeoutError) as failure:
        say(f"the relay of {service}", failure)
        raise
