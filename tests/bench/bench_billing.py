"""Billing's bars: a fact metered (CPU of this process and of PostgreSQL's), a report of forty thousand agents, one agent explained."""

import gc
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services"), str(ROOT / "infra"), str(ROOT / "billing")]

import asyncpg  # noqa: E402
import psutil  # noqa: E402
import sqlalchemy as sa  # noqa: E402
from _bars import exit_status, say  # noqa: E402
from parvis_billing import actions  # noqa: E402
from parvis_billing.app import build  # noqa: E402
from parvis_billing.queries.explanations import explain  # noqa: E402
from parvis_billing.queries.reports import report  # noqa: E402
from parvis_billing.reactions import reactions_of  # noqa: E402
from parvis_billing.rules import report_page, report_texts  # noqa: E402
from parvis_billing.rules.money import plain_micro  # noqa: E402
from parvis_billing.rules.seats import SeatChange  # noqa: E402
from parvis_billing.rules.storage import SizeChange  # noqa: E402
from parvis_billing.settings import Settings  # noqa: E402
from parvis_billing.store import ROSTER  # noqa: E402
from parvis_contracts.files import FilePurged, FileStored  # noqa: E402
from parvis_kit import serve  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.db import Database, Tx  # noqa: E402
from parvis_kit.events import Fact, Reactions, batch  # noqa: E402
from parvis_kit.events.consumer import Consumer  # noqa: E402
from parvis_kit.events.ledger import SqlLedger  # noqa: E402
from parvis_kit.events.ports import Batch, Record  # noqa: E402
from parvis_kit.events.publish import seal  # noqa: E402
from parvis_kit.events.reactions import Dispatcher  # noqa: E402
from parvis_kit.ids import new_id  # noqa: E402
from parvis_kit.logs import set_up_logs  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_kit.testing.servers import started  # noqa: E402
from parvis_suite.assembly import migrate  # noqa: E402
from parvis_suite.demo_costs import FILES  # noqa: E402
from pydantic import SecretStr  # noqa: E402

AGENTS = int(os.environ.get("BENCH_AGENTS", "40000"))
MINISTRIES = [UUID(int=1000 + number) for number in range(15)]
FACTS, BATCH, ROUNDS = 5_000, 500, 5
FACT_MICROSECONDS, REPORT_SECONDS, EXPLAIN_MILLISECONDS = 35.0, 5.0, 100.0
MONTHS = 12
TODAY = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
SO_FAR_SECONDS = max(1, int((utc_now() - TODAY).total_seconds()))
FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def facts(random: Random, number: int) -> list[Fact]:
    """Nine stored to one purged, as agents of one day do."""
    found: list[Fact] = []
    for place in range(number):
        agent, ministry = UUID(int=10**6 + random.randrange(AGENTS)), random.choice(MINISTRIES)
        common: dict[str, Any] = {
            "at": TODAY + timedelta(seconds=random.randrange(SO_FAR_SECONDS)), "file_id": new_id(), "version_id": new_id(),
            "space_id": agent, "space_kind": "personal", "ministry_id": ministry, "owner_id": agent,
            "size_bytes": random.randrange(10**8),
        }  # fmt: skip
        about = str(common["file_id"])
        if place % 10 == 9:
            found.append(FilePurged(about=about, **common))
        else:
            found.append(FileStored(about=about, stored_by=agent, media_type="text/plain", **common))
    return found


async def bench_ingestion(database: Database, postmaster: psutil.Process | None) -> None:
    """The whole consumer (fence, inbox, decoding, reaction, offset), and beside it the same one whose reactions do nothing."""

    async def nothing(tx: Tx, facts: Sequence[Fact]) -> None: ...

    random = Random(1)
    table = reactions_of(utc_now)
    ways = {"whole": way(database, postmaster, random, "whole", table)}
    ways["floor"] = way(database, postmaster, random, "floor", dict.fromkeys(table, batch(nothing)))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, measure in ways.items():
            figures = await measure()
            if turn:
                found[name].append(figures)
    ours, theirs = (statistics.median(figures) for figures in zip(*found["whole"], strict=True))
    floor, floor_server = (statistics.median(figures) for figures in zip(*found["floor"], strict=True))
    figure = f"{ours + theirs:.1f} µs ({ours:.1f} ours + {theirs:.1f} PostgreSQL)"
    say(f"a fact metered, batches of {BATCH}", figure, f"≤ {FACT_MICROSECONDS:.0f} µs", ours + theirs <= FACT_MICROSECONDS)
    say("  of it the consumer of the kit, with reactions that do nothing", f"{floor:.1f} ours + {floor_server:.1f} PostgreSQL", "its floor")
    own, own_server = ours - floor, theirs - floor_server
    say("  and billing's own part", f"{own + own_server:.1f} µs ({own:.1f} ours + {own_server:.1f} PostgreSQL)", "the rest")


