"""The log's parts, each as a process of its own, so that anyone can start, kill and check them against a database.

    python -m parvis_kit.testing.probe write   --database URL --seed 1 --facts 1000 --rate 250
    python -m parvis_kit.testing.probe relay   --database URL          (PostgreSQL; on SQLite the log needs none)
    python -m parvis_kit.testing.probe consume --database URL          (--unprotected: without fence and inbox, as a control)
    python -m parvis_kit.testing.probe verify  --database URL          (waits until all is applied, then says what is wrong)

URL: postgresql://…, or sqlite:///FOLDER (a file per service). With --kafka HOST:PORT (and --prefix NAME) the facts go through Kafka,
where a relay that was killed may send some again: up to a tenth of them is right there.

SIGUSR1 sets the wall clock of a part back by an hour, for it alone.

Writers count up the versions of a few keys and publish each; the consumer counts what it is given. So lost, disordered and twice applied
facts all show in two tables.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, ClassVar

import sqlalchemy as sa

from parvis_kit.clock import utc_now
from parvis_kit.db import Database, Tx, metadata_for, upsert
from parvis_kit.db.engines import LEASE_SECONDS
from parvis_kit.events import Fact, Reactions, log_tables, publish
from parvis_kit.events.bell import Bell
from parvis_kit.events.consumer import Consumer
from parvis_kit.events.kafka.client import gone_when_away
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.events.ledger import SqlLedger, lock_of, tables_of
from parvis_kit.events.operate import lag
from parvis_kit.events.ports import Gone
from parvis_kit.events.reactions import Dispatcher
from parvis_kit.events.running import Flow, consumer_of, tasks_of
from parvis_kit.events.sql_log import SqlLog
from parvis_kit.failpoints import arm, reach
from parvis_kit.problems import Unavailable
from parvis_kit.settings import Kafka
from parvis_kit.testing.kafka import KafkaServer, make_topics, records_of

KEYS = 20
ROLLBACKS = 0.1
PAUSE_SECONDS = 0.2
JUMP_SECONDS = 3600
OPEN_SECONDS_MAX = 10.0
"""To make the tables, beside the time that a verdict is waited for."""
DUPLICATES_MAX = 0.1
"""Of what lies on Kafka: a relay that dies between an acknowledgement and its delete sends a batch again, and the inbox drops it."""

PROBE, SINK = metadata_for("probe"), metadata_for("sink")
log_tables(PROBE)
log_tables(SINK)
COUNTER = sa.Table("counter", PROBE, sa.Column("key", sa.Text, primary_key=True), sa.Column("version", sa.Integer, nullable=False))
SEEN = sa.Table(
    "seen",
    SINK,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("last", sa.Integer, nullable=False),
    sa.Column("wrong", sa.Integer, nullable=False),
)


class WallClock:
    """What this process takes for the time: what a library reads from `time` is set back as well."""

    def __init__(self) -> None:
        self.back_seconds, self.seconds, self.nanoseconds = 0, time.time, time.time_ns
        time.time = lambda: self.seconds() - self.back_seconds
        time.time_ns = lambda: self.nanoseconds() - self.back_seconds * 10**9

    def __call__(self) -> datetime:
        return utc_now() - timedelta(seconds=self.back_seconds)

    def set_back(self) -> None:
        """As an administrator does, or NTP after it was away."""
        self.back_seconds += JUMP_SECONDS
        print(f"set back to {self().isoformat()}", flush=True)


CLOCK = WallClock()


class Counted(Fact):
    """A counter went up by one."""

    type: ClassVar = "probe.counter.counted.v1"
    version: int


class Refused(Exception):
    """A rule said no: the transaction rolls back, and nothing may be published."""


@dataclass(frozen=True, slots=True)
class Place:
    """The database of both services, how long their locks outlive them, and the Kafka between them, if any."""

    url: str
    lease_seconds: float = LEASE_SECONDS
    kafka: Kafka | None = None

    def url_of(self, service: str) -> str:
        return self.url if self.url.startswith("postgresql") else f"{self.url}/{service}.db"

    @asynccontextmanager
    async def open(self, metadata: sa.MetaData) -> AsyncIterator[Database]:
        """With its tables, made by whoever comes first."""
        service = str(metadata.schema)
        database = Database(self.url_of(service), service, lease_seconds=self.lease_seconds)
        try:
            while True:
                try:
                    async with database.transaction() as tx:
                        if not database.is_sqlite:
                            await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_of("probe"))))
                            await tx.execute(sa.schema.CreateSchema(service, if_not_exists=True))
                        await tx.run_sync(metadata.create_all)
                    break
                except Unavailable:
                    await asyncio.sleep(PAUSE_SECONDS)
            yield database
        finally:
            await database.close()

    def flow(self, database: Database) -> Flow:
        reactions: Reactions = {Counted: count} if database.service == "sink" else {}
        log = KafkaLog(self.kafka, self.url_of, Bell()) if self.kafka else SqlLog(self.url_of, Bell())
        return Flow(database, CLOCK, log, reactions, lease_seconds=self.lease_seconds)

    async def make_topics(self) -> None:
        """By whoever comes first."""
        while self.kafka:
            with suppress(Gone):
                await make_topics(self.kafka, [Counted.topic()])
                return
            await asyncio.sleep(PAUSE_SECONDS)


async def count(tx: Tx, fact: Counted) -> None:
    """Not idempotent, and it minds the order: what is applied twice or early is wrong for ever."""
    right = SEEN.c.last == fact.version - 1
    row = upsert(tx, SEEN).values(key=fact.about, count=1, last=fact.version, wrong=int(fact.version != 1))
    changed = {"count": SEEN.c.count + 1, "last": fact.version, "wrong": SEEN.c.wrong + sa.case((right, 0), else_=1)}
    await tx.execute(row.on_conflict_do_update(index_elements=["key"], set_=changed))


async def write(place: Place, *, seed: int, facts: int, rate: float, burst: int = 1) -> None:
    """Publish at this rate until `facts` are acknowledged, `burst` of each key that a transaction touches.

    A line on standard output for each acknowledged transaction.
    """
    random, left = Random(seed), facts
    loop = asyncio.get_running_loop()
    async with place.open(PROBE) as database:
        flow, due = place.flow(database), loop.time()
        database.published = partial(flow.bell.ring, flow.news)
        while left > 0:
            keys = sorted(random.sample(range(KEYS), random.randint(1, 3)))
            with suppress(Unavailable, Refused):
                async with database.transaction() as tx:
                    for key in keys:
                        last = await next_version(tx, f"k{key}", burst)
                        publish(tx, *(Counted(at=CLOCK(), about=f"k{key}", version=last - left) for left in reversed(range(burst))))
                    if random.random() < ROLLBACKS:
                        raise Refused
                left -= burst * len(keys)
                print("acknowledged", burst * len(keys), flush=True)
            due = max(due + burst * len(keys) / rate, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))


async def next_version(tx: Tx, key: str, more: int) -> int:
    row = upsert(tx, COUNTER).values(key=key, version=more)
    counted = row.on_conflict_do_update(index_elements=["key"], set_={"version": COUNTER.c.version + more}).returning(COUNTER.c.version)
    return int((await tx.execute(counted)).scalar_one())


async def carry(place: Place) -> None:
    """Relay until ended."""
    await place.make_topics()
    async with place.open(PROBE) as database:
        print("ready", flush=True)
        if database.is_sqlite:
            print("on SQLite facts are written straight into the log: nothing to relay", flush=True)
            return
        await tasks_of(place.flow(database))["probe.relay"]()


async def consume(place: Place, *, protected: bool) -> None:
    """Consume until ended."""
    await place.make_topics()
    async with place.open(PROBE), place.open(SINK) as database:
        flow = place.flow(database)
        async with consumer_of(flow, "sink", flow.reactions) as consumer:
            if not protected:
                ledger = UnprotectedLedger(database, "sink", CLOCK)
                consumer = Consumer("sink", consumer.source, ledger, Dispatcher("sink", flow.reactions, CLOCK))
            stop = asyncio.get_running_loop()
            stop.add_signal_handler(signal.SIGTERM, partial(setattr, consumer, "stopping", True))
            print("ready", flush=True)
            await consumer.run()


class UnprotectedLedger(SqlLedger):
    """What many write: offsets stored after the effects, in a transaction of their own, and no memory of what came before."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self.ahead: dict[str, int] = {}
        async with super().transaction() as tx:
            yield tx
        if self.ahead:
            await reach("probe.between_effects_and_offsets")
            async with super().transaction() as tx:
                await super().advance(tx, self.ahead)

    async def lock_offsets(self, tx: Tx, partitions: Any) -> dict[str, int]:
        return {partition: 0 for partition in partitions} | await super().lock_offsets(tx, partitions)

    async def admit(self, tx: Tx, facts: Sequence[Any]) -> Mapping[Any, Any]:
        return {}

    async def advance(self, tx: Tx, offsets: Mapping[str, int]) -> None:
        self.ahead = dict(offsets)


