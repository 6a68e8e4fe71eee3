"""The four protocols of the cores, kept by the model for one process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from parvis_kit.events.ports import Parked, Row
from parvis_kit.events.relay import BrokerCarrier, Carrier
from parvis_kit.testing.simulation.log import Broker
from parvis_kit.testing.simulation.loop import OUTSIDE, Process
from parvis_kit.testing.simulation.store import Fact, Session, Store


@asynccontextmanager
async def session_of(store: Store, process: Process) -> AsyncIterator[Session]:
    """A connection. Whoever is cancelled closes it and waits for no answer: what was on its way may still happen."""
    session = Session(store, process)
    try:
        yield session
    except asyncio.CancelledError:
        store.loop.call_later(store.delay(), store.end, session, context=OUTSIDE)
        raise
    except BaseException:
        if process.alive:
            store.end(session)
        raise
    store.end(session)


class ModelLedger:
    """The Ledger."""

    def __init__(self, store: Store, process: Process) -> None:
        self.store, self.process = store, process

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with session_of(self.store, self.process) as session:
            await self.begin(session)
            yield session
            if session.facts:
                await self.append(session, session.facts)
            await self.store.call(session, self.store.commit, self.store.durable)

    async def begin(self, tx: Session) -> None:
        """BEGIN IMMEDIATE: a file has one writer at a time."""
        if self.store.is_file:
            await self.store.call(tx, self.store.lock, "writer")

    @asynccontextmanager
    async def savepoint(self, tx: Session) -> AsyncIterator[None]:
        writes = dict(tx.writes)
        try:
            yield
        except BaseException:
            tx.writes = writes
            raise

    async def append(self, tx: Session, facts: Sequence[Fact]) -> None:
        await self.store.call(tx, self.store.append, facts)

    async def lock_offsets(self, tx: Session, partitions: Iterable[str]) -> dict[str, int]:
        offsets: dict[str, int] = await self.store.call(tx, self.store.lock_offsets, list(partitions))
        return offsets

    async def admit(self, tx: Session, facts: Sequence[Fact]) -> Mapping[Hashable, Hashable]:
        seen: dict[Hashable, Hashable] = await self.store.call(tx, self.store.admit, facts)
        return seen

    async def parked(self, tx: Session) -> Counter[Hashable]:
        lanes: Counter[Hashable] = await self.store.call(tx, self.store.parked)
        return lanes

    async def park(self, tx: Session, parked: Parked) -> None:
        await self.store.call(tx, self.store.park, parked)

    async def unpark(self, tx: Session, lane: Hashable) -> Sequence[Parked]:
        waiting: list[Parked] = await self.store.call(tx, self.store.unpark, lane)
        return waiting

    async def advance(self, tx: Session, offsets: Mapping[str, int]) -> None:
        await self.store.call(tx, self.store.advance, offsets)


class ModelOutbox:
    """The Outbox: the lock is its session's."""

    def __init__(self, store: Store, session: Session) -> None:
        self.store, self.session = store, session

    async def lead(self) -> bool:
        leads: bool = await self.store.call(self.session, self.store.try_lead)
        return leads

    async def claim(self, limit: int) -> Sequence[Row]:
        rows: list[Row] = await self.store.call(self.session, self.store.claim, limit)
        return rows

    async def delete(self, ids: Sequence[int]) -> None:
        await self.store.call(self.session, self.store.delete, ids)


class TableCarrier:
    """From the outbox to the log of the same database: number, insert and delete in one transaction."""

    def __init__(self, store: Store, session: Session, limit: int) -> None:
        self.store, self.session, self.limit = store, session, limit

    async def lead(self) -> bool:
        leads: bool = await self.store.call(self.session, self.store.try_lead)
        return leads

    async def carry(self) -> int:
        head = await self.store.call(self.session, self.store.lock_head)
        moved: int = await self.store.call(self.session, self.store.move, head, self.limit)
        await self.store.call(self.session, self.store.commit, self.store.durable)
        return moved


@asynccontextmanager
async def open_carrier(store: Store, process: Process, broker: Broker | None, limit: int) -> AsyncIterator[Carrier]:
    """One try at leading: to the broker where there is one, and to the publisher's own log otherwise."""
    async with session_of(store, process) as session:
        yield TableCarrier(store, session, limit) if broker is None else BrokerCarrier(ModelOutbox(store, session), broker, limit)
