"""What a process runs so that facts flow: the relay of each of its services, their consumers, and the care of their logs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx, upsert
from parvis_kit.db.engines import LEASE_SECONDS, sqlite_path
from parvis_kit.events import meters
from parvis_kit.events.bell import Bell
from parvis_kit.events.consumer import Behind, Consumer, Undone
from parvis_kit.events.ledger import SqlLedger, tables_of
from parvis_kit.events.postgres_relay import nap_until_rung, open_carrier
from parvis_kit.events.reactions import Dispatcher, Projection, Reactions
from parvis_kit.events.relay import relay
from parvis_kit.events.sql_log import PostgresReaders, Reader, SqliteReader, SqlSource

BEHIND_SECONDS = 60.0
"""How often a consumer that the log has left behind says so, until an operator accepts the loss."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flow:
    """The facts of one service: where its tables are, what it listens to, and the process's bell."""

    database: Database
    clock: Clock
    bell: Bell
    url_of: Callable[[str], str]
    """The database URL under which each service opens its own tables (on SQLite it names the file to read)."""
    reactions: Reactions
    projections: Sequence[Projection] = ()
    lease_seconds: float = LEASE_SECONDS
    """How long a frozen leader keeps its lock."""

    @property
    def service(self) -> str:
        return self.database.service


def tasks_of(flow: Flow) -> dict[str, Callable[[], Awaitable[None]]]:
    """Coroutine functions to run and to start again when they end, by name. Cancelling one is safe at any moment."""
    flow.database.published = partial(flow.bell.ring, flow.service)
    tasks: dict[str, Callable[[], Awaitable[None]]] = {}
    if not flow.database.is_sqlite:
        tasks[f"{flow.service}.relay"] = partial(run_relay, flow)
    if flow.reactions:
        tasks[flow.service] = partial(run_reactions, flow)
    for projection in flow.projections:
        tasks[projection.consumer] = partial(run_projection, flow, projection)
    return tasks


async def run_relay(flow: Flow) -> None:
    """Carry what the service publishes from its outbox to its log."""
    await relay(
        partial(open_carrier, flow.url_of(flow.service), flow.service, flow.bell, lease_seconds=flow.lease_seconds),
        nap_until_rung(flow.bell),
    )


async def run_reactions(flow: Flow) -> None:
    """React to others' facts. A fact that the log lost before it was read cannot come back: say so until somebody has looked."""
    async with consumer_of(flow, flow.service, flow.reactions) as consumer:
        while True:
            try:
                await consumer.run()
                return
            except Undone as undone:
                log.error("%s; what it has done about them stays done, and it goes on", undone)
                await step_over(flow)
            except Behind as behind:
                meters.STALLED.labels(flow.service).set(1)
                log.error("%s; `parvis events accept-loss %s --reason …` goes on from there", behind, flow.service)
                await asyncio.sleep(BEHIND_SECONDS)


async def step_over(flow: Flow) -> None:
    """Move the service's reactions past the numbers of facts that their publishers have lost."""
    topics = Dispatcher(flow.service, flow.reactions, flow.clock).topics
    async with readers_of(flow, topics) as readers:
        undone = {publisher: (await readers[publisher].read(0, wanted, 1)).undone for publisher, wanted in topics.items()}
    ledger = SqlLedger(flow.database, flow.service, flow.clock)
    async with ledger.transaction() as tx:
        offsets = await ledger.lock_offsets(tx, sorted(topics))
        await ledger.advance(tx, {one: undone[one].stop for one, stands in offsets.items() if stands in undone[one]})


