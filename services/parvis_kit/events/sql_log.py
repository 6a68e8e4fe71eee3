"""The log in SQL: a cursor for each publisher, over a file or a connection of the reader's own."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError

from parvis_kit.db import Database
from parvis_kit.db.connecting import opener
from parvis_kit.db.engines import open_read_only, sqlite_path
from parvis_kit.events.bell import Bell, log_of
from parvis_kit.events.facts import Envelope, is_state
from parvis_kit.events.log import Stand, Topics, Waiting
from parvis_kit.events.ports import Batch, Gone, Record
from parvis_kit.events.postgres_relay import open_carrier
from parvis_kit.events.relay import RELAY_BATCH_MAX, Carrier
from parvis_kit.events.resume import numbers_undone
from parvis_kit.ids import born_at
from parvis_kit.password_files import without_password_file
from parvis_kit.problems import Unavailable

FETCH_MAX = 500
"""Facts of one batch: more makes transactions long and saves nothing."""
LOOK_SECONDS = 1.0
"""How long a quiet reader waits before it looks by itself; a ring comes sooner."""
READ_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Part:
    """A partition of a reader's own: what it reads of one publisher's log in one order."""

    name: str
    publisher: str
    topics: Sequence[str]
    forgets: bool
    """Whether some of it may be gone before the log's beginning. Retention takes facts; the last state of each key stays, however old."""


def parts_of(topics: Topics) -> list[Part]:
    """One a publisher; two where both facts and states are read: whoever begins anew reads states from before the log's beginning, and has
    missed no fact in their midst."""
    found = []
    for publisher, wanted in topics.items():
        facts, states = [one for one in wanted if not is_state(one)], [one for one in wanted if is_state(one)]
        if facts and states:
            found += [Part(publisher, publisher, facts, True), Part(f"{publisher}.state", publisher, states, False)]
        else:
            found.append(Part(publisher, publisher, wanted, bool(facts)))
    return found


Start = tuple[Part, int]
"""What is read, and from where on."""
Counted = tuple[int, datetime | None]
"""How many facts, and when the oldest happened."""


class Reader(Protocol):
    """Reads the log of one publisher."""

    async def read(self, part: Part, start: int, limit: int) -> Batch:
        """Facts from `start` on. Raises Gone when the log cannot be read now."""

    async def close(self) -> None: ...


class SearchedReader(Reader, Protocol):
    """One whose log can be searched too."""

    async def next_from(self, start: int) -> tuple[int, UUID] | None:
        """The first fact from `start` on, of whatever topic: its number and its id."""


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
        readers = {
            publisher: SqliteReader(publisher, sqlite_path(self.url_of(publisher))) for publisher in {part.publisher for part, _ in starts}
        }
        try:
            return [await readers[part.publisher].waiting(part, start) for part, start in starts]
        finally:
            for reader in readers.values():
                await reader.close()

    @asynccontextmanager
    async def readers(self, database: Database, topics: Topics) -> AsyncIterator[dict[str, SearchedReader]]:
        """A reader for each publisher's log: its file, or its table under this service's role."""
        if database.is_sqlite:
            readers: dict[str, SearchedReader] = {one: SqliteReader(one, sqlite_path(self.url_of(one))) for one in topics}
            try:
                yield readers
            finally:
                for reader in readers.values():
                    await reader.close()
            return
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

    async def fetch(self) -> Sequence[Batch]:
        """What is new; after a quiet second one empty batch per part. A log that is away holds up none of the others."""
        await self.bell.wait(self.names, self.rings_heard, LOOK_SECONDS)
        heard = self.bell.heard(self.names)
        batches, failure = [], None
        for part in self.parts.values():
            try:
                batches.append(await self.readers[part.publisher].read(part, self.positions[part.name], self.limit))
            except Gone as gone:
                failure = gone
        if failure is not None and not batches:
            raise failure
        for batch in batches:
            self.positions[batch.partition] = max(batch.next, self.positions[batch.partition])
        if failure is not None or all(batch.at_end for batch in batches):
            self.rings_heard = heard  # nothing more until it rings again, or a second has passed
        return batches if failure is None else [replace(batch, at_end=False) for batch in batches]

    async def report(self, offsets: Mapping[str, int]) -> None:
        """The offsets lie in SQL already, where `lag` looks."""

    def seek(self, partition: str, offset: int) -> None:
        self.positions[partition] = offset
        self.rings_heard = -1


@cache
def statement(log: str, *, dialect: str) -> str:
    """One row at least: where the log begins and ends is read with the facts, from one snapshot."""
    p = "$" if dialect == "postgresql" else "?"
    wanted = f"topic = ANY({p}2::text[])" if dialect == "postgresql" else f"topic IN (SELECT value FROM json_each({p}2))"
    end = f"(SELECT seq FROM {log}_head)" if dialect == "postgresql" else "(SELECT seq FROM sqlite_sequence WHERE name = 'log')"
    return (
        f"SELECT coalesce({end}, 0), head.beginning, head.seq, fact.* FROM (SELECT 1) one LEFT JOIN {log}_head head ON true "
        "LEFT JOIN (SELECT seq, event_id, type, topic, key, at, head, data "
        f"FROM {log} WHERE seq >= {p}1 AND {wanted} ORDER BY seq LIMIT {p}3) fact ON true ORDER BY fact.seq"
    )


FILE_COUNTED = "SELECT count(*), min(at) FROM log WHERE seq >= ?1 AND topic IN (SELECT value FROM json_each(?2))"


