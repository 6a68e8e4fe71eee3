"""The log in SQL: a cursor for each publisher, over a file or a connection of the reader's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain

from sqlalchemy.exc import DBAPIError

from parvis_kit.db import Database
from parvis_kit.db.engines import sqlite_path
from parvis_kit.events.bell import Bell, log_of
from parvis_kit.events.log import Stand, Topics, Waiting
from parvis_kit.events.ports import Batch, Gone
from parvis_kit.events.relay import RELAY_BATCH_MAX, Carrier
from parvis_kit.events.sql_readers import (
    READ_SECONDS_MAX,
    Counted,
    Part,
    Reader,
    SearchedReader,
    SqliteReader,
    count_statement,
    parts_of,
)
from parvis_kit.ids import born_at
from parvis_kit.problems import Unavailable

FETCH_MAX = 500
"""Facts of one batch: more makes transactions long and saves nothing."""
LOOK_SECONDS = 1.0
"""How long a quiet reader waits before it looks by itself; a ring comes sooner."""
QUIET_SECONDS = 5.0
"""How often a consumer to which nothing comes is shown where it stands, or a database restored from a backup would go unnoticed."""

Start = tuple[Part, int]
"""What is read, and from where on."""


class SqlLog:
    """The log beside each service's own tables: nothing is needed but the database."""

    def __init__(self, url_of: Callable[[str], str], bell: Bell) -> None:
        """`url_of`: under which each service opens its own tables (on SQLite it names the file to read)."""
        self.url_of, self.bell = url_of, bell

    def shares_out(self) -> bool:
        return False

    def carriers(self, database: Database, lease_seconds: float) -> Callable[[], AbstractAsyncContextManager[Carrier]] | None:
        if database.is_sqlite:
            return None
        from parvis_kit.events.postgres_relay import open_carrier

        return partial(open_carrier, self.url_of(database.service), database.service, self.bell, RELAY_BATCH_MAX, lease_seconds)

    @asynccontextmanager
    async def source(self, database: Database, consumer: str, topics: Topics, lease_seconds: float) -> AsyncIterator["SqlSource"]:
        async with self.readers(database, topics) as readers:
            yield SqlSource(readers, parts_of(topics), self.bell)

    @asynccontextmanager
    async def reading(self, database: Database, topics: Topics) -> AsyncIterator["SqlReading"]:
        async with self.readers(database, topics) as readers:
            yield SqlReading(readers, topics)

    async def waiting(self, database: Database, asked: Sequence[Stand]) -> Sequence[Waiting]:
        starts = [[(part, stands.get(part.name, 0)) for part in parts_of(topics)] for topics, stands in asked]
        flat = list(chain.from_iterable(starts))
        counted = iter(await self._count_files(flat) if database.is_sqlite else await count_tables(database, flat))
        return [by_publisher([(part, next(counted)) for part, _ in mine]) for mine in starts]

    async def _count_files(self, starts: Sequence[Start]) -> list[Counted]:
        async with self.files({part.publisher for part, _ in starts}) as readers:
            return [await readers[part.publisher].waiting(part, start) for part, start in starts]

    @asynccontextmanager
    async def files(self, publishers: Iterable[str]) -> AsyncIterator[dict[str, "SqliteReader"]]:
        readers = {one: SqliteReader(one, sqlite_path(self.url_of(one))) for one in publishers}
        try:
            yield readers
        finally:
            for reader in readers.values():
                await reader.close()

    @asynccontextmanager
    async def readers(self, database: Database, topics: Topics) -> AsyncIterator[Mapping[str, SearchedReader]]:
        """A reader for each publisher's log: its file, or its table under this service's role."""
        if database.is_sqlite:
            async with self.files(topics) as files:
                yield files
            return
        from parvis_kit.events.postgres_readers import PostgresReaders

        connections = PostgresReaders(self.url_of(database.service))
        try:
            yield {one: connections.of(one) for one in topics}
        finally:
            await connections.close()


async def count_tables(database: Database, starts: Sequence[Start]) -> list[Counted]:
    """All in one statement, on a connection that the service has: the gauges ask again and again."""
    if not starts:
        return []
    query = count_statement(tuple(part.publisher for part, _ in starts))
    parameters = tuple(value for part, start in starts for value in (start, list(part.topics)))
    try:
        async with asyncio.timeout(READ_SECONDS_MAX), database.read() as conn:
            rows = await conn.run_sync(lambda sync: sync.exec_driver_sql(query, parameters).all())
    except TimeoutError:
        raise Gone(f"to count the logs that {database.service} reads takes too long") from None
    except (Unavailable, DBAPIError) as error:
        raise Gone(f"the logs that {database.service} reads cannot be counted: {error.__cause__ or error}") from error
    return [(count, oldest) for _, count, oldest in rows]


