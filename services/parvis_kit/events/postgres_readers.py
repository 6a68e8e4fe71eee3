"""Reading the logs that lie in PostgreSQL, by connections of the reader's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from parvis_kit.db.connecting import opener
from parvis_kit.events.ports import Batch, Gone
from parvis_kit.events.sql_readers import READ_SECONDS_MAX, Part, batch_of, next_statement, statement
from parvis_kit.password_files import without_password_file


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
