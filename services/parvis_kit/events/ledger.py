"""The log's tables in SQL: one implementation for PostgreSQL and SQLite, whose differences stand side by side."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from hashlib import blake2b
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx, metadata_for, upsert
from parvis_kit.db.columns import in_sqlite
from parvis_kit.events.facts import Envelope
from parvis_kit.events.ports import Gone, Parked, Record
from parvis_kit.events.tables import log_tables
from parvis_kit.problems import Unavailable

FACT_COLUMNS = ("event_id", "type", "topic", "key", "at", "head", "data")
SQLITE_ROWS_MAX = 500
"""Facts of one statement: SQLite takes 32,766 parameters."""
LITERAL_BYTES_MAX = 65_536
"""Facts with more data go as bytes in a journey of their own: as literals they would be twice as long."""


@cache
def tables_of(service: str) -> Mapping[str, sa.Table]:
    """The log's tables of a service, by name; the very ones that its migrations make."""
    metadata = metadata_for(service)
    log_tables(metadata)
    return {table.name: table for table in metadata.tables.values()}


def lock_of(lane: Hashable) -> int:
    """The advisory lock of a lane: 64 bits of a hash; two lanes that share one only wait for each other."""
    return int.from_bytes(blake2b(repr(lane).encode(), digest_size=8).digest(), signed=True)


async def append(tx: Tx, facts: Sequence[Envelope], *, last: bool = False) -> None:
    """Write facts in one statement; on PostgreSQL with COMMIT, and after all else, if this is the `last`.

    On PostgreSQL the locks of their lanes are taken first, sorted, and held to the end of the transaction: an id taken under its
    lane's lock makes id order the lane's commit order. The transaction's own id is taken before the outbox's too: a relay that sees that
    all transactions up to some moment have ended knows that no outbox id of before that moment is still to come.
    SQLite's one writer holds every lane, and its facts go straight into the log.
    """
    service = tx.database.service
    if tx.database.is_sqlite:
        for first in range(0, len(facts), SQLITE_ROWS_MAX):
            rows = facts[first : first + SQLITE_ROWS_MAX]
            await tx.run_in_driver(_insert_log(service, len(rows)), *(value for fact in rows for value in _row_in_sqlite(fact)))
        return
    send = tx.commit_with if last and sum(len(fact.data or b"") for fact in facts) <= LITERAL_BYTES_MAX else tx.run_in_driver
    if len(facts) == 1:
        [f] = facts
        await send(_insert_one(service), lock_of(f.lane), f.id, f.type, f.topic, f.key, f.at, f.head, f.data)
        return
    locks = sorted({lock_of(fact.lane) for fact in facts})
    columns = list(zip(*((f.id, f.type, f.topic, f.key, f.at, f.head, f.data) for f in facts), strict=True))
    await send(_insert_outbox(service), locks, *columns)


@cache
def _insert_log(service: str, rows: int) -> str:
    places = f"({', '.join('?' * len(FACT_COLUMNS))})"
    return f"INSERT INTO {service}.log ({', '.join(FACT_COLUMNS)}) VALUES {', '.join([places] * rows)}"


def _row_in_sqlite(fact: Envelope) -> tuple[str | bytes | None, ...]:
    """As the log's columns keep it (parvis_kit/db/columns.py)."""
    return fact.id.hex, fact.type, fact.topic, fact.key, in_sqlite(fact.at), fact.head, fact.data


@cache
def _insert_one(service: str) -> str:
    """As below; one fact is the most frequent number, and arrays cost a third more to send."""
    columns = ", ".join(FACT_COLUMNS)
    return (
        f"INSERT INTO {service}.outbox ({columns}) SELECT $2, $3, $4, $5, $6, $7, $8 "
        "FROM (SELECT count(concat(pg_current_xact_id(), pg_advisory_xact_lock($1)))) locked"
    )


@cache
def _insert_outbox(service: str) -> str:
    """The aggregate cannot be flattened away and the sort reads all of the join: every lock is held before the first id is taken."""
    columns = ", ".join(FACT_COLUMNS)
    return (
        f"INSERT INTO {service}.outbox ({columns}) SELECT {columns} "
        "FROM (SELECT count(concat(pg_current_xact_id(), pg_advisory_xact_lock(lock))) FROM unnest($1::bigint[]) lock) locked, "
        "unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::bytea[]) "
        f"WITH ORDINALITY AS fact ({columns}, place) ORDER BY place"
    )


def _values(fact: Envelope) -> dict[str, Any]:
    return dict(zip(FACT_COLUMNS, (fact.id, fact.type, fact.topic, fact.key, fact.at, fact.head, fact.data), strict=True))


@asynccontextmanager
async def gone_when_away(database: Database) -> AsyncIterator[Tx]:
    """A transaction of the database, for the cores: what may be tried again is Gone."""
    try:
        async with database.transaction() as tx:
            yield tx
    except Unavailable as away:
        raise Gone(str(away.__cause__ or away)) from away


async def stands_of(database: Database, consumer: str) -> dict[str, int]:
    """Where a consumer stands in each partition, as last committed; nobody is kept waiting."""
    async with database.read() as conn:
        return {partition: next_ for _, partition, next_ in await conn.execute(_stands_of(database.service), {"consumer": consumer})}


async def all_stands(database: Database) -> dict[str, dict[str, int]]:
    """By consumer: where each of the service's stands in each partition, as last committed."""
    found: dict[str, dict[str, int]] = {}
    async with database.read() as conn:
        for consumer, partition, next_ in await conn.execute(_stands(database.service)):
            found.setdefault(consumer, {})[partition] = next_
    return found


@cache
def _stands(service: str) -> sa.Select[Any]:
    offsets = tables_of(service)["consumer_offset"].c
    return sa.select(offsets.consumer, offsets.partition, offsets.next)


