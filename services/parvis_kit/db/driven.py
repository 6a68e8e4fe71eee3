"""Statements that every act or every request pays for: written as all others, compiled once, sent by the driver itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from parvis_kit.db.database import Connection, Tx

Read = Callable[[Any], Any]


class Sent:
    """A statement as a driver takes it."""

    def __init__(self, statement: sa.Executable, dialect: sa.Dialect, columns: list[str] | None = None) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)  # type: ignore[attr-defined]
        self.text = str(compiled)
        self.parameters: list[tuple[str, Read | None]] = [(name, compiled._bind_processors.get(name)) for name in compiled.positiontup]
        """In the order of their places, with what turns each into what the driver wants."""
        self.written = {name: compiled.binds[name].value for name, _ in self.parameters if not compiled.binds[name].required}
        """Values that the statement itself brings."""

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        values = {**self.written, **given}
        return [values[name] if read is None else read(values[name]) for name, read in self.parameters]


class Driven:
    """A statement that answers nothing, compiled once for each kind of database.

    Half of what SQLAlchemy's execute costs on PostgreSQL (71 µs of 140, for a row of the audit). What is wrong is raised as the driver has
    it: where somebody waits for IntegrityError, or for how many rows it were, use `tx.execute`.
    """

    def __init__(self, make: Callable[[bool], sa.Executable], columns: list[str] | None = None) -> None:
        self.make, self.columns = make, columns
        self.sent: dict[bool, Sent] = {}

    async def run(self, tx: Tx, values: Mapping[str, Any]) -> None:
        sent = self._sent(tx)
        await tx.run_in_driver(sent.text, *sent.values(values))

    async def run_last(self, tx: Tx, values: Mapping[str, Any]) -> None:
        """On PostgreSQL in the journey of COMMIT, after all else: of what nothing in this transaction reads."""
        sent = self._sent(tx)
        send = tx.run_in_driver if tx.database.is_sqlite else tx.commit_with
        await send(sent.text, *sent.values(values))

    def _sent(self, tx: Tx) -> Sent:
        is_sqlite = tx.database.is_sqlite
        if is_sqlite not in self.sent:
            self.sent[is_sqlite] = Sent(self.make(is_sqlite), tx.dialect, self.columns)
        return self.sent[is_sqlite]


class Question:
    """A SELECT, on PostgreSQL sent by the driver: 80 µs of SQLAlchemy's 190, for one row by its key.

    Its rows are tuples, without names. A list among its values (`expanding`) it cannot take. Neither this nor a Driven belongs into the
    reactions of a projection, whose statements go elsewhere while it is built anew.
    """

    def __init__(self, statement: sa.Select[*tuple[Any, ...]]) -> None:
        self.statement = statement
        self.sent: Sent | None = None
        self.reads: list[Read | None] = []

    async def rows(self, conn: Connection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """All of them."""
        if conn.dialect.name != "postgresql":
            return (await conn.execute(self.statement, values)).all()
        if self.sent is None:
            self.reads = [_reader(column.type, conn.dialect) for column in self.statement.selected_columns]
            self.sent = Sent(self.statement, conn.dialect)
        found = await conn.fetch_in_driver(self.sent.text, *self.sent.values(values))
        return [tuple([one if read is None else read(one) for one, read in zip(row, self.reads, strict=True)]) for row in found]

    async def one(self, conn: Connection, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """The only one, or none."""
        rows = await self.rows(conn, values)
        if len(rows) > 1:
            raise sa.exc.MultipleResultsFound(f"{len(rows)} rows where one was asked for")
        return rows[0] if rows else None


def _reader(of: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Read | None:
    """What SQLAlchemy makes of what the driver read."""
    return of.dialect_impl(dialect).result_processor(dialect, None)