def way(
    database: Database, postmaster: psutil.Process | None, random: Random, name: str, table: Reactions
) -> Callable[[], Awaitable[tuple[float, float]]]:
    """Microseconds a fact, of this process and of the server."""
    ledger = SqlLedger(database, name, utc_now)
    consumer = Consumer(name, None, ledger, Dispatcher(name, table, utc_now))  # type: ignore[arg-type]
    offset = 0

    async def measure() -> tuple[float, float]:
        nonlocal offset
        batches = []
        for _ in range(FACTS // BATCH):
            records = [Record("files", offset + n, seal(one, "files")) for n, one in enumerate(facts(random, BATCH))]
            batches.append(Batch("files", offset, offset + BATCH, records))
            offset += BATCH
        gc.collect()
        gc.freeze()  # thousands of facts at hand are the bench's own doing: a consumer holds one batch
        began, server = time.process_time(), cpu_of(postmaster)
        for one in batches:
            await consumer.settle([one])
        return (time.process_time() - began) / FACTS * 1e6, (cpu_of(postmaster) - server) / FACTS * 1e6

    return measure


def cpu_of(postmaster: psutil.Process | None) -> float:
    """Of the whole server, those of its processes that have ended included."""
    if postmaster is None:
        return 0.0
    own = postmaster.cpu_times()
    living = sum(sum(child.cpu_times()[:2]) for child in postmaster.children(recursive=True))
    return float(living + own.user + own.system + own.children_user + own.children_system)


async def settle_people(database: Database) -> None:
    """Forty thousand agents with a year of storage and acts; what is measured comes after."""
    random = Random(2)
    async with database.transaction() as tx:
        ministries = [
            {"id": one, "siren": f"{110000000 + number}", "name": f"Ministère {number}", "directorates": []}
            for number, one in enumerate(MINISTRIES)
        ]
        await tx.execute(sa.insert(ROSTER["ministry"]), ministries)
    home = {UUID(int=10**6 + number): random.choice(MINISTRIES) for number in range(AGENTS)}
    agents = list(home)
    for first in range(0, AGENTS, 5_000):
        some = agents[first : first + 5_000]
        async with database.transaction() as tx:
            await actions.change_seats(tx, [SeatChange(one, FIRST, "joined", home[one], "agent") for one in some], now=utc_now())
    for month in range(MONTHS):
        at = FIRST + timedelta(days=30 * month + 5)
        for first in range(0, AGENTS, 5_000):
            some = agents[first : first + 5_000]
            async with database.transaction() as tx:
                await actions.meter_storage(tx, [SizeChange(one, True, home[one], at, random.randrange(10**9)) for one in some], now=at)
                await actions.count(tx, [(one, at, "files.actions") for one in some if random.random() < 0.8], now=at)
    for path in FILES:
        plan = await actions.plan_costs(database, path.read_bytes(), path.name)
        async with database.transaction() as tx:
            await actions.keep_costs(tx, plan, who="bench", now=utc_now())


async def timed(work: Callable[[], Awaitable[Any]], times: int) -> tuple[float, Any]:
    """The median of seconds by the clock, and what it gave last."""
    taken: list[float] = []
    found: Any = None
    for _ in range(times):
        began = time.perf_counter()
        found = await work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), found


async def bench_report(database: Database, months: Sequence[str]) -> None:
    now = utc_now()
    began = time.perf_counter()
    for month in months:
        await actions.run(database, month, now=now)
    seconds = (time.perf_counter() - began) / len(months)
    say(
        f"a month of {AGENTS} agents computed and booked, {len(MINISTRIES)} ministries",
        f"{seconds:.2f} s",
        "reported",
    )

    async def read() -> Any:
        async with database.read() as conn:
            found = await report(conn, months[0], months[-1], "restated", 50)
        return found, [report_page.as_html(found, "fr"), report_texts.as_csv(found), report_texts.as_json(found)]

    taken, (found, _) = await timed(read, 5)
    assert found.perimeters[2].total.total.cents == found.perimeters[2].invoices_cents
    say(f"the report of {AGENTS} agents, {len(months)} months, read to written", f"{taken * 1e3:.0f} ms", "≤ 5 s", taken <= REPORT_SECONDS)

    async def last_and_read() -> Any:
        await actions.run(database, months[-1], now=now)
        return await read()

    taken, _ = await timed(last_and_read, 2)
    say("the same, after looking whether its last month has changed", f"{taken:.2f} s", "≤ 5 s", taken <= REPORT_SECONDS)

    async def one() -> Any:
        async with database.read() as conn:
            return await explain(conn, UUID(int=10**6 + 77), months[-1])

    taken, explained = await timed(one, 20)
    assert explained.agrees
    figure = f"{taken * 1e3:.1f} ms for {plain_micro(explained.micro_eur['complete'])} €"
    say("one agent explained and recomputed", figure, "≤ 100 ms", taken * 1e3 <= EXPLAIN_MILLISECONDS)


async def bench(url: str) -> None:
    platform = Platform(database_url=SecretStr(url), access_log=False)
    billing = build(platform, utc_now, Settings())
    await migrate([billing], platform)
    conn = await asyncpg.connect(url)
    postmaster = psutil.Process(await conn.fetchval("SELECT pg_backend_pid()")).parent()
    await conn.close()
    await bench_ingestion(billing.database, postmaster)
    await settle_people(billing.database)
    await bench_report(billing.database, [f"2025-{month:02}" for month in range(1, MONTHS + 1)])
    await billing.database.close()


def main() -> int:
    with ExitStack() as stack:
        set_up_logs("INFO", stack.enter_context(open(os.devnull, "w")))  # a consumer writes what it has done: that counts as well
        script = ROOT / "infra/servers/postgres.py"
        server = PostgresServer(os.environ.get("BENCH_POSTGRES_URL") or stack.enter_context(started(script, "--durable"))["url"])
        url = server.create()
        stack.callback(server.drop, url)
        serve.run(bench(url))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