@cache
def count_statement(publishers: tuple[str, ...]) -> str:
    """A row for each of these logs, in their order: how many facts of some topics lie from a number on, and when the oldest happened."""
    counts = (
        f"SELECT {n}, count(*), min(at) FROM {publisher}.log WHERE seq >= ${2 * n + 1}::bigint AND topic = ANY(${2 * n + 2}::text[])"
        for n, publisher in enumerate(publishers)
    )
    return f"{' UNION ALL '.join(counts)} ORDER BY 1"


def next_statement(log: str, *, dialect: str) -> str:
    return f"SELECT seq, event_id FROM {log} WHERE seq >= {'$1' if dialect == 'postgresql' else '?1'} ORDER BY seq LIMIT 1"


def batch_of(part: Part, start: int, limit: int, rows: Sequence[Any], is_sqlite: bool) -> Batch:
    """The rows of `statement` as a batch. The end of the log counts as read when fewer came than were asked for."""
    end, beginning, resumed = rows[0][0] + 1, rows[0][1] or 0, rows[0][2] or 0
    records = [Record(part.name, row[3], _envelope(row[4:], is_sqlite)) for row in rows if row[3] is not None]
    at_end = len(records) < limit
    after = max(end, start) if at_end else records[-1].offset + 1
    undone = numbers_undone(resumed) if is_sqlite else range(0)
    return Batch(part.name, start, after, records, beginning if part.forgets else 0, at_end, undone)


def _envelope(row: Any, is_sqlite: bool) -> Envelope:
    if is_sqlite:
        return Envelope(UUID(row[0]), row[1], row[2], row[3], datetime.fromisoformat(row[4]).replace(tzinfo=UTC), row[5], row[6])
    return Envelope(UUID(int=row[0].int), row[1], row[2], row[3], row[4], row[5], row[6])


def _as_json(topics: Sequence[str]) -> str:
    return "[" + ",".join(f'"{topic}"' for topic in topics) + "]"


class SqliteReader:
    """Another service's file, read-only, one thread's call a batch."""

    def __init__(self, publisher: str, path: Path) -> None:
        self.publisher, self.path = publisher, path
        self.connection: sqlite3.Connection | None = None
        self.inode = 0
        self.at_work = threading.RLock()
        """A cancelled read goes on in its thread; SQLite crashes when its connection is closed under it."""

    async def read(self, part: Part, start: int, limit: int) -> Batch:
        rows = await self._call(statement("log", dialect="sqlite"), start, _as_json(part.topics), limit)
        return batch_of(part, start, limit, rows, is_sqlite=True)

    async def waiting(self, part: Part, start: int) -> Counted:
        [(count, oldest)] = await self._call(FILE_COUNTED, start, _as_json(part.topics))
        return count, datetime.fromisoformat(oldest).replace(tzinfo=UTC) if oldest else None

    async def next_from(self, start: int) -> tuple[int, UUID] | None:
        rows = await self._call(next_statement("log", dialect="sqlite"), start)
        return (rows[0][0], UUID(rows[0][1])) if rows else None

    async def _call(self, query: str, *parameters: object) -> list[Any]:
        try:
            return await asyncio.to_thread(self._query, query, parameters)
        except (sqlite3.Error, OSError) as error:
            await self.close()
            raise Gone(f"the log of {self.publisher} cannot be read: {error}") from error

    def _query(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        with self.at_work:
            inode = self.path.stat().st_ino  # a file that was moved away is not the log any more, though it can still be read
            if self.connection is None or inode != self.inode:
                self._close()
                self.connection, self.inode = open_read_only(self.path), inode
            return self.connection.execute(query, parameters).fetchall()

    def _close(self) -> None:
        with self.at_work:
            if self.connection is not None:
                self.connection.close()
                self.connection = None

    async def close(self) -> None:
        await asyncio.to_thread(self._close)


class PostgresReaders:
    """The connections by which one service reads the others' logs, under its own role."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool: asyncpg.Pool | None = None
        self.opening = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self.opening:
            if self.pool is None:
                url, file = without_password_file(self.url)
                settings = {"application_name": "parvis-reader", "TimeZone": "UTC"}
                self.pool = await asyncpg.create_pool(
                    url, min_size=0, max_size=2, timeout=5, server_settings=settings, connect=opener(file)
                )
        async with self.pool.acquire(timeout=READ_SECONDS_MAX) as conn:
            yield conn

    def of(self, publisher: str) -> "PostgresReader":
        return PostgresReader(publisher, self)

    async def close(self) -> None:
        if self.pool is not None:
            self.pool.terminate()
            self.pool = None


class PostgresReader:
    def __init__(self, publisher: str, readers: PostgresReaders) -> None:
        self.publisher, self.readers = publisher, readers

    async def read(self, part: Part, start: int, limit: int) -> Batch:
        rows = await self._call(statement(f"{self.publisher}.log", dialect="postgresql"), start, list(part.topics), limit)
        return batch_of(part, start, limit, rows, is_sqlite=False)

    async def next_from(self, start: int) -> tuple[int, UUID] | None:
        rows = await self._call(next_statement(f"{self.publisher}.log", dialect="postgresql"), start)
        return (rows[0][0], UUID(int=rows[0][1].int)) if rows else None

    async def _call(self, query: str, *parameters: object) -> list[Any]:
        try:
            async with self.readers.connection() as conn:
                return list(await conn.fetch(query, *parameters, timeout=READ_SECONDS_MAX))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise Gone(f"the log of {self.publisher} cannot be read: {error}") from error

    async def close(self) -> None:
        """Its connections are the service's; they are closed with it."""