async def verify(place: Place, *, seconds_max: float, duplicates_max: float) -> list[str]:
    """Wait until everything written is applied (or nothing moves any more), then say what is wrong; nothing, when all is right.

    `duplicates_max`: the share of facts that may be in Kafka twice; none may in another log.
    """
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(seconds_max + OPEN_SECONDS_MAX):
                await place.make_topics()
                probe, sink = [await stack.enter_async_context(place.open(one)) for one in (PROBE, SINK)]
        except TimeoutError:
            return ["the database or the log is away"]
        until = loop.time() + seconds_max
        while True:
            with suppress(Unavailable, Gone):
                wrong = await unsettled(place, probe, sink)
                if not wrong or loop.time() > until:  # the whole log is read once it stands still, or the time is over
                    wrong += await judge(place, probe, sink, duplicates_max)
                if not wrong or loop.time() > until:
                    return wrong
            if loop.time() > until:
                return ["the database or the log is away"]
            await asyncio.sleep(PAUSE_SECONDS)


async def logged(place: Place, probe: Database) -> list[tuple[str, bytes]]:
    """Key and data of all that the log holds, each key's in order."""
    if place.kafka:
        with gone_when_away("the topic cannot be read"):
            return [(record.key.decode(), record.value) for record in await records_of(place.kafka, Counted.topic())]
    log = tables_of("probe")["log"]
    async with probe.read() as conn:
        return [(row.key, row.data) for row in await conn.execute(sa.select(log.c.key, log.c.data).order_by(log.c.seq))]


