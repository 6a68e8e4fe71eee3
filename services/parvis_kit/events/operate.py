"""What an operator does with the log: follow it, see who lags, look at what is parked, replay it, discard it, rebuild."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from parvis_kit.db import Database
from parvis_kit.events import meters, projections
from parvis_kit.events.bell import log_of
from parvis_kit.events.consumer import PARKED_FACTS_MAX, PARKED_LANES_MAX, replay
from parvis_kit.events.facts import Envelope
from parvis_kit.events.ledger import SqlLedger, all_stands, parked_of, tables_of
from parvis_kit.events.ports import Record
from parvis_kit.events.reactions import Dispatcher, Projection, Reactions, topics_of
from parvis_kit.events.running import LOOK_SECONDS, Flow, Note, step_over, unnoted
from parvis_kit.problems import Conflict, NotFound

PARKED_SHOWN_MAX = 1_000
"""Of a service; what is done about them is done with all."""
OUTBOX_COUNTED_MAX = 100_000
"""A broker that is away for a day leaves millions, and to count them all would add to what is wrong."""
READ_MAX = 500
"""Facts that are held at once to be shown."""
SINCE_MARGIN = timedelta(minutes=10)
"""A fact takes its place in the log later than it says, by as long as its transaction was open and as clocks differ."""

Lane = tuple[str, str]
"""A topic and a key."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a consumer is behind one publisher."""

    consumer: str
    publisher: str
    facts: int
    seconds: float
    """Age of the oldest fact it has not handled; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """What waits in a service's outbox."""

    facts: int
    """Up to a limit."""
    seconds: float
    """Age of the oldest; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class ParkedNumber:
    """How much waits for a consumer."""

    facts: int
    is_full: bool
    """It may park nothing more, and stands still at the next fact that it would have to."""


@dataclass(frozen=True, slots=True)
class ParkedFact:
    """A fact that waits, and why. Only the head of its key has failed: those behind it wait for their turn."""

    seq: int
    consumer: str
    fact: Envelope
    reason: str
    error: str
    attempts: int
    parked_at: datetime


def tables_by_consumer(flow: Flow) -> dict[str, Reactions]:
    """Every consumer of the service, by name."""
    mine: dict[str, Reactions] = {flow.service: flow.reactions} if flow.reactions else {}
    return mine | {projection.consumer: projection.on for projection in flow.projections}


def table_of(flow: Flow, consumer: str) -> Reactions:
    """Raises NotFound, naming those that there are."""
    tables = tables_by_consumer(flow)
    if consumer not in tables:
        raise NotFound(f"{flow.service} has no consumer {consumer!r}; it has {', '.join(sorted(tables)) or 'none'}")
    return tables[consumer]


async def lag(flow: Flow) -> list[Lag]:
    """For each consumer of the service and each publisher it listens to. Raises Gone."""
    tables = [*tables_by_consumer(flow).items(), *await building(flow)]
    stands, now = await all_stands(flow.database), flow.clock()
    asked = [(topics_of(table), stands.get(consumer, {})) for consumer, table in tables]
    return [
        Lag(consumer, publisher, facts, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)
        for (consumer, _), waiting in zip(tables, await flow.log.waiting(flow.database, asked), strict=True)
        for publisher, (facts, oldest) in waiting.items()
    ]


async def building(flow: Flow) -> list[tuple[str, Reactions]]:
    """The consumers that compute a projection beside the one that serves."""
    under_way = await projections.versions(flow.database) if flow.projections else {}
    return [(one.builder, one.on) for one in flow.projections if under_way.get(one.next_name) == one.version]


async def gauge(flow: Flow) -> list[Lag]:
    """Set the gauges that tell what waits to leave, what is parked, and who lags. The log is asked last: while it is away, the rest is
    known. Raises Gone."""
    waiting = await outbox(flow)
    meters.OUTBOX_PENDING.labels(flow.service).set(waiting.facts)
    meters.OUTBOX_AGE.labels(flow.service).set(waiting.seconds)
    numbers = await parked_numbers(flow.database)
    for consumer in tables_by_consumer(flow):
        meters.PARKED_NOW.labels(consumer).set(numbers[consumer].facts if consumer in numbers else 0)
    lags = await lag(flow)
    for one in lags:
        meters.LAG_FACTS.labels(one.consumer, one.publisher).set(one.facts)
        meters.LAG_SECONDS.labels(one.consumer, one.publisher).set(one.seconds)
    meters.LOOKED_AT.labels(flow.service).set(flow.clock().timestamp())
    return lags


async def outbox(flow: Flow) -> Unsent:
    """What has not left yet. Always nothing on SQLite, whose transactions write into the log themselves."""
    table = tables_of(flow.service)["outbox"]
    some = sa.select(table.c.id).limit(OUTBOX_COUNTED_MAX).subquery()
    first = sa.select(table.c.at).order_by(table.c.id).limit(1).scalar_subquery()
    async with flow.database.read() as conn:
        facts, oldest = (await conn.execute(sa.select(sa.func.count(), first).select_from(some))).one()
    return Unsent(facts, max(0.0, (flow.clock() - oldest).total_seconds()) if oldest else 0.0)


async def parked_numbers(database: Database) -> dict[str, ParkedNumber]:
    """Of each consumer for which any fact waits."""
    table = tables_of(database.service)["parked"]
    lanes = sa.select(table.c.consumer, sa.func.count().label("facts")).group_by(table.c.consumer, table.c.topic, table.c.key).subquery()
    counted = sa.select(lanes.c.consumer, sa.func.sum(lanes.c.facts), sa.func.count()).group_by(lanes.c.consumer)
    async with database.read() as conn:
        return {
            consumer: ParkedNumber(int(facts), facts >= PARKED_FACTS_MAX or keys >= PARKED_LANES_MAX)
            for consumer, facts, keys in await conn.execute(counted)
        }


@cache
def parked_statement(service: str) -> sa.Select[Any]:
    """Of all consumers, or of the one named."""
    table, consumer = tables_of(service)["parked"], sa.bindparam("consumer", type_=sa.Text)
    wanted = sa.and_(table.c.seq >= sa.bindparam("start"), sa.or_(consumer.is_(None), table.c.consumer == consumer))
    return sa.select(table).where(wanted).order_by(table.c.seq).limit(sa.bindparam("most"))


async def parked(database: Database, consumer: str | None = None, *, start: int = 0, limit: int = PARKED_SHOWN_MAX) -> list[ParkedFact]:
    """What waits in this service, oldest first, from a number on."""
    async with database.read() as conn:
        rows = await conn.execute(parked_statement(database.service), {"consumer": consumer, "start": start, "most": limit})
        return [
            ParkedFact(row.seq, row.consumer, parked_of(row).record.fact, row.reason, row.error, row.attempts, row.parked_at)
            for row in rows
        ]


async def parked_lanes(database: Database, consumer: str, key: str | None = None) -> dict[Lane, int]:
    """The lanes that wait, in the order in which they were parked, and how many facts in each; of one key, or all.

    Raises NotFound when there is none.
    """
    table = tables_of(database.service)["parked"]
    lane = (table.c.topic, table.c.key)
    query = sa.select(*lane, sa.func.count()).where(table.c.consumer == consumer).group_by(*lane).order_by(sa.func.min(table.c.seq))
    async with database.read() as conn:
        rows = await conn.execute(query if key is None else query.where(table.c.key == key))
        lanes = {(row[0], row[1]): row[2] for row in rows}
    if not lanes:
        raise NotFound(f"nothing is parked under key {key!r}" if key is not None else "nothing is parked")
    return lanes


async def replay_lane(flow: Flow, consumer: str, lane: Lane) -> int:
    """Apply what waits in the lane, in order, in one transaction; how many facts it was. What still fails leaves all of it parked.

    Raises the reaction's own error.
    """
    react = Dispatcher(consumer, table_of(flow, consumer), flow.clock)
    partitions = await partitions_of(flow.database, consumer, lane)
    return await replay(SqlLedger(flow.database, consumer, flow.clock), react, lane, partitions)


async def partitions_of(database: Database, consumer: str, lane: Lane) -> list[str]:
    """Where the facts of a lane come from: what is locked while its parked ones are touched."""
    table = tables_of(database.service)["parked"]
    mine = sa.and_(table.c.consumer == consumer, table.c.topic == lane[0], table.c.key == lane[1])
    async with database.read() as conn:
        return list((await conn.execute(sa.select(table.c.partition).where(mine).distinct().order_by(table.c.partition))).scalars())


async def discard_lane(flow: Flow, consumer: str, lane: Lane, note: Note = unnoted) -> list[Record]:
    """Take what waits in the lane away, unapplied; later facts of its key pass again. Returns what was thrown away, for the record.

    `note`: writes the act down, in its transaction.
    """
    ledger = SqlLedger(flow.database, consumer, flow.clock)
    table_of(flow, consumer)
    partitions = await partitions_of(flow.database, consumer, lane)
    async with ledger.transaction() as tx:
        await ledger.lock_offsets(tx, partitions)
        gone = [one.record for one in await ledger.unpark(tx, lane)]
        if gone:
            await note(tx)
        return gone


def projection_of(flow: Flow, name: str) -> Projection:
    """By name, with or without its version. Raises Conflict for a consumer with side effects: those are never computed again."""
    for projection in flow.projections:
        if name in (projection.name, projection.consumer):
            return projection
    if name in tables_by_consumer(flow):
        raise Conflict(f"{name} is a table of reactions, whose effects reach outside: only projections are rebuilt")
    raise NotFound(f"{flow.service} has no projection {name!r}; it has {', '.join(one.name for one in flow.projections) or 'none'}")


async def rebuild(flow: Flow, name: str) -> Projection:
    """Have a projection computed again from the beginning of the log, beside what serves, by whichever process runs it."""
    projection = projection_of(flow, name)
    await projections.rebuild(flow.database, projection)
    return projection


async def accept_loss(flow: Flow, consumer: str, note: Note = unnoted) -> Mapping[str, int]:
    """Let a consumer that the log has left behind go on from where the log begins now.

    Returns how many positions it skipped, by partition; below 0 where the log was made anew and is read again.
    `note`: writes the act down, in its transaction, when there was any.
    """
    return await step_over(flow, consumer, table_of(flow, consumer), note)


async def tail(
    flow: Flow, topics: Mapping[str, Sequence[str]], *, since: datetime | None = None, follow: bool = False
) -> AsyncIterator[tuple[str, int, Envelope]]:
    """(partition, offset, fact) of the topics of each publisher, as this service may read them; with `follow`, for ever.

    `since`: only what says that it happened since then. What a fact says of the time after it was published counts for nothing.
    """
    async with flow.log.reading(flow.database, topics) as reading:
        names, positions = frozenset(map(log_of, topics)), dict.fromkeys(reading.partitions, 0)
        if since is not None:
            positions.update(await reading.since(since - SINCE_MARGIN))
        while True:
            heard, came = flow.bell.heard(names), 0
            for partition, start in positions.items():
                batch = await reading.read(partition, start, READ_MAX)
                positions[partition] = batch.next
                came += len(batch.records)
                for record in batch.records:
                    if since is None or record.fact.at >= since:
                        yield partition, record.offset, record.fact
            if not came:
                if not follow:
                    return
                await flow.bell.wait(names, heard, LOOK_SECONDS)