@cache
def _stands_of(service: str) -> sa.Select[Any]:
    return _stands(service).where(tables_of(service)["consumer_offset"].c.consumer == sa.bindparam("consumer"))


class SqlLedger:
    """The Ledger of one consumer, in its service's own database."""

    def __init__(self, database: Database, consumer: str, clock: Clock) -> None:
        self.database, self.consumer, self.clock = database, consumer, clock
        tables = tables_of(database.service)
        self.offsets, self.inbox, self.parked_table = tables["consumer_offset"], tables["inbox"], tables["parked"]
        offsets, parked = self.offsets.c, self.parked_table.c
        self.select_offsets = (
            sa.select(offsets.partition, offsets.next)
            .where(offsets.consumer == consumer, offsets.partition.in_(sa.bindparam("partitions", expanding=True)))
            .order_by(offsets.partition)
            .with_for_update()
        )
        self.move_offset = (
            sa.update(self.offsets)
            .where(offsets.consumer == consumer, offsets.partition == sa.bindparam("at_partition"))
            .values(next=sa.bindparam("to"))
        )
        lane = (parked.topic, parked.key)
        self.count_lanes = sa.select(*lane, sa.func.count()).where(parked.consumer == consumer).group_by(*lane)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with gone_when_away(self.database) as tx:
            yield tx

    @asynccontextmanager
    async def savepoint(self, tx: Tx) -> AsyncIterator[None]:
        async with tx.savepoint():
            yield

    async def append(self, tx: Tx, facts: Sequence[Envelope]) -> None:
        await append(tx, facts)

    async def lock_offsets(self, tx: Tx, partitions: Iterable[str]) -> dict[str, int]:
        wanted = list(partitions)
        found = await self._locked(tx, wanted)
        if len(found) < len(wanted):
            fresh = [{"consumer": self.consumer, "partition": partition, "next": 0} for partition in wanted if partition not in found]
            await tx.execute(upsert(tx, self.offsets).on_conflict_do_nothing(), fresh)
            found = await self._locked(tx, wanted)
        return found

    async def _locked(self, tx: Tx, partitions: list[str]) -> dict[str, int]:
        return {row[0]: row[1] for row in await tx.execute(self.select_offsets, {"partitions": partitions})}

    async def admit(self, tx: Tx, facts: Sequence[Envelope]) -> Mapping[Hashable, Hashable]:
        ids = [fact.id for fact in facts]
        digests = [fact.digest for fact in facts]
        if self.database.is_sqlite:
            asked = json.dumps([[one.hex, digest] for one, digest in zip(ids, digests, strict=True)])
            result = await tx.exec_driver_sql(_admit_sqlite(self.database.service), (self.consumer, in_sqlite(self.clock()), asked))
        else:
            result = await tx.exec_driver_sql(_admit_postgresql(self.database.service), (self.consumer, self.clock(), ids, digests))
        rows = result.all()
        if len(rows) == len(ids):
            return {}
        admitted = {UUID(row[0]) if self.database.is_sqlite else row[0] for row in rows}
        again = [one for one in ids if one not in admitted]
        seen = sa.select(self.inbox.c.event_id, self.inbox.c.digest).where(
            self.inbox.c.consumer == self.consumer, self.inbox.c.event_id.in_(again)
        )
        return {row[0]: row[1] for row in await tx.execute(seen)}

    async def parked(self, tx: Tx) -> Counter[Hashable]:
        return Counter({(row[0], row[1]): row[2] for row in await tx.execute(self.count_lanes)})

    async def park(self, tx: Tx, parked: Parked) -> None:
        record = parked.record
        await tx.execute(
            sa.insert(self.parked_table),
            {
                "consumer": self.consumer,
                "partition": record.partition,
                "offset": record.offset,
                **_values(record.fact),
                "reason": parked.reason,
                "error": parked.error.replace("\x00", "\\0"),
                "attempts": parked.attempts,
                "parked_at": self.clock(),
            },
        )

    async def unpark(self, tx: Tx, lane: Hashable) -> Sequence[Parked]:
        topic, key = cast("tuple[str, str]", lane)
        table = self.parked_table
        mine = sa.and_(table.c.consumer == self.consumer, table.c.topic == topic, table.c.key == key)
        rows = (await tx.execute(sa.select(table).where(mine).order_by(table.c.seq))).all()
        await tx.execute(sa.delete(table).where(mine))
        return [parked_of(row) for row in rows]

    async def advance(self, tx: Tx, offsets: Mapping[str, int]) -> None:
        await tx.execute(self.move_offset, [{"at_partition": partition, "to": offset} for partition, offset in sorted(offsets.items())])


def parked_of(row: Any) -> Parked:
    """A row of `parked` as what it stands for."""
    fact = Envelope(row.event_id, row.type, row.topic, row.key, row.at, row.head, row.data)
    return Parked(Record(row.partition, row.offset, fact), row.reason, row.error, row.attempts)


@cache
def _admit_postgresql(service: str) -> str:
    return (
        f"INSERT INTO {service}.inbox (consumer, at, event_id, digest) "
        "SELECT $1::text, $2::timestamptz, id, digest FROM unnest($3::uuid[], $4::text[]) AS fact (id, digest) ORDER BY id "
        "ON CONFLICT DO NOTHING RETURNING event_id"
    )


@cache
def _admit_sqlite(service: str) -> str:
    """`WHERE true` tells SQLite's parser that ON CONFLICT is not the ON of a join."""
    return (
        f"INSERT INTO {service}.inbox (consumer, at, event_id, digest) "
        "SELECT ?1, ?2, value ->> 0, value ->> 1 FROM json_each(?3) WHERE true "
        "ON CONFLICT DO NOTHING RETURNING event_id"
    )
