"""The life of a projection: kept, computed again beside the one that serves, and put in its place when it has caught up."""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

import sqlalchemy as sa

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx, upsert
from parvis_kit.events import meters
from parvis_kit.events.consumer import Superseded
from parvis_kit.events.ledger import SqlLedger, tables_of
from parvis_kit.events.reactions import Projection

NEXT = "__next"
"""At the end of the name of a table that is being computed."""
OF_A_CONSUMER = ("consumer_offset", "inbox", "parked")


async def prepare(database: Database, projection: Projection) -> None:
    """See to it that this version is kept, or is on its way.

    The first one is computed in place, for there is nothing that serves yet. A later version is computed beside the one that serves.
    An older one (a process that is about to be replaced) finds the newer one and leaves it alone.
    """
    async with database.transaction() as tx:
        kept = await _locked(tx, projection.name)
        building = await _locked(tx, projection.next_name)
        if kept is None:
            await _say(tx, projection.name, projection.version)
        elif kept.version < projection.version and (building is None or building.version < projection.version):
            await _begin(tx, projection, kept)


async def rebuild(database: Database, projection: Projection, gone: Collection[str] = ()) -> None:
    """Have it computed again from the beginning of the log, beside what serves until then; by whoever runs it.

    `gone`: partitions in which the one that serves stands where the log is no more. A topic that was made anew ends before that stand
    perhaps for ever, and what is built would be waited for until it has come as far.
    """
    async with database.transaction() as tx:
        kept = await _locked(tx, projection.name)
        await _locked(tx, projection.next_name)
        if kept is None:
            await _say(tx, projection.name, projection.version)
        else:
            await _begin(tx, projection, kept)
            offsets = tables_of(database.service)["consumer_offset"]
            where = sa.and_(offsets.c.consumer == projection.consumer, offsets.c.partition.in_(sorted(gone)))
            await tx.execute(sa.delete(offsets).where(where))


async def _begin(tx: Tx, projection: Projection, kept: Any) -> None:
    """Both rows are locked: batches in hand are over, and the next ones find what is written here."""
    if kept.built_at is None:  # it was never complete: nothing is lost by starting again in place
        await _say(tx, projection.name, projection.version)
        for table in reversed(projection.tables):
            await tx.execute(sa.delete(table))
        await _forget_consumers(tx, f"{projection.name}@")
        return
    await _say(tx, projection.next_name, projection.version)
    await _forget_consumers(tx, f"{projection.next_name}@")
    await tx.run_sync(partial(_make_anew, tables=projection.tables))
    meters.PROJECTION.labels(projection.name, "building").set(projection.version)


async def replace(database: Database, projection: Projection, clock: Clock) -> bool:
    """Put what was built in the place of what serves, in one transaction; readers see the one or the other.

    False, and nothing is done, when what serves has meanwhile seen more. Raises Superseded when nothing is being built any more.
    """
    offsets = tables_of(database.service)["consumer_offset"]
    async with database.transaction() as tx:
        await _locked(tx, projection.name)
        building = await _locked(tx, projection.next_name)
        if building is None or building.version != projection.version:
            raise Superseded(f"{projection.name} has been replaced, or begins again")
        stands = {(row.consumer, row.partition): row.next for row in await tx.execute(sa.select(offsets))}
        if any(
            consumer.startswith(f"{projection.name}@") and stands.get((projection.builder, partition), 0) < next_
            for (consumer, partition), next_ in stands.items()
        ):
            return False
        for table in reversed(projection.tables):
            await tx.execute(sa.delete(table))
        for table in projection.tables:
            built = next_of(table)
            await tx.execute(sa.insert(table).from_select([column.name for column in built.c], sa.select(built)))
        await tx.run_sync(partial(_drop, tables=projection.tables))
        await _forget_consumers(tx, f"{projection.name}@")
        for name in OF_A_CONSUMER:
            mine = tables_of(database.service)[name]
            await tx.execute(sa.update(mine).where(mine.c.consumer == projection.builder).values(consumer=projection.consumer))
        table = tables_of(database.service)["projection"]
        await tx.execute(sa.delete(table).where(table.c.name == projection.next_name))
        row = sa.update(table).where(table.c.name == projection.name)
        await tx.execute(row.values(version=projection.version, built_at=clock()))
    meters.PROJECTION.labels(projection.name, "active").set(projection.version)
    meters.PROJECTION.labels(projection.name, "building").set(0)
    return True


async def mark_built(database: Database, projection: Projection, clock: Clock) -> None:
    """It has reached the end of the log once: from now on it is complete, give or take the lag."""
    table = tables_of(database.service)["projection"]
    building = sa.and_(table.c.name == projection.name, table.c.built_at.is_(None))
    async with database.transaction() as tx:
        await tx.execute(sa.update(table).where(building).values(built_at=clock()))
    meters.PROJECTION.labels(projection.name, "active").set(projection.version)


