"""Databases for tests: a fresh one each, quickly; what was asked of it, counted."""

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import asyncpg
import sqlalchemy as sa

from parvis_kit.db import Database, Tx
from parvis_kit.db.database import Reader

T = TypeVar("T")
Prepare = Callable[[Path, str], Awaitable[None]]
"""Makes what a test begins with in an empty folder, its tables there (SQLite) or at a URL, and closes what it opened."""

DATABASES = ("sqlite", "postgresql")
EVERY_DATABASE = (*DATABASES, "debian")
"""For the suites that say what a store is: the oldest PostgreSQL supported as well."""
EVERY_LOG = (*EVERY_DATABASE, "kafka")
"""For the suite that says what a log is; Kafka's has its outboxes in PostgreSQL."""


@dataclass(slots=True)
class PostgresServer:
    """A real server; its databases are copied from templates, which takes a twentieth of the time of making tables."""

    url: str
    """Of the database `postgres`, as its superuser."""
    version: str = ""
    templates: dict[int, tuple[sa.MetaData, str]] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def create(self, metadata: sa.MetaData | None = None) -> str:
        """The URL of a fresh database, with these tables in it."""
        return _apart(self._create(metadata))

    async def copy_of(self, name: str, make: Callable[[str], Awaitable[None]]) -> str:
        """The URL of a database as `make` leaves an empty one."""
        if name not in self.prepared:
            made = await self._copy("template1", "template")
            await make(self.at(made))
            self.prepared[name] = made
        return self.at(await self._copy(self.prepared[name], "test"))

    def drop(self, url: str) -> None:
        """Whoever is still connected is cut off."""
        _apart(self._run(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)"))

    async def _create(self, metadata: sa.MetaData | None) -> str:
        template = "template1"
        if metadata is not None:
            if id(metadata) not in self.templates:
                made = await self._copy("template1", "template")
                database = Database(self.at(made), metadata.schema or "public")
                await make_tables(database, metadata)
                await database.close()
                self.templates[id(metadata)] = (metadata, made)  # kept alive, or its id could become another's
            template = self.templates[id(metadata)][1]
        return self.at(await self._copy(template, "test"))

    async def _copy(self, template: str, prefix: str) -> str:
        name = f"{prefix}_{next(self.numbers)}"
        # A server given by PARVIS_TEST_POSTGRES_URL keeps what an interrupted run left.
        await self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    async def _run(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def at(self, name: str) -> str:
        return f"{self.url.rpartition('/')[0]}/{name}"


def _apart(work: Coroutine[object, object, T]) -> T:
    """Run it on a loop of its own, whether or not one is running here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


class Place:
    """Where the services of one test have their tables: on PostgreSQL one database with a schema each, on SQLite a file each."""

    def __init__(self, folder: Path, server: PostgresServer | None, stack: AsyncExitStack, templates: Path) -> None:
        """`templates`: a folder that lasts as long as the run."""
        self.folder, self.server, self.stack, self.templates = folder, server, stack, templates
        self.url = ""

    async def prepare(self, name: str, make: Prepare) -> None:
        """Before anything is opened: what `make` leaves in an empty folder and database. Done once a run, and copied for each test."""
        kept = self.templates / f"{name}-{self.server.version if self.server else 'sqlite'}"

        async def once(url: str) -> None:
            draft = kept.with_name(f"{kept.name}.draft")
            shutil.rmtree(draft, ignore_errors=True)  # of one that failed: each test after it would be told of this folder, and not why
            draft.mkdir(parents=True)
            await make(draft, url)
            draft.rename(kept)

        if self.server is not None:
            self.url = await self.server.copy_of(name, once)
            self.stack.callback(self.server.drop, self.url)
        elif not kept.exists():
            await once("")
        shutil.copytree(kept, self.folder, dirs_exist_ok=True)

    def url_of(self, service: str) -> str:
        """The URL under which a service opens its tables."""
        if self.server is None:
            return f"sqlite:///{self.folder / service}.db"
        return self.url or self._make(self.server, None)

    def _make(self, server: PostgresServer, metadata: sa.MetaData | None) -> str:
        self.url = server.create(metadata)
        self.stack.callback(server.drop, self.url)
        return self.url

    async def open(self, service: str, metadata: sa.MetaData | None = None) -> Database:
        """A service's database with its tables. The first one opened in a test takes its tables from a template."""
        if self.server is not None and not self.url:
            self._make(self.server, metadata)
            metadata = None
        database = Database(self.url_of(service), service)
        self.stack.push_async_callback(database.close)
        if metadata is not None:
            await make_tables(database, metadata)
        return database


async def make_tables(database: Database, metadata: sa.MetaData) -> None:
    """The schema and the tables of a service, without its migrations."""
    async with database.transaction() as tx:
        if not database.is_sqlite:
            await tx.execute(sa.schema.CreateSchema(database.service, if_not_exists=True))
        await tx.run_sync(metadata.create_all)


@contextmanager
def queries(*databases: Database) -> Iterator[list[str]]:
    """What is sent to these databases while the body runs; BEGIN, COMMIT and what goes in its journey, and ROLLBACK aside."""
    sent: list[str] = []
    engines: Sequence[sa.Engine] = [engine for one in databases for engine in (one.read_engine, one.write_engine)]

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            sent.append(statement)

    def noting(kind: type[Tx | Reader], name: str, *, of_sqlite: bool = False) -> Any:
        """What goes past SQLAlchemy."""
        plain = getattr(kind, name)

        def run(self: Any, statement: str, *parameters: Any) -> Any:
            engine = self.engine if isinstance(self, Reader) else self.database.write_engine
            if engine in engines and (self.dialect.name == "sqlite") is of_sqlite:
                sent.append(statement)
            return plain(self, statement, *parameters)

        return patch.object(kind, name, run)

    past = (noting(Reader, "fetch_in_driver"), noting(Tx, "fetch_in_driver"), noting(Tx, "run_in_driver", of_sqlite=True))
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    with ExitStack() as stack:
        for each in past:
            stack.enter_context(each)
        try:
            yield sent
        finally:
            for engine in engines:
                sa.event.remove(engine, "before_cursor_execute", note)
