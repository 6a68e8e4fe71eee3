"""What a process runs so that facts flow: the relay of each of its services, their consumers, and the care of their logs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx, upsert
from parvis_kit.db.engines import LEASE_SECONDS
from parvis_kit.events import meters
from parvis_kit.events.bell import Bell
from parvis_kit.events.consumer import Behind, Consumer, Undone
from parvis_kit.events.ledger import SqlLedger, stands_of, tables_of
from parvis_kit.events.log import Log
from parvis_kit.events.ports import Gone
from parvis_kit.events.postgres_leader import nap_until_rung
from parvis_kit.events.reactions import Dispatcher, Projection, Reactions
from parvis_kit.events.relay import relay
from parvis_kit.problems import Unavailable

LOOK_SECONDS = 1.0
"""How often a process that sees only its share of the partitions looks whether the others have come to the end as well."""
BEHIND_SECONDS = 60.0
"""How often a consumer that the log has left behind says so, until an operator accepts the loss."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flow:
    """The facts of one service: where its tables are, what it listens to, and the log between."""

    database: Database
    clock: Clock
    log: Log
    reactions: Reactions
    projections: Sequence[Projection] = ()
    lease_seconds: float = LEASE_SECONDS
    """How long a frozen leader keeps its lock."""

    @property
    def service(self) -> str:
        return self.database.service

    @property
    def bell(self) -> Bell:
        return self.log.bell


def tasks_of(flow: Flow) -> dict[str, Callable[[], Awaitable[None]]]:
    """Coroutine functions to run and to start again when they end, by name. Cancelling one is safe at any moment."""
    flow.database.published = partial(flow.bell.ring, flow.service)
    tasks: dict[str, Callable[[], Awaitable[None]]] = {}
    if carriers := flow.log.carriers(flow.database, flow.lease_seconds):
        tasks[f"{flow.service}.relay"] = partial(relay, carriers, nap_until_rung(flow.bell))
    if flow.reactions:
        tasks[flow.service] = partial(run_reactions, flow)
    for projection in flow.projections:
        tasks[projection.consumer] = partial(run_projection, flow, projection)
    return tasks


async def run_reactions(flow: Flow) -> None:
    """React to others' facts. A fact that the log lost before it was read cannot come back: say so until somebody has looked."""
    async with consumer_of(flow, flow.service, flow.reactions) as consumer:
        while True:
            try:
                await consumer.run()
                return
            except Undone as undone:
                log.error("%s; what it has done about them stays done, and it goes on", undone)
                await step_over(flow, flow.service, flow.reactions)
            except Behind as behind:
                meters.STALLED.labels(flow.service).set(1)
                log.error("%s; `parvis events accept-loss %s --reason …` goes on from there", behind, flow.service)
                await asyncio.sleep(BEHIND_SECONDS)


async def step_over(flow: Flow, consumer: str, table: Reactions) -> Mapping[str, int]:
    """Go on where the log begins now; how many positions were skipped, by partition (below 0 where the log was made anew)."""
    topics = Dispatcher(consumer, table, flow.clock).topics
    stands = await stands_of(flow.database, consumer)
    async with flow.log.reading(flow.database, topics) as reading:
        begins = await reading.lost(stands)
    skipped = {}
    ledger = SqlLedger(flow.database, consumer, flow.clock)
    async with ledger.transaction() as tx:
        offsets = await ledger.lock_offsets(tx, sorted(begins))
        for partition, begin in begins.items():
            if offsets[partition] == stands[partition]:
                skipped[partition] = begin - offsets[partition]
                await ledger.advance(tx, {partition: begin})
    return skipped


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

        async with knowing_the_end(flow, consumer, projection.on, reached_end):
            while not consumer.stopping:
                try:
                    await consumer.run()
                except Behind as behind:
                    log.warning("%s: rebuilding", behind)
                    built = False
                    await forget(flow.database, projection)


@asynccontextmanager
async def knowing_the_end(flow: Flow, consumer: Consumer, table: Reactions, reached_end: Callable[[], None]) -> AsyncIterator[None]:
    """Have `reached_end` called whenever everything that the log held is applied, by this member or by all of them together."""
    if not flow.log.shares_out():
        consumer.at_end = reached_end
        yield
        return
    looking = asyncio.create_task(_look_for_the_end(flow, consumer.name, table, reached_end))
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _look_for_the_end(flow: Flow, consumer: str, table: Reactions, reached_end: Callable[[], None]) -> None:
    topics = Dispatcher(consumer, table, flow.clock).topics
    while True:
        with suppress(Gone, Unavailable):
            async with flow.log.reading(flow.database, topics) as reading:
                while True:
                    if await reading.is_at_end(await stands_of(flow.database, consumer)):
                        reached_end()
                    await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(LOOK_SECONDS)


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
    """A consumer of this service under this name, with a source of its own."""
    react = Dispatcher(name, table, flow.clock)
    async with flow.log.source(flow.database, name, react.topics, flow.lease_seconds) as source:
        yield Consumer(name, source, SqlLedger(flow.database, name, flow.clock), react)


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