async def is_kept(database: Database, projection: Projection) -> bool:
    return (await versions(database)).get(projection.name) == projection.version


async def is_being_built(database: Database, projection: Projection) -> bool:
    """Beside one that serves."""
    return (await versions(database)).get(projection.next_name) == projection.version


async def versions(database: Database) -> dict[str, int]:
    """By the name of what serves, and of what is built beside it."""
    async with database.read() as conn:
        return {name: version for name, version in await conn.execute(_versions(database.service))}


@cache
def _versions(service: str) -> sa.Select[Any]:
    table = tables_of(service)["projection"]
    return sa.select(table.c.name, table.c.version)


class KeepingLedger(SqlLedger):
    """The Ledger of the one that serves: each batch finds this version in its place, or gives way."""

    def __init__(self, database: Database, projection: Projection, clock: Clock) -> None:
        super().__init__(database, projection.consumer, clock)
        self.wanted = partial(self._wanted, projection.name, projection.version)

    async def lock_offsets(self, tx: Tx, partitions: Iterable[str]) -> dict[str, int]:
        await self.wanted(tx)
        return await super().lock_offsets(tx, partitions)

    async def _wanted(self, name: str, version: int, tx: Tx) -> None:
        """Shared, so that whoever replaces it waits for the batch in hand."""
        found = await tx.execute(_version_held(self.database.service), {"name": name})
        if found.scalar_one_or_none() != version:
            raise Superseded(f"{self.consumer} is no longer what is wanted")


@cache
def _version_held(service: str) -> sa.Select[Any]:
    table = tables_of(service)["projection"]
    return sa.select(table.c.version).where(table.c.name == sa.bindparam("name")).with_for_update(read=True)


class BuildingLedger(KeepingLedger):
    """The Ledger of the one that is built: the same reactions, and their statements go to the tables of the next one."""

    def __init__(self, database: Database, projection: Projection, clock: Clock) -> None:
        SqlLedger.__init__(self, database, projection.builder, clock)
        self.wanted = partial(self._wanted, projection.next_name, projection.version)
        self.redirect = redirecting(database, projection.tables)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with super().transaction() as tx:
            sa.event.listen(tx.conn, "before_cursor_execute", self.redirect, retval=True)
            yield tx


def redirecting(database: Database, tables: Iterable[sa.Table]) -> Callable[..., tuple[str, Any]]:
    """Every statement names its tables in full, with their schema, and values are never part of it: their names can be exchanged."""
    write = database.write_engine.dialect.identifier_preparer.format_table
    others = {write(table): write(next_of(table)) for table in tables}
    named = re.compile(r"(?<![\w.\"])(" + "|".join(map(re.escape, others)) + r")(?![\w\"])")

    def redirect(_conn: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> tuple[str, Any]:
        return named.sub(lambda found: others[found[1]], statement), parameters

    return redirect


def next_of(table: sa.Table) -> sa.Table:
    """The same columns and keys under another name. References are left out: facts of different topics come in any order."""
    made = table.to_metadata(sa.MetaData(schema=table.schema), name=f"{table.name}{NEXT}")
    for reference in list(made.foreign_key_constraints):
        made.constraints.discard(reference)
    named: list[sa.Index | sa.Constraint] = [*made.indexes, *made.constraints]
    for number, part in enumerate(sorted(named, key=lambda one: str(one.name))):
        part.name = f"{made.name}_{number}"  # or two tables of a schema would claim one name
    return made


def _make_anew(conn: sa.Connection, tables: Iterable[sa.Table]) -> None:
    for table in map(next_of, tables):
        table.drop(conn, checkfirst=True)
        table.create(conn)


def _drop(conn: sa.Connection, tables: Iterable[sa.Table]) -> None:
    for table in map(next_of, tables):
        table.drop(conn)


async def _locked(tx: Tx, name: str) -> Any:
    table = tables_of(tx.database.service)["projection"]
    return (await tx.execute(sa.select(table).where(table.c.name == name).with_for_update())).one_or_none()


async def _say(tx: Tx, name: str, version: int) -> None:
    statement = upsert(tx, tables_of(tx.database.service)["projection"]).values(name=name, version=version, built_at=None)
    excluded = statement.excluded
    await tx.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"version": excluded.version, "built_at": excluded.built_at})
    )


async def _forget_consumers(tx: Tx, prefix: str) -> None:
    for name in OF_A_CONSUMER:
        table = tables_of(tx.database.service)[name]
        await tx.execute(sa.delete(table).where(table.c.consumer.startswith(prefix, autoescape=True)))
