"""Sums that grow with each fact: one statement for a batch, by the driver itself, since every fact pays for it."""

from collections.abc import Sequence
from datetime import date
from functools import cache
from itertools import chain
from uuid import UUID

from parvis_kit.db import Tx
from parvis_kit.db.columns import in_sqlite

from parvis_billing.rules.storage import StorageDay

ROWS_MAX = 1_000
"""Of one statement: SQLite takes 32,766 parameters."""
STORAGE = {
    "holder_id": "uuid", "day": "date", "is_personal": "boolean", "ministry_id": "uuid", "said_at": "timestamptz",
    "delta_bytes": "bigint", "byte_seconds": "bigint",
}  # fmt: skip
USAGE = {"agent_id": "uuid", "day": "date", "meter": "text", "quantity": "bigint"}
LATER = "(excluded.said_at, excluded.ministry_id) > (t.said_at, t.ministry_id)"
MORE_STORAGE = (
    "ON CONFLICT (day, holder_id) DO UPDATE SET delta_bytes = t.delta_bytes + excluded.delta_bytes, "
    "byte_seconds = t.byte_seconds + excluded.byte_seconds, "
    f"ministry_id = CASE WHEN {LATER} THEN excluded.ministry_id ELSE t.ministry_id END, "
    f"said_at = CASE WHEN {LATER} THEN excluded.said_at ELSE t.said_at END"
)
"""The ministry of the day's last change, whatever order the changes come in."""
MORE_USAGE = "ON CONFLICT (day, agent_id, meter) DO UPDATE SET quantity = t.quantity + excluded.quantity"


async def add_storage(tx: Tx, days: Sequence[StorageDay]) -> None:
    """Rows are sorted: two transactions that touch the same ones wait for each other and never in a circle."""
    rows = sorted(days, key=lambda one: (one[1], one[0].int))
    for first in range(0, len(rows), ROWS_MAX):
        some = rows[first : first + ROWS_MAX]
        if tx.database.is_sqlite:
            values = [(h.hex, day.isoformat(), own, m.hex, in_sqlite(at), *sums) for h, day, own, m, at, *sums in some]
            await tx.run_in_driver(_in_sqlite("storage_day", tuple(STORAGE), MORE_STORAGE, len(some)), *chain.from_iterable(values))
            continue
        holders, on, own, ministries, said_at, deltas, byte_seconds = zip(*some, strict=True)
        columns = (
            ",".join([f"{one.int:032x}" for one in holders]), ",".join(map(str, on)), ",".join(map(str, own)),
            ",".join([f"{one.int:032x}" for one in ministries]), ",".join(map(str, said_at)), ",".join(map(str, deltas)),
            ",".join(map(str, byte_seconds)),
        )  # fmt: skip
        await tx.run_in_driver(_in_postgresql("storage_day", tuple(STORAGE.items()), MORE_STORAGE), *columns)


async def add_usage(tx: Tx, sums: Sequence[tuple[UUID, date, str, int]]) -> None:
    rows = sorted(sums, key=lambda one: (one[1], one[0].int, one[2]))
    for first in range(0, len(rows), ROWS_MAX):
        some = rows[first : first + ROWS_MAX]
        if tx.database.is_sqlite:
            values = [(agent.hex, day.isoformat(), meter, quantity) for agent, day, meter, quantity in some]
            await tx.run_in_driver(_in_sqlite("usage_day", tuple(USAGE), MORE_USAGE, len(some)), *chain.from_iterable(values))
            continue
        agents, on, meters, quantities = zip(*some, strict=True)
        columns = ",".join([f"{one.int:032x}" for one in agents]), ",".join(map(str, on)), ",".join(meters), ",".join(map(str, quantities))
        await tx.run_in_driver(_in_postgresql("usage_day", tuple(USAGE.items()), MORE_USAGE), *columns)


@cache
def _in_postgresql(table: str, columns: tuple[tuple[str, str], ...], more: str) -> str:
    """A text for each column: of an array asyncpg looks at every element, which costs more than all else here."""
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"string_to_array(${place}::text, ',')::{kind}[]" for place, (_, kind) in enumerate(columns, 1))
    return f"INSERT INTO billing.{table} AS t ({names}) SELECT * FROM unnest({arrays}) {more}"  # noqa: S608 (names of this module)


@cache
def _in_sqlite(table: str, columns: tuple[str, ...], more: str, rows: int) -> str:
    places = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO billing.{table} AS t ({', '.join(columns)}) VALUES {', '.join([places] * rows)} {more}"  # noqa: S608
