"""The event log's bars: CPU of publish, relay and consumer, each as a ratio to a floor measured in the same run."""

import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from _bars import exit_status, say
from parvis_kit import serve
from parvis_kit.clock import utc_now
from parvis_kit.db import Database, Tx, upsert
from parvis_kit.events import Reactions, batch, publish
from parvis_kit.events.bell import Bell
from parvis_kit.events.consumer import Consumer
from parvis_kit.events.ledger import FACT_COLUMNS, SqlLedger, append, tables_of
from parvis_kit.events.ports import Batch, Record
from parvis_kit.events.postgres_relay import open_carrier
from parvis_kit.events.publish import seal
from parvis_kit.events.reactions import Dispatcher
from parvis_kit.testing.databases import PostgresServer
from parvis_kit.testing.servers import started
from parvis_kit.testing.stage import COPY, THING, Stage, ThingChanged, changed
from parvis_kit.testing.waiting import until

POSTGRES = Path(__file__).resolve().parents[2] / "infra/servers/postgres.py"
Reaction = Callable[[Tx, ThingChanged], Awaitable[None]]
Many = Callable[[Tx, Sequence[ThingChanged]], Awaitable[None]]
ROUNDS = 5
FACTS = 3_000
BATCH = 100


async def cpu_us(work: Callable[[], Awaitable[Any]], operations: int) -> float:
    """CPU of this process, all threads, in microseconds an operation."""
    began = time.process_time()
    await work()
    return (time.process_time() - began) / operations * 1e6


