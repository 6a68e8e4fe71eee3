"""Kafka's bars: CPU of the relay as a ratio to a floor measured in the same run, and the latency from commit to reaction."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import asyncpg
from _bars import exit_status, say
from aiokafka import AIOKafkaProducer
from bench_events import FACTS, bench_latency, cpu_us, fill_outbox, interleaved
from parvis_kit.events.bell import Bell
from parvis_kit.events.kafka.carrier import open_carrier
from parvis_kit.events.kafka.client import options
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.events.kafka.producer import BATCH_BYTES_MAX
from parvis_kit.events.relay import RELAY_BATCH_MAX
from parvis_kit.settings import Kafka
from parvis_kit.testing.kafka import KafkaServer, make_topics
from parvis_kit.testing.servers import started
from parvis_kit.testing.stage import Stage, ThingChanged, ThingState

SERVERS = Path(__file__).resolve().parents[2] / "infra/servers"
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

    def way(move: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            await fill_outbox(stage, FACTS)

            async def drain() -> None:
                while await move():
                    pass

            return await cpu_us(drain, FACTS)

        return run

    async with open_carrier(kafka, url, "alpha", 30) as carrier:
        await carrier.lead()
        got = await interleaved({"floor": way(bare_move), "ours": way(carrier.carry)})
    await producer.stop()
    await bare.close()
    ratio = got["ours"] / got["floor"]
    say("relay to Kafka, client CPU a fact", f"{ratio:.2f} × ({got['ours']:.1f} of {got['floor']:.1f} µs)", "≤ 1.5 ×", ratio <= 1.5)


async def bench(url: str, bootstrap: str) -> None:
    """The latency on topics of its own: the relay's lie full of facts."""
    server = KafkaServer(bootstrap)
    stage = Stage(lambda _: url)
    await stage.make_tables()
    for part in (bench_relay, bench_latency_on_kafka):
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
        url = stack.enter_context(started(SERVERS / "postgres.py"))["url"]
        bootstrap = stack.enter_context(started(SERVERS / "kafka.py"))["bootstrap"]
        asyncio.run(bench(url, bootstrap))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
