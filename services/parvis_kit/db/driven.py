"""Statements that answer nothing and that every act pays for: written as all others, compiled once, sent by the driver itself."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from parvis_kit.db.database import Tx

Sent = tuple[str, list[tuple[str, Callable[[Any], Any] | None]]]


class Driven:
    """Compiled once for each kind of database, with what turns each value into what its driver wants.

    Half of what SQLAlchemy's execute costs on PostgreSQL (71 µs of 140, for a row of the audit). What is wrong is raised as the driver has
    it: where somebody waits for IntegrityError, or for how many rows it were, use `tx.execute`.
    """

    def __init__(self, make: Callable[[bool], sa.Executable], columns: list[str] | None = None) -> None:
        self.make, self.columns = make, columns
        self.sent: dict[bool, Sent] = {}

    async def run(self, tx: Tx, values: Mapping[str, Any]) -> None:
        is_sqlite = tx.database.is_sqlite
        if is_sqlite not in self.sent:
            self.sent[is_sqlite] = self._compile(tx, is_sqlite)
        text, parameters = self.sent[is_sqlite]
        await tx.run_in_driver(text, *[values[name] if read is None else read(values[name]) for name, read in parameters])

    def _compile(self, tx: Tx, is_sqlite: bool) -> Sent:
        compiled: Any = self.make(is_sqlite).compile(dialect=tx.database.write_engine.dialect, column_keys=self.columns)  # type: ignore[attr-defined]
        return str(compiled), [(name, compiled._bind_processors.get(name)) for name in compiled.positiontup]