async def interleaved(ways: dict[str, Callable[[], Awaitable[float]]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median of each way; one round of all before the next, so that a drift of the machine strikes all alike."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            figure = await way()
            if turn:  # the first is a warm-up
                found[name].append(figure)
    return {name: statistics.median(figures) for name, figures in found.items()}


def on_cpu_us(pid: int) -> float:
    """Of another process, to the nanosecond: ticks of 10 ms are 3 µs a fact here, as much as the floor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


async def bench_publish(stage: Stage, kind: str) -> None:
    """One row changed and 0, 1 or 5 facts said of it, in one transaction."""
    bump = sa.update(THING).where(THING.c.key == sa.bindparam("k")).values(version=THING.c.version + 1)
    async with stage.alpha.transaction() as tx:
        await tx.execute(sa.insert(THING), [{"key": f"k{n}", "version": 0} for n in range(20)])
    now = datetime.now(UTC)

    def way(facts: int, transactions: int = 50) -> Callable[[], Awaitable[float]]:
        async def run() -> None:
            for n in range(transactions):
                async with stage.alpha.transaction() as tx:
                    await tx.execute(bump, {"k": f"k{n % 20}"})
                    for other in range(facts):
                        publish(tx, changed(f"k{(n + other) % 20}", n, now))

        return lambda: cpu_us(run, transactions)

    # Short turns and many: the three differ by a tenth of a millisecond, which is less than what this machine's neighbours take.
    got = await interleaved({"none": way(0), "one": way(1), "five": way(5)}, rounds=30)
    one, five = got["one"] / got["none"], got["five"] / got["none"]
    floor = f"{got['none']:.0f} µs"
    if kind == "sqlite":
        say("embedded: a transaction with one fact", f"{one:.2f} × ({got['one']:.0f} of {floor})", "≤ 1.3 ×", one <= 1.3)
        return
    say("publish of 1 fact, over the same transaction without", f"+{one - 1:.0%} ({got['one']:.0f} of {floor})", "≤ +35 %", one <= 1.35)
    say("publish of 5 facts", f"+{five - 1:.0%} ({got['five']:.0f} of {floor})", "≤ +60 %", five <= 1.6)


async def fill_outbox(stage: Stage, facts: int) -> None:
    async with stage.alpha.transaction() as tx:
        for first in range(0, facts, 500):
            await append(tx, [seal(changed(f"k{n % 97}", n), "alpha") for n in range(first, first + 500)])


def drained(stage: Stage, move: Callable[[], Awaitable[int]], backend: int, of_server: list[float]) -> Callable[[], Awaitable[float]]:
    """Fills the outbox and empties it: CPU of ours a fact; what PostgreSQL's process took for each goes to `of_server`."""

    async def run() -> float:
        await fill_outbox(stage, FACTS)
        before = on_cpu_us(backend)

        async def drain() -> None:
            while await move():
                pass

        figure = await cpu_us(drain, FACTS)
        of_server.append((on_cpu_us(backend) - before) / FACTS)
        return figure

    return run


async def bench_relay(stage: Stage, url: str) -> None:
    """Outbox to log, 500 at a time: ours, and the same lock, INSERT and DELETE by bare asyncpg."""
    columns = ", ".join(FACT_COLUMNS)
    bare = await asyncpg.connect(url)

    async def bare_move() -> int:
        async with bare.transaction():
            head = await bare.fetchval("SELECT seq FROM alpha.log_head FOR UPDATE")
            ids = [row[0] for row in await bare.fetch("SELECT id FROM alpha.outbox ORDER BY id LIMIT 500")]
            await bare.execute(
                f"INSERT INTO alpha.log (seq, {columns}) SELECT $1 + row_number() OVER (ORDER BY id), {columns} "
                "FROM alpha.outbox WHERE id = ANY($2)",
                head,
                ids,
            )
            await bare.execute("DELETE FROM alpha.outbox WHERE id = ANY($1)", ids)
            await bare.execute("UPDATE alpha.log_head SET seq = $1", head + len(ids))
        return len(ids)

    async with open_carrier(url, "alpha", Bell()) as carrier:
        ours, theirs = carrier.leader.conn.get_server_pid(), bare.get_server_pid()
        server: dict[str, list[float]] = {"ours": [], "floor": []}
        ways = {
            "floor": drained(stage, bare_move, theirs, server["floor"]), "ours": drained(stage, carrier.carry, ours, server["ours"]),
        }  # fmt: skip
        got = await interleaved(ways)
    pg = {name: statistics.median(figures[1:]) for name, figures in server.items()}
    await bare.close()
    total = (got["ours"] + pg["ours"]) / (got["floor"] + pg["floor"])
    figure = f"{total:.2f} × ({got['ours']:.1f}+{pg['ours']:.1f} of {got['floor']:.1f}+{pg['floor']:.1f} µs)"
    say("relay to the PostgreSQL log, client + server CPU a fact", figure, "≤ 1.5 ×", total <= 1.5)
    say("relay to the PostgreSQL log, PostgreSQL's side a fact", f"{pg['ours']:.1f} µs", "≤ 8 µs", pg["ours"] <= 8)


class Replayed:
    """A source that hands out records made beforehand."""

    def __init__(self) -> None:
        self.next = 0

    def batches(self, facts: int) -> list[Batch]:
        made = []
        for first in range(self.next, self.next + facts, BATCH):
            records = [Record("alpha", n, seal(changed(f"k{n % 97}", n), "alpha")) for n in range(first, first + BATCH)]
            made.append(Batch("alpha", first, first + BATCH, records))
        self.next += facts
        return made

    def seek(self, partition: str, offset: int) -> None:
        raise AssertionError("no hole was made")


def upsert_one(database: Database) -> Callable[[Tx, ThingChanged], Awaitable[None]]:
    async def upsert_copy(tx: Tx, fact: ThingChanged) -> None:
        await tx.execute(statement, {"key": fact.about, "version": fact.version})

    row = upsert(Tx(database, None), COPY)  # type: ignore[arg-type]
    statement = row.on_conflict_do_update(index_elements=["key"], set_={"version": row.excluded.version})
    return upsert_copy


def reactions(stage: Stage) -> tuple[Reaction, Many, Reaction]:
    """One upsert a fact; one for all facts; one a fact, of which each batch of 100 has a poisoned one."""
    one = upsert_one(stage.beta)
    row = upsert(Tx(stage.beta, None), COPY)  # type: ignore[arg-type]
    statement = row.on_conflict_do_update(index_elements=["key"], set_={"version": row.excluded.version})

    async def many(tx: Tx, facts: Sequence[ThingChanged]) -> None:
        latest = {fact.about: fact.version for fact in facts}
        await tx.execute(statement, [{"key": key, "version": version} for key, version in latest.items()])

    async def poisoned(tx: Tx, fact: ThingChanged) -> None:
        if fact.version % BATCH == 50:
            raise ValueError("poison")
        await one(tx, fact)

    return one, many, poisoned


async def bench_consumer(stage: Stage, kind: str) -> None:
    """Batches of 100: a loop of Core upserts as the floor, then the consumer with one, many, and a poisoned key."""
    one, many, poisoned = reactions(stage)

    async def floor() -> float:
        facts = [ThingChanged.model_validate_json(record.fact.data) for made in Replayed().batches(FACTS) for record in made.records]
        bodies = [fact.model_dump_json().encode() for fact in facts]

        async def run() -> None:
            for first in range(0, FACTS, BATCH):
                async with stage.beta.transaction() as tx:
                    for body in bodies[first : first + BATCH]:
                        await one(tx, ThingChanged.model_validate_json(body))

        return await cpu_us(run, FACTS)

    def way(name: str, table: Reactions, facts: int = FACTS) -> Callable[[], Awaitable[float]]:
        source = Replayed()
        consumer = Consumer(name, source, SqlLedger(stage.beta, name, utc_now), Dispatcher(name, table, utc_now))  # type: ignore[arg-type]

        async def run() -> float:
            made = source.batches(facts)

            async def settle() -> None:
                for each in made:
                    await consumer.settle([each])

            figure = await cpu_us(settle, facts)
            async with stage.beta.transaction() as tx:
                await tx.execute(sa.delete(tables_of("beta")["parked"]))
            return figure

        return run

    got = await interleaved({
        "floor": floor,
        "one": way("one", {ThingChanged: one}),
        "many": way("many", {ThingChanged: batch(many)}),
    })  # fmt: skip
    parking = await interleaved({"one": way("calm", {ThingChanged: one}, 500), "parking": way("parking", {ThingChanged: poisoned}, 500)}, 2)
    tell_consumer(kind, got, parking)


def tell_consumer(kind: str, got: Mapping[str, float], parking: Mapping[str, float]) -> None:
    """Both in microseconds a fact, by what the reaction does."""
    ratio = got["one"] / got["floor"]
    say(
        f"consumer on {kind}, one upsert a fact, batches of 100",
        f"{ratio:.2f} × ({got['one']:.0f} of {got['floor']:.0f} µs)",
        "≤ 1.6 ×",
        ratio <= 1.6,
    )
    faster = got["one"] / got["many"]
    say(
        f"consumer on {kind}, a batch reaction: facts a second of CPU",
        f"{faster:.1f} × ({got['many']:.0f} µs a fact)",
        "≥ 2.5 ×",
        faster >= 2.5,
    )
    ratio = parking["parking"] / parking["one"]
    say(f"consumer on {kind}, a poisoned key in every batch", f"{ratio:.2f} × ({parking['parking']:.0f} µs)", "≤ 2.5 ×", ratio <= 2.5)


async def bench_latency(stage: Stage, kind: str) -> None:
    """From commit to the reaction's effect, at 100 facts a second; reported, never asserted."""
    told: list[float] = []
    said: dict[int, float] = {}

    async def hear(tx: Tx, fact: ThingChanged) -> None:
        told.append(time.perf_counter() - said[fact.version])

    async with stage.running(stage.flow({ThingChanged: hear})):
        said[0] = time.perf_counter()
        await stage.publish(changed("k", 0))

        async def is_warm() -> bool:
            return bool(told)

        await until(is_warm, "relay and consumer are at work")
        told.clear()
        due = time.perf_counter()
        for n in range(10**6, 10**6 + 300):
            said[n] = time.perf_counter()
            await stage.publish(changed("k", n))
            said[n] = time.perf_counter()
            due += 0.01
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

        async def are_told() -> bool:
            return len(told) == 300

        await until(are_told, "all are told")
    cuts, floor = statistics.quantiles(told, n=100), statistics.quantiles(fsyncs(), n=100)
    goal = "goal: p50 ≤ 2 ms, p99 ≤ 20 ms" if kind == "sqlite" else "goal: p50 ≤ 25 ms, p99 ≤ 100 ms (with Kafka)"
    say(f"latency on {kind} at 100 facts/s, commit to reaction", f"p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms", goal)
    say("  beside it, a page made durable on this disk", f"p50 {floor[49] * 1e3:.1f} ms, p99 {floor[98] * 1e3:.1f} ms", "its floor")


def fsyncs(times: int = 200) -> list[float]:
    """Seconds that the disk takes for each, now: what no durable commit is quicker than."""
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(times):
            file.write(b"x" * 8192)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return taken


async def bench(kind: str, empty: Callable[[], Callable[[str], str]]) -> None:
    """`empty` gives the URLs of services that have no tables yet."""
    url_of = empty()
    stage = Stage(url_of)
    await stage.make_tables()
    await bench_publish(stage, kind)
    if kind == "postgresql":
        await bench_relay(stage, url_of("alpha"))
    await bench_consumer(stage, kind)
    await stage.close()
    quiet = Stage(empty())
    await quiet.make_tables()
    await bench_latency(quiet, kind)
    await quiet.close()


def main() -> int:
    with ExitStack() as stack:
        unread = stack.enter_context(open(os.devnull, "w"))
        logging.basicConfig(stream=unread)  # what is parked is told, and paid for; nobody reads it here

        def new_files() -> Callable[[str], str]:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            return lambda service: f"sqlite:///{folder}/{service}.db"

        def new_database() -> Callable[[str], str]:
            url = server.create()
            stack.callback(server.drop, url)
            return lambda service: url

        server = PostgresServer(os.environ.get("BENCH_POSTGRES_URL") or stack.enter_context(started(POSTGRES, "--durable"))["url"])
        serve.run(bench("postgresql", new_database))
        serve.run(bench("sqlite", new_files))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
