"""Reading the logs that lie in SQL: the statements, and who asks them of a file; of a server: postgres_readers.py."""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from parvis_kit.db.engines import open_read_only
from parvis_kit.events.facts import Envelope, is_state
from parvis_kit.events.log import Topics
from parvis_kit.events.ports import Batch, Gone, Record
from parvis_kit.events.resume import numbers_undone

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
