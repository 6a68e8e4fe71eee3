"""Transactions: one connection each, and what must happen just before COMMIT and just after."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.util import await_, greenlet_spawn

from parvis_kit.db.engines import LEASE_SECONDS, open_engines
from parvis_kit.db.errors import database_errors, is_lost, is_transient
from parvis_kit.db.literals import literal
from parvis_kit.failpoints import reach
from parvis_kit.problems import Unavailable

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

AWAY = "The database is away or too busy: ask again in a moment."
Rows = sa.CursorResult[*tuple[Any, ...]]
Done = TypeVar("Done")


class Connection(Protocol):
    """What a store function takes: a transaction, or a connection of the read engine."""

    @property
    def dialect(self) -> sa.Dialect: ...
    async def execute(self, statement: Any, parameters: Any = None, /) -> Rows: ...
    async def fetch_in_driver(self, statement: str, *parameters: Any) -> Sequence[Any]: ...


class Reader:
    """Reads, each statement with a connection for itself and for as long as it runs: a door that waits for something else holds none."""

    __slots__ = ("engine",)

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @property
    def dialect(self) -> sa.Dialect:
        return self.engine.dialect

    async def execute(self, statement: Any, parameters: Any = None, /) -> Rows:
        """Its rows, all of them: both drivers have read them before they answer."""
        return await self.run_sync(lambda conn: conn.execute(statement, parameters))

    async def run_sync(self, work: Callable[[sa.Connection], Done]) -> Done:
        """`work` with SQLAlchemy's plain connection, as its inspector wants one."""

        def connected() -> Done:
            with self.engine.connect() as conn:
                return work(conn)

        return await greenlet_spawn(connected)

    async def fetch_in_driver(self, statement: str, *parameters: Any) -> Sequence[Any]:
        """Its rows as the driver has them, on PostgreSQL alone: for what every request asks (`Question`)."""

        def fetched(conn: sa.Connection) -> Sequence[Any]:
            driver: Any = conn.connection.driver_connection
            try:
                return await_(_fetch(driver, conn.connection.info, statement, parameters))
            except database_errors() as error:
                if is_lost(error):
                    driver.terminate()
                if driver.is_closed():
                    conn.exec_driver_sql("SELECT 1")  # SQLAlchemy hears that it is lost, and lets go of all that were as old
                raise

        return await self.run_sync(fetched)


async def _prepared(driver: Any, known: dict[Any, Any], statement: str) -> Any:
    """Once for each connection, as SQLAlchemy's own are: the driver's `execute` looks for it each time anew, which takes 10 µs."""
    if (found := known.get(statement)) is None:
        found = known[statement] = await driver.prepare(statement)
    return found


async def _fetch(driver: Any, known: dict[Any, Any], statement: str, parameters: Sequence[Any]) -> Sequence[Any]:
    rows: Sequence[Any] = await (await _prepared(driver, known, statement)).fetch(*parameters)
    return rows


@asynccontextmanager
async def entered(make: Callable[[], AbstractContextManager[Done]]) -> AsyncIterator[Done]:
    """A plain context manager of SQLAlchemy, made and entered in one turn, and left in another.

    SQLAlchemy's own asynchronous connection takes a turn for each of connect, begin, commit and close, one more to close the cursor of each
    statement, and brings its object mapper along, 6 MB for each process.
    """

    def enter() -> tuple[AbstractContextManager[Done], Done]:
        manager = make()
        return manager, manager.__enter__()

    manager, value = await greenlet_spawn(enter)
    try:
        yield value
    except BaseException as error:
        await greenlet_spawn(manager.__exit__, type(error), error, error.__traceback__)
        raise
    await greenlet_spawn(manager.__exit__, None, None, None)


