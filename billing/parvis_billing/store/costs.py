"""What is paid, and by what it is shared, with where each line came from."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert

from parvis_billing.rules import months
from parvis_billing.rules.costs import AllocationKey, Benchmark, CostItem, PriceVersion, item_from, price_from
from parvis_billing.store import (
    ALLOCATION_KEY,
    BENCHMARK,
    COST_ITEM,
    IMPORTED_FILE,
    PRICE_VERSION,
    PSEUDONYM_SECRET,
    ROSTER,
    Row,
)

ITEMS_NAMED = sa.select(COST_ITEM).where(COST_ITEM.c.id.in_(sa.bindparam("ids", expanding=True)))
PRICES = sa.select(PRICE_VERSION).order_by(PRICE_VERSION.c.id, PRICE_VERSION.c.valid_from)
SECRET = sa.select(PSEUDONYM_SECRET.c.secret).where(PSEUDONYM_SECRET.c.year == sa.bindparam("year"))
BENCHMARK_DIGESTS = sa.select(BENCHMARK.c.id, BENCHMARK.c.digest).order_by(BENCHMARK.c.id)
MINISTRIES = sa.select(ROSTER["ministry"].c.id, ROSTER["ministry"].c.siren, ROSTER["ministry"].c.name).order_by(
    ROSTER["ministry"].c.name, ROSTER["ministry"].c.id
)


def _newest(table: sa.Table) -> sa.Select[Any]:
    other = table.alias("other")
    newer = sa.exists().where(other.c.id == table.c.id, other.c.revision > table.c.revision)
    return sa.select(table).where(~newer).order_by(table.c.id)


async def items(conn: Connection, month: str | None = None) -> list[tuple[CostItem, int]]:
    """Each as it stands, with its revision; those whose period touches the month."""
    found = _newest(COST_ITEM)
    if month is not None:
        found = found.where(COST_ITEM.c.starts <= months.last_day(month), COST_ITEM.c.ends >= months.first_day(month))
    return [(item_from(row.content, row.amount_cents), row.revision) for row in await conn.execute(found)]


async def items_at(conn: Connection, asked: Sequence[tuple[str, int]]) -> dict[tuple[str, int], CostItem]:
    """Of these revisions."""
    wanted = set(asked)
    rows = await conn.execute(ITEMS_NAMED, {"ids": sorted({name for name, _ in wanted})})
    return {(row.id, row.revision): item_from(row.content, row.amount_cents) for row in rows if (row.id, row.revision) in wanted}


async def item_rows(conn: Connection) -> list[Any]:
    return list((await conn.execute(sa.select(COST_ITEM).order_by(COST_ITEM.c.id, COST_ITEM.c.revision))).all())


async def item_page(conn: Connection, after: str, limit: int) -> list[Any]:
    return list((await conn.execute(_newest(COST_ITEM).where(COST_ITEM.c.id > after).limit(limit))).all())


async def keys(conn: Connection) -> dict[str, AllocationKey]:
    return {row.id: AllocationKey.model_validate(row.content) for row in await conn.execute(_newest(ALLOCATION_KEY))}


async def prices(conn: Connection) -> list[PriceVersion]:
    rows = await conn.execute(PRICES)
    return [price_from({**row.content, "valid_until": row.valid_until}) for row in rows]


async def price_rows(conn: Connection) -> list[Any]:
    return list((await conn.execute(PRICES)).all())


async def benchmarks(conn: Connection) -> list[Benchmark]:
    return [Benchmark.model_validate(row.content) for row in await conn.execute(sa.select(BENCHMARK).order_by(BENCHMARK.c.id))]


async def benchmark_digests(conn: Connection) -> tuple[tuple[str, str], ...]:
    """(id, SHA-256 of its content)."""
    return tuple((name, digest) for name, digest in await conn.execute(BENCHMARK_DIGESTS))


async def digests(conn: Connection) -> dict[tuple[str, str], tuple[str, int]]:
    """(kind, id) → digest and revision of what stands there now; a price's id with its month."""
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for kind, table in (("item", COST_ITEM), ("key", ALLOCATION_KEY)):
        for row in await conn.execute(_newest(table)):
            found[kind, row.id] = row.digest, row.revision
    for row in await conn.execute(sa.select(BENCHMARK)):
        found["benchmark", row.id] = row.digest, 1
    for row in await conn.execute(sa.select(PRICE_VERSION)):
        found["price", f"{row.id} {row.valid_from}"] = row.digest, 1
    return found


async def add(tx: Tx, kind: str, rows: Sequence[Row]) -> None:
    table = {"item": COST_ITEM, "key": ALLOCATION_KEY, "price": PRICE_VERSION, "benchmark": BENCHMARK}[kind]
    statement: Any = sa.insert(table)
    if kind == "benchmark":
        put = upsert(tx, table)
        statement = put.on_conflict_do_update(
            index_elements=["id"], set_={name: put.excluded[name] for name in ("content", "digest", "file_id", "line", "at")}
        )
    await tx.execute(statement, rows)


async def end_price(tx: Tx, name: str, valid_from: str, valid_until: str) -> None:
    row = PRICE_VERSION.c
    await tx.execute(sa.update(PRICE_VERSION).where(row.id == name, row.valid_from == valid_from).values(valid_until=valid_until))


async def find_file(conn: Connection, kind: str, digest: str) -> Any:
    row = IMPORTED_FILE.c
    return (await conn.execute(sa.select(IMPORTED_FILE).where(row.kind == kind, row.digest == digest))).first()


async def add_file(tx: Tx, row: Row) -> None:
    await tx.execute(sa.insert(IMPORTED_FILE).values(row))


async def files(conn: Connection, ids: Sequence[UUID]) -> Mapping[UUID, Any]:
    return {row.id: row for row in await conn.execute(sa.select(IMPORTED_FILE).where(IMPORTED_FILE.c.id.in_(ids)))}


async def secret_of(conn: Connection, year: int) -> bytes | None:
    secret: bytes | None = (await conn.execute(SECRET, {"year": year})).scalar()
    return secret


async def add_secret(tx: Tx, year: int, secret: bytes) -> None:
    await tx.execute(upsert(tx, PSEUDONYM_SECRET).values(year=year, secret=secret).on_conflict_do_nothing())


async def ministries(conn: Connection) -> list[tuple[UUID, str, str]]:
    """(id, SIREN, name) of those that the copy of the directory knows."""
    return [tuple(one) for one in await conn.execute(MINISTRIES)]


async def agents(conn: Connection) -> dict[str, tuple[UUID, UUID]]:
    """E-mail → agent and ministry."""
    row = ROSTER["agent"].c
    return {email: (agent, ministry) for email, agent, ministry in await conn.execute(sa.select(row.email, row.id, row.ministry_id))}


async def find_agent(conn: Connection, named: str) -> UUID | None:
    row = ROSTER["agent"].c
    found: UUID | None = (await conn.execute(sa.select(row.id).where(row.email == named))).scalar()
    return found
