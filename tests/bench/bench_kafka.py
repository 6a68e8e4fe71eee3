"""Kafka's bars: CPU of relay and consumer as ratios to floors measured in the same run, and the latency from commit to reaction."""

import argparse
import asyncio
import itertools
import logging
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

import asyncpg
import sqlalchemy as sa
from _bars import exit_status, say
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from bench_events import BATCH, FACTS, bench_latency, cpu_us, drained, fill_outbox, interleaved, reactions, tell_consumer
from parvis_kit import serve
from parvis_kit.clock import utc_now
from parvis_kit.events import Reactions, batch
from parvis_kit.events.bell import Bell
from parvis_kit.events.consumer import Consumer
from parvis_kit.events.kafka import source as kafka_source
from parvis_kit.events.kafka.carrier import open_carrier
from parvis_kit.events.kafka.client import options
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.events.kafka.producer import BATCH_BYTES_MAX
from parvis_kit.events.kafka.source import FETCH_BYTES_MAX, open_source
from parvis_kit.events.ledger import SqlLedger, stands_of, tables_of
from parvis_kit.events.reactions import Dispatcher
from parvis_kit.events.relay import RELAY_BATCH_MAX
from parvis_kit.settings import Kafka
from parvis_kit.testing.kafka import KafkaServer, make_topics
from parvis_kit.testing.servers import started
from parvis_kit.testing.stage import Stage, ThingChanged, ThingState

SERVERS = Path(__file__).resolve().parents[2] / "infra/servers"
Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord]]
HEADERS = [(f"header_{number}", b"x" * 16) for number in range(9)]


async def bench_relay(stage: Stage, url: str, kafka: Kafka) -> None:
    """Beside the same reads, sends and deletes with the libraries alone, which know nothing of partitions, envelopes and leaders."""
    bare = await asyncpg.connect(url)
    await bare.execute("SET synchronous_commit = off")
    producer = AIOKafkaProducer(**options(kafka, "floor"), enable_idempotence=True, max_batch_size=BATCH_BYTES_MAX)
    await producer.start()
    topic = kafka.kafka_prefix + ThingChanged.topic()

    async def bare_move() -> int:
        rows = await bare.fetch("SELECT id, key, data FROM alpha.outbox ORDER BY id LIMIT $1", RELAY_BATCH_MAX)
        sent = [await producer.send(topic, row[2], key=row[1].encode(), headers=HEADERS) for row in rows]
        await asyncio.gather(*sent)
        await bare.execute("DELETE FROM alpha.outbox WHERE id = ANY($1)", [row[0] for row in rows])
        return len(rows)

    async with open_carrier(kafka, url, "alpha", 30) as carrier:
        await carrier.lead()
        server: dict[str, list[float]] = {"ours": [], "floor": []}
        pids = {"floor": bare.get_server_pid(), "ours": carrier.leader.conn.get_server_pid()}
        ways = {"floor": bare_move, "ours": carrier.carry}
        got = await interleaved({name: drained(stage, move, pids[name], server[name]) for name, move in ways.items()})
    await producer.stop()
    await bare.close()
    ratio = got["ours"] / got["floor"]
    say("relay to Kafka, client CPU a fact", f"{ratio:.2f} × ({got['ours']:.1f} of {got['floor']:.1f} µs)", "≤ 1.5 ×", ratio <= 1.5)
    pg = {name: statistics.median(figures[1:]) for name, figures in server.items()}
    say("relay to Kafka, PostgreSQL's side a fact", f"{pg['ours']:.1f} µs (by hand {pg['floor']:.1f})", "≤ 8 µs", pg["ours"] <= 8)


async def bench_consumer(stage: Stage, url: str, kafka: Kafka) -> None:
    """A member of a group that reads from the beginning each time; beside it, the library and the same upserts alone."""
    topic = kafka.kafka_prefix + ThingChanged.topic()
    async with open_carrier(kafka, url, "alpha", 30) as carrier:
        await carrier.lead()
        await fill_outbox(stage, FACTS)
        while await carrier.carry():
            pass
    one, many, poisoned = reactions(stage)
    numbers = itertools.count()

    async def floor() -> float:
        member = AIOKafkaConsumer(topic, **options(kafka, "floor"), auto_offset_reset="earliest", fetch_max_bytes=FETCH_BYTES_MAX)
        await member.start()
        first = await member.getmany(timeout_ms=10_000, max_records=BATCH)

        async def apply(fetched: Fetched) -> int:
            async with stage.beta.transaction() as tx:
                for record in itertools.chain.from_iterable(fetched.values()):
                    await one(tx, ThingChanged.model_validate_json(record.value))
            return sum(map(len, fetched.values()))

        async def run() -> None:
            done = await apply(first)
            while done < FACTS:
                done += await apply(await member.getmany(timeout_ms=1000, max_records=BATCH))

        try:
            return await cpu_us(run, FACTS)
        finally:
            await member.stop()

    def way(table: Reactions, facts: int = FACTS) -> Callable[[], Awaitable[float]]:
        async def turn() -> float:
            name = f"bench{next(numbers)}"
            ledger, react = SqlLedger(stage.beta, name, utc_now), Dispatcher(name, table, utc_now)
            async with open_source(kafka, name, [ThingChanged.topic()], partial(stands_of, stage.beta, name), 30) as source:
                consumer = Consumer(name, source, ledger, react)
                first = await source.fetch()
                while not any(each.records for each in first):
                    await consumer.settle(first)
                    first = await source.fetch()

                async def run() -> None:
                    done, batches = 0, first
                    while True:
                        await consumer.settle(batches)
                        done += sum(len(each.records) for each in batches)
                        if done >= facts:
                            return
                        batches = await source.fetch()

                figure = await cpu_us(run, facts)
            async with stage.beta.transaction() as tx:
                await tx.execute(sa.delete(tables_of("beta")["parked"]))
            return figure

        return turn

    with patch.object(kafka_source, "FETCH_MAX", BATCH):
        got = await interleaved({"floor": floor, "one": way({ThingChanged: one}), "many": way({ThingChanged: batch(many)})})
        parking = await interleaved({"one": way({ThingChanged: one}, 500), "parking": way({ThingChanged: poisoned}, 500)}, 2)
    tell_consumer("kafka", got, parking)


async def bench(url: str, bootstrap: str) -> None:
    """The latency on topics of its own: the relay's lie full of facts."""
    server = KafkaServer(bootstrap)
    stage = Stage(lambda _: url)
    await stage.make_tables()
    for part in (bench_relay, bench_consumer, bench_latency_on_kafka):
        kafka = server.settings()
        await make_topics(kafka, [ThingChanged.topic(), ThingState.topic()])
        await part(stage, url, kafka)
    await stage.close()


async def bench_latency_on_kafka(stage: Stage, url: str, kafka: Kafka) -> None:
    stage.log = KafkaLog(kafka, lambda _: url, Bell())
    await bench_latency(stage, "kafka")


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with ExitStack() as stack:
        logging.basicConfig(stream=stack.enter_context(open(os.devnull, "w")))  # what is parked is told, and paid for
        url = stack.enter_context(started(SERVERS / "postgres.py"))["url"]
        bootstrap = stack.enter_context(started(SERVERS / "kafka.py"))["bootstrap"]
        serve.run(bench(url, bootstrap))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