def by_publisher(counted: Iterable[tuple[Part, Counted]]) -> Waiting:
    found: dict[str, Counted] = {}
    for part, (count, oldest) in counted:
        before, since = found.get(part.publisher, (0, None))
        found[part.publisher] = before + count, min(filter(None, (oldest, since)), default=None)
    return found


class SqlReading:
    """Every part is a partition."""

    def __init__(self, readers: Mapping[str, SearchedReader], topics: Topics) -> None:
        self.readers, self.parts = readers, {part.name: part for part in parts_of(topics)}
        self.partitions = {part.name: part.publisher for part in self.parts.values()}

    async def read(self, partition: str, start: int, limit: int) -> Batch:
        part = self.parts[partition]
        return await self.readers[part.publisher].read(part, start, limit)

    async def since(self, moment: datetime) -> dict[str, int]:
        begins = {publisher: await first_since(reader, moment) for publisher, reader in self.readers.items()}
        return {part.name: begins[part.publisher] for part in self.parts.values()}

    async def is_at_end(self, stands: Mapping[str, int]) -> bool:
        return not any([(await self.read(one, stands.get(one, 0), 1)).records for one in self.partitions])

    async def lost(self, stands: Mapping[str, int]) -> dict[str, int]:
        found = {}
        for one in self.partitions:
            batch, at = await self.read(one, 0, 1), stands.get(one, 0)
            if at in batch.undone:
                found[one] = batch.undone.stop
            elif 0 < at < batch.beginning:
                found[one] = batch.beginning
        return found


async def first_since(reader: SearchedReader, moment: datetime) -> int:
    """The number from which on facts were published since then, in some forty looks at the log's key: farther and farther, then between.

    A fact's id says when it was published; `at` is what its author says, who may speak of last year.
    """

    async def is_before(number: int) -> bool:
        found = await reader.next_from(number)
        return found is not None and born_at(found[1]) < moment

    low, high = 0, 1
    while await is_before(high):
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        if await is_before(middle):
            low = middle + 1
        else:
            high = middle
    return low


class SqlSource:
    """The Source of one consumer: every part of what it listens to, a partition each."""

    def __init__(self, readers: Mapping[str, Reader], parts: Sequence[Part], bell: Bell, limit: int = FETCH_MAX) -> None:
        self.readers, self.bell, self.limit = readers, bell, limit
        self.parts = {part.name: part for part in sorted(parts, key=lambda part: part.name)}
        self.positions = dict.fromkeys(self.parts, 0)
        self.names = frozenset(log_of(part.publisher) for part in parts)
        self.rings_heard = -1
        self.at_end_until = float("-inf")
        """Until when whoever fetches knows that this is the end, by the loop's clock."""

    async def fetch(self) -> Sequence[Batch]:
        """What is new, or nothing; after a quiet while one empty batch per part. A log that is away holds up none of the others."""
        await self.bell.wait(self.names, self.rings_heard, LOOK_SECONDS)
        heard, now = self.bell.heard(self.names), asyncio.get_running_loop().time()
        batches, failure = [], None
        for part in self.parts.values():
            try:
                batches.append(await self.readers[part.publisher].read(part, self.positions[part.name], self.limit))
            except Gone as gone:
                failure = gone
        if failure is not None and not batches:
            raise failure
        moved = any(batch.next > self.positions[batch.partition] for batch in batches)
        for batch in batches:
            self.positions[batch.partition] = max(batch.next, self.positions[batch.partition])
        at_end = failure is None and all(batch.at_end for batch in batches)
        if failure is not None or at_end:
            self.rings_heard = heard  # nothing more until it rings again, or a second has passed
        if at_end and not moved and now < self.at_end_until:
            return ()
        self.at_end_until = now + QUIET_SECONDS if at_end else now
        return batches if failure is None else [replace(batch, at_end=False) for batch in batches]

    async def report(self, offsets: Mapping[str, int]) -> None:
        """The offsets lie in SQL already, where `lag` looks."""

    def seek(self, partition: str, offset: int) -> None:
        self.positions[partition] = offset
        self.rings_heard = -1
        self.at_end_until = float("-inf")
