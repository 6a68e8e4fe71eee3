"""What a process runs so that facts flow: the relay of each of its services, their consumers, and the care of their logs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from parvis_kit.clock import Clock
from parvis_kit.db import Database, Tx
from parvis_kit.db.engines import LEASE_SECONDS
from parvis_kit.events import meters, projections
from parvis_kit.events.bell import Bell, log_of, nap_until_rung, outbox_of
from parvis_kit.events.consumer import Behind, Consumer, Superseded, Undone
from parvis_kit.events.ledger import SqlLedger, stands_of
from parvis_kit.events.log import Log
from parvis_kit.events.ports import Gone
from parvis_kit.events.reactions import Dispatcher, Projection, Reactions, topics_of
from parvis_kit.events.relay import relay
from parvis_kit.problems import Unavailable

LOOK_SECONDS = 1.0
"""How often a process that sees only its share of the partitions looks whether the others have come to the end as well."""
REST_SECONDS = 5.0
"""How often, once they were there. A copy counts as late from fifteen seconds on."""
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

    @property
    def news(self) -> str:
        """What rings when the service has published: its outbox, or its log where its transactions write there themselves."""
        return (outbox_of if self.has_outbox else log_of)(self.service)

    @property
    def has_outbox(self) -> bool:
        """Whether its facts wait there until a relay takes them to the log."""
        return self.log.carriers(self.database, self.lease_seconds) is not None


def tasks_of(flow: Flow) -> dict[str, Callable[[], Awaitable[None]]]:
    """Coroutine functions to run and to start again when they end, by name. Cancelling one is safe at any moment."""
    tasks: dict[str, Callable[[], Awaitable[None]]] = {}
    if carriers := flow.log.carriers(flow.database, flow.lease_seconds):
        tasks[f"{flow.service}.relay"] = partial(relay, carriers, nap_until_rung(flow.bell, flow.service))
    flow.database.published = partial(flow.bell.ring, flow.news)
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


Note = Callable[[Tx], Awaitable[None]]
"""Writes an operator's act down, in the transaction of the act."""


async def unnoted(tx: Tx) -> None: ...


async def step_over(flow: Flow, consumer: str, table: Reactions, note: Note = unnoted) -> Mapping[str, int]:
    """Go on where the log begins now; how many positions were skipped, by partition (below 0 where the log was made anew)."""
    stands = await stands_of(flow.database, consumer)
    begins = await lost(flow, consumer, table, stands)
    skipped = {}
    ledger = SqlLedger(flow.database, consumer, flow.clock)
    async with ledger.transaction() as tx:
        offsets = await ledger.lock_offsets(tx, sorted(begins))
        for partition, begin in begins.items():
            if offsets[partition] == stands[partition]:
                skipped[partition] = begin - offsets[partition]
                await ledger.advance(tx, {partition: begin})
        if skipped:
            await note(tx)
    return skipped


async def lost(flow: Flow, consumer: str, table: Reactions, stands: Mapping[str, int]) -> Mapping[str, int]:
    """Where the log begins now, of each partition that no longer holds what comes after this stand. Raises Gone."""
    async with flow.log.reading(flow.database, topics_of(table)) as reading:
        return await reading.lost(stands)


async def run_projection(flow: Flow, projection: Projection) -> None:
    """Keep a projection, and compute it beside itself whenever that is asked for."""
    await projections.prepare(flow.database, projection)
    async with asyncio.TaskGroup() as work:
        work.create_task(keep_projection(flow, projection))
        work.create_task(build_projection(flow, projection))


async def keep_projection(flow: Flow, projection: Projection) -> None:
    """Whatever takes it out of its place, it looks every second whether it is wanted again. Runs until cancelled."""
    behind = False
    while True:
        with suppress(Gone, Unavailable):
            if behind:
                behind = await projections.is_being_built(flow.database, projection)
            elif await projections.is_kept(flow.database, projection):
                try:
                    await _keep(flow, projection)
                except Superseded as superseded:
                    log.info("%s", superseded)
                except Behind as reason:
                    log.warning("%s: it is computed again", reason)
                    stands = await stands_of(flow.database, projection.consumer)
                    gone = await lost(flow, projection.consumer, projection.on, stands)
                    await projections.rebuild(flow.database, projection, gone)
                    behind = True
        await asyncio.sleep(LOOK_SECONDS)


async def _keep(flow: Flow, projection: Projection) -> None:
    """Raises Superseded, or Behind."""
    ledger = projections.KeepingLedger(flow.database, projection, flow.clock)
    marking: asyncio.Task[None] | None = None

    def reached_end() -> None:
        nonlocal marking
        if marking is None or (marking.done() and marking.exception()):
            marking = asyncio.create_task(projections.mark_built(flow.database, projection, flow.clock))
        projection.reached_end()

    try:
        async with (
            consumer_of(flow, projection.consumer, projection.on, ledger) as consumer,
            knowing_the_end(flow, consumer, projection.on, reached_end),
        ):
            await consumer.run()
    finally:
        if marking is not None:
            marking.cancel()


async def build_projection(flow: Flow, projection: Projection) -> None:
    """Runs until cancelled."""
    while True:
        with suppress(Unavailable):
            if await projections.is_being_built(flow.database, projection):
                try:
                    await _build(flow, projection)
                except Superseded as superseded:
                    log.info("%s", superseded)
                except Behind as reason:
                    log.warning("%s: it is begun again", reason)
                    await projections.rebuild(flow.database, projection)
        await asyncio.sleep(LOOK_SECONDS)


async def _build(flow: Flow, projection: Projection) -> None:
    """From the beginning of the log to its end, and then into the place of what serves. Raises Superseded, or Behind."""
    reached_end = asyncio.Event()
    ledger = projections.BuildingLedger(flow.database, projection, flow.clock)
    async with (
        consumer_of(flow, projection.builder, projection.on, ledger) as consumer,
        knowing_the_end(flow, consumer, projection.on, reached_end.set),
    ):
        computing = asyncio.create_task(consumer.run())
        try:
            while True:
                waiting = asyncio.create_task(reached_end.wait())
                await asyncio.wait({computing, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if computing.done():
                    return computing.result()
                reached_end.clear()
                if await projections.replace(flow.database, projection, flow.clock):
                    log.info("%s is computed again, and serves", projection.name)
                    return
        finally:
            await end(computing)


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
        await end(looking)


async def _look_for_the_end(flow: Flow, consumer: str, table: Reactions, reached_end: Callable[[], None]) -> None:
    topics = topics_of(table)
    while True:
        with suppress(Gone, Unavailable):
            async with flow.log.reading(flow.database, topics) as reading:
                while True:
                    if is_at_end := await reading.is_at_end(await stands_of(flow.database, consumer)):
                        reached_end()
                    await asyncio.sleep(REST_SECONDS if is_at_end else LOOK_SECONDS)
        await asyncio.sleep(LOOK_SECONDS)


async def end(task: "asyncio.Task[None]") -> None:
    """Cancel it and wait until it is over. To await it would take a cancellation that is meant for us for its own, and go on."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # whoever ends it does not mind how


@asynccontextmanager
async def consumer_of(flow: Flow, name: str, table: Reactions, ledger: SqlLedger | None = None) -> AsyncIterator[Consumer]:
    """A consumer of this service under this name, with a source of its own."""
    react = Dispatcher(name, table, flow.clock)
    async with flow.log.source(flow.database, name, topics_of(table), flow.lease_seconds) as source:
        yield Consumer(name, source, ledger or SqlLedger(flow.database, name, flow.clock), react)
