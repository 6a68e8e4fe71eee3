"""Statements that every PUT pays for and that answer nothing: written as all others, sent by the driver itself."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from parvis_kit.db import Tx

Sent = tuple[str, list[tuple[str, Callable[[Any], Any] | None]]]


class Driven:
    """Compiled once for each database, with what turns each value into what its driver wants."""

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