class Tx:
    """A transaction of the write engine. Hooks run in the order in which they were added."""

    __slots__ = ("conn", "database", "before_commit", "after_commit", "facts", "last_words")

    def __init__(self, database: "Database", conn: sa.Connection) -> None:
        self.database, self.conn = database, conn
        self.before_commit: list[Callable[[], Awaitable[None]]] = []
        self.after_commit: list[Callable[[], None]] = []
        self.facts: list[Any] = []
        """What `publish` buffered; written by its hook, in one statement."""
        self.last_words: list[str] = []
        """Statements without values that are sent together with COMMIT."""

    async def execute(self, statement: Any, parameters: Any = None, /) -> Rows:
        return await greenlet_spawn(self.conn.execute, statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> Rows:
        """A statement that is not compiled: its placeholders are the driver's."""
        return await greenlet_spawn(self.conn.exec_driver_sql, statement, parameters)

    async def run_sync(self, work: Callable[[sa.Connection], Done]) -> Done:
        """`work` with SQLAlchemy's plain connection."""
        return await greenlet_spawn(work, self.conn)

    async def run_in_driver(self, statement: str, *parameters: Any) -> None:
        """One statement that returns nothing, by the driver itself, inside this transaction: for what every commit pays.

        SQLAlchemy takes four turns of SQLite's thread for it, and a third more of CPU on PostgreSQL.
        """
        if self.database.is_sqlite:
            await self.driver_connection.execute_insert(statement, parameters)
        else:
            await self.fetch_in_driver(statement, *parameters)

    async def fetch_in_driver(self, statement: str, *parameters: Any) -> Sequence[Any]:
        """As a Reader's."""
        return await _fetch(self.driver_connection, self.conn.connection.info, statement, parameters)

    async def commit_with(self, statement: str, *parameters: Any) -> None:
        """As `run_in_driver`, after all else and in the journey of COMMIT, which saves one; PostgreSQL alone.

        The driver sends one statement with values at a time, and any number without: these go as literals (parvis_kit/db/literals.py).
        """
        name = (await _prepared(self.driver_connection, self.conn.connection.info, statement)).get_name()
        self.last_words.append(f'EXECUTE "{name}" ({", ".join(map(literal, parameters))})')

    @property
    def dialect(self) -> sa.Dialect:
        return self.database.write_engine.dialect

    @property
    def driver_connection(self) -> Any:
        """aiosqlite's or asyncpg's own."""
        return self.conn.connection.driver_connection

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What fails inside undoes itself alone: rows, facts, last words. PostgreSQL would refuse all that follows otherwise."""
        buffered, before, after, words = len(self.facts), len(self.before_commit), len(self.after_commit), len(self.last_words)
        try:
            async with entered(self.conn.begin_nested):
                yield
        except BaseException:
            del self.facts[buffered:], self.before_commit[before:], self.after_commit[after:], self.last_words[words:]
            raise


class Database:
    """The database of one service, and of it alone."""

    def __init__(self, url: str, service: str, *, synchronous: str = "NORMAL", lease_seconds: float = LEASE_SECONDS) -> None:
        self.url, self.service = url, service
        self.is_sqlite = not url.startswith("postgresql")
        self.published: Callable[[], None] = lambda: None
        """Called after a commit that published facts, so that whoever carries them need not wait for its next look."""
        self.read_engine, self.write_engine = open_engines(url, service, synchronous=synchronous, lease_seconds=lease_seconds)
        self.reader = Reader(self.read_engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """All of it, or nothing. Raises Unavailable when the database is away, has too many waiters, or ended it in a deadlock."""
        try:
            async with entered(self.write_engine.begin) as conn:
                tx = Tx(self, conn)
                yield tx
                for hook in tx.before_commit:
                    await hook()
                await reach("transaction.before_commit")
                if tx.last_words:
                    await tx.driver_connection.execute("; ".join((*tx.last_words, "COMMIT")))
            await reach("transaction.after_commit")
        except database_errors() as error:
            if is_transient(error):
                raise Unavailable(AWAY, retry_after_seconds=2) from error
            raise
        for told in tx.after_commit:
            told()
        for hooks in (tx.before_commit, tx.after_commit):
            hooks.clear()  # they hold the transaction that holds them: it is freed now, and not when Python looks for such rings

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Each statement sees what is committed when it starts; for two that must agree, take a transaction."""
        try:
            yield self.reader
        except database_errors() as error:
            if is_transient(error):
                raise Unavailable(AWAY, retry_after_seconds=2) from error
            raise

    async def close(self) -> None:
        await greenlet_spawn(self.read_engine.dispose)
        await greenlet_spawn(self.write_engine.dispose)


def insert(table: sa.Table, *, is_sqlite: bool) -> "postgresql.Insert | sqlite.Insert":
    """INSERT that can say ON CONFLICT. What the other kind of database would need stays unloaded."""
    if is_sqlite:
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def upsert(tx: Tx, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """INSERT that can say ON CONFLICT, in the dialect of this transaction."""
    return insert(table, is_sqlite=tx.database.is_sqlite)


def upsert_by(tx: Tx, table: sa.Table, keys: tuple[str, ...], changed: tuple[str, ...] = ()) -> sa.Insert:
    """INSERT of the rows that `execute` is given, made once: of one that is there already under these keys the columns `changed` are taken
    over, and nothing where there are none."""
    return _upsert_by(tx.database.is_sqlite, table, keys, changed)


@cache
def _upsert_by(is_sqlite: bool, table: sa.Table, keys: tuple[str, ...], changed: tuple[str, ...]) -> sa.Insert:
    put = insert(table, is_sqlite=is_sqlite)
    if not changed:
        return put.on_conflict_do_nothing(index_elements=keys)
    return put.on_conflict_do_update(index_elements=keys, set_={name: put.excluded[name] for name in changed})