async def run_projection(flow: Flow, projection: Projection) -> None:
    """Keep a projection; compute it from the beginning when its version is new, or when the log has left it behind."""
    await prepare(flow.database, projection)
    async with consumer_of(flow, projection.consumer, projection.on) as consumer, asyncio.TaskGroup() as marking:
        built = False

        def reached_end() -> None:
            nonlocal built
            if not built:
                built = True
                marking.create_task(mark_built(flow, projection))
            projection.reached_end()

        consumer.at_end = reached_end
        while not consumer.stopping:
            try:
                await consumer.run()
            except Behind as behind:
                log.warning("%s: rebuilding", behind)
                built = False
                await forget(flow.database, projection)


async def mark_built(flow: Flow, projection: Projection) -> None:
    """It has reached the end of the log once: from now on it is complete, give or take the lag."""
    table = tables_of(flow.service)["projection"]
    building = sa.and_(table.c.name == projection.name, table.c.built_at.is_(None))
    async with flow.database.transaction() as tx:
        await tx.execute(sa.update(table).where(building).values(built_at=flow.clock()))
    meters.PROJECTION.labels(projection.name, "active").set(projection.version)
    meters.PROJECTION.labels(projection.name, "building").set(0)


@asynccontextmanager
async def consumer_of(flow: Flow, name: str, table: Reactions) -> AsyncIterator[Consumer]:
    """A consumer of this service under this name, with readers of its own."""
    react = Dispatcher(name, table, flow.clock)
    async with readers_of(flow, react.topics) as readers:
        source = SqlSource(readers, react.topics, flow.bell)
        yield Consumer(name, source, SqlLedger(flow.database, name, flow.clock), react)


@asynccontextmanager
async def readers_of(flow: Flow, publishers: Sequence[str] | dict[str, list[str]]) -> AsyncIterator[dict[str, Reader]]:
    """A reader for each publisher's log: its file, or its table under this service's role."""
    if flow.database.is_sqlite:
        readers: dict[str, Reader] = {one: SqliteReader(one, sqlite_path(flow.url_of(one))) for one in publishers}
        try:
            yield readers
        finally:
            for reader in readers.values():
                await reader.close()
        return
    connections = PostgresReaders(flow.url_of(flow.service))
    try:
        yield {one: connections.of(one) for one in publishers}
    finally:
        await connections.close()


async def prepare(database: Database, projection: Projection) -> None:
    """Empty the tables of a projection whose version is new: it is then computed from the beginning of the log."""
    table = tables_of(database.service)["projection"]
    async with database.transaction() as tx:
        found = (await tx.execute(sa.select(table).where(table.c.name == projection.name).with_for_update())).one_or_none()
        if found is None or found.version != projection.version:
            await _empty(tx, projection)
            statement = upsert(tx, table).values(name=projection.name, version=projection.version, built_at=None)
            await tx.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"], set_={"version": statement.excluded.version, "built_at": statement.excluded.built_at}
                )
            )
        building = found is None or found.version != projection.version or found.built_at is None
    meters.PROJECTION.labels(projection.name, "building" if building else "active").set(projection.version)


async def forget(database: Database, projection: Projection) -> None:
    """Make a projection be computed again from the beginning of the log; it is incomplete until it has caught up."""
    table = tables_of(database.service)["projection"]
    async with database.transaction() as tx:
        await _empty(tx, projection)
        await tx.execute(sa.update(table).where(table.c.name == projection.name).values(built_at=None))


async def _empty(tx: Tx, projection: Projection) -> None:
    """Under the fence of every version: a consumer at work finishes its batch first, and finds its offset gone afterwards."""
    tables = tables_of(tx.database.service)
    offsets = tables["consumer_offset"]
    mine = offsets.c.consumer.startswith(f"{projection.name}@", autoescape=True)
    await tx.execute(sa.select(offsets).where(mine).order_by(offsets.c.consumer, offsets.c.partition).with_for_update())
    for table in reversed(projection.tables):
        await tx.execute(sa.delete(table))
    for name in ("consumer_offset", "inbox", "parked"):
        await tx.execute(sa.delete(tables[name]).where(tables[name].c.consumer.startswith(f"{projection.name}@", autoescape=True)))
