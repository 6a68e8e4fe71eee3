"""The log on Kafka, as `events.log` describes logs: outboxes in PostgreSQL, facts in topics, positions in the consumers' databases."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from parvis_kit.db import Database
from parvis_kit.events.bell import Bell
from parvis_kit.events.kafka.carrier import open_carrier
from parvis_kit.events.kafka.reading import KafkaReading, open_reading
from parvis_kit.events.kafka.source import KafkaSource, open_source
from parvis_kit.events.ledger import stands_of
from parvis_kit.events.log import Stand, Topics, Waiting
from parvis_kit.events.relay import Carrier
from parvis_kit.settings import Kafka


class KafkaLog:
    """One for a process."""

    def __init__(self, kafka: Kafka, url_of: Callable[[str], str], bell: Bell) -> None:
        """`url_of`: the database URL under which each service opens its own tables, its outbox among them."""
        self.kafka, self.url_of, self.bell = kafka, url_of, bell

    def shares_out(self) -> bool:
        return True

    def carriers(self, database: Database, lease_seconds: float) -> Callable[[], AbstractAsyncContextManager[Carrier]] | None:
        return partial(open_carrier, self.kafka, self.url_of(database.service), database.service, lease_seconds)

    def source(self, database: Database, consumer: str, topics: Topics, lease_seconds: float) -> AbstractAsyncContextManager[KafkaSource]:
        """A frozen member keeps its partitions for as long as a frozen process keeps its locks."""
        stands = partial(stands_of, database, consumer)
        return open_source(self.kafka, consumer, [topic for mine in topics.values() for topic in mine], stands, lease_seconds)

    def reading(self, database: Database, topics: Topics) -> AbstractAsyncContextManager[KafkaReading]:
        return open_reading(self.kafka, database.service, topics)

    async def waiting(self, database: Database, asked: Sequence[Stand]) -> Sequence[Waiting]:
        together: dict[str, set[str]] = {}
        for topics, _ in asked:
            for publisher, mine in topics.items():
                together.setdefault(publisher, set()).update(mine)
        if not together:
            return [{} for _ in asked]
        async with self.reading(database, {publisher: sorted(mine) for publisher, mine in together.items()}) as reading:
            return await reading.waiting(asked)