async def judge(place: Place, probe: Database, sink: Database, duplicates_max: float) -> list[str]:
    async with probe.read() as conn:
        truth = {row.key: row.version for row in await conn.execute(sa.select(COUNTER))}
    async with sink.read() as conn:
        seen = {row.key: row for row in await conn.execute(sa.select(SEEN))}
    wrong, last, again = [], dict.fromkeys(truth, 0), 0
    for key, data in await logged(place, probe):
        version = Counted.model_validate_json(data).version
        if version <= last.get(key, 0):
            again += 1
        elif version != last.get(key, 0) + 1:
            wrong.append(f"{key}: version {version} follows {last.get(key, 0)} in the log")
        last[key] = max(version, last.get(key, 0))
    if again > (duplicates_max * sum(truth.values()) if place.kafka else 0):
        wrong.append(f"{again} facts are in the log twice")
    for key, version in sorted(truth.items()):
        row = seen.get(key)
        if row is None or row.count != version or row.last != version or row.wrong:
            found = "nothing applied" if row is None else f"{row.count} applied, the last {row.last}, {row.wrong} out of order or twice"
            wrong.append(f"{key}: {version} published, {found}")
    return wrong + [f"{key}: applied, and never published" for key in sorted(seen.keys() - truth.keys())]


async def unsettled(place: Place, probe: Database, sink: Database) -> list[str]:
    """What still waits somewhere."""
    async with probe.read() as conn:
        waiting = (await conn.execute(sa.select(sa.func.count()).select_from(tables_of("probe")["outbox"]))).scalar_one()
    behind = sum(one.facts for one in await lag(place.flow(sink)))
    return [f"{waiting} in the outbox"] * bool(waiting) + [f"{behind} not consumed"] * bool(behind)


async def told(part: Coroutine[Any, Any, None]) -> None:
    """A part, whose clock can be set back while it works."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, CLOCK.set_back)
    await part


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m parvis_kit.testing.probe", description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["write", "relay", "consume", "verify"])
    parser.add_argument("--database", required=True, help="postgresql://… or sqlite:///FOLDER")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--facts", type=int, default=1000, help="how many to publish")
    parser.add_argument("--rate", type=float, default=250, help="facts a second")
    parser.add_argument("--burst", type=int, default=1, help="facts of one key in a transaction")
    parser.add_argument("--unprotected", action="store_true", help="consume without fence and inbox: a control that must go wrong")
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS, help="seconds that a frozen process keeps its locks")
    parser.add_argument("--seconds", type=float, default=30, help="how long verify waits")
    parser.add_argument("--kafka", default="", help="HOST:PORT of the Kafka that carries the facts")
    parser.add_argument("--prefix", default="probe.", help="how the names of topics and groups begin there")
    parser.add_argument("--duplicates", type=float, default=DUPLICATES_MAX, help="the share of facts that may be in Kafka twice")
    options = parser.parse_args()
    if not options.database.startswith(("postgresql://", "sqlite:///")):
        parser.error(f"--database is {options.database!r}, and has to be postgresql://… or sqlite:///FOLDER")
    if options.part == "write" and not (options.facts > 0 < options.rate and options.burst > 0):
        parser.error("--facts, --rate and --burst have to be above 0")
    arm(os.environ.get("PARVIS_FAIL", ""))
    kafka = KafkaServer(options.kafka).settings(options.prefix) if options.kafka else None
    place = Place(options.database.rstrip("/"), options.lease, kafka)
    match options.part:
        case "write":
            asyncio.run(told(write(place, seed=options.seed, facts=options.facts, rate=options.rate, burst=options.burst)))
        case "relay":
            asyncio.run(told(carry(place)))
        case "consume":
            asyncio.run(told(consume(place, protected=not options.unprotected)))
        case _:
            wrong = asyncio.run(verify(place, seconds_max=options.seconds, duplicates_max=options.duplicates))
            print("\n".join(wrong) or "all right: nothing lost, nothing out of order, nothing applied twice")
            return int(bool(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
