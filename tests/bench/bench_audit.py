"""What the audit's chain costs on PostgreSQL: CPU of a row chained, ours and the server's, beside the bare statements alone."""

import os
import statistics
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services")]

import asyncpg  # noqa: E402
import psutil  # noqa: E402
import sqlalchemy as sa  # noqa: E402
from _bars import exit_status, verdict  # noqa: E402
from parvis_kit import serve  # noqa: E402
from parvis_kit.audit import audit_tables  # noqa: E402
from parvis_kit.audit.chain import LINKS_MAX, chain, chain_all  # noqa: E402
from parvis_kit.audit.verify import verify  # noqa: E402
from parvis_kit.db import Database, metadata_for  # noqa: E402
from parvis_kit.ids import new_id  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_kit.testing.servers import started  # noqa: E402

ROUNDS, ROWS, KEPT = 7, 5 * LINKS_MAX, 50_000
MINISTRIES = [UUID(int=number) for number in range(1, 16)]
BAR_US = 50.0
METADATA = metadata_for("house")
audit_tables(METADATA)
ROW = METADATA.tables["house.audit"]
SELECT = """
SELECT seq, at, what, decision, request_id, ministry, who, about, place, reason FROM house.audit
WHERE position IS NULL ORDER BY seq LIMIT $1"""
UPDATE = """
UPDATE house.audit SET position = n.position, salt = n.salt, personal = n.personal, hash = n.hash
FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[]) AS n (seq, position, salt, personal, hash)
WHERE audit.seq = n.seq"""


async def fill(database: Database, number: int) -> None:
    """Rows as agents make them, spread over fifteen ministries."""
    now = datetime.now(UTC)
    for first in range(0, number, 500):
        values = [
            {
                "at": now, "who": str(new_id()), "what": "agent.change family_name language", "about": str(new_id()),
                "place": "192.0.2.1", "decision": "done", "request_id": new_id().hex, "ministry": str(MINISTRIES[one % 15]), "reason": "",
            }
            for one in range(first, first + 500)
        ]  # fmt: skip
        async with database.transaction() as tx:
            await tx.execute(sa.insert(ROW), values)


class Backends:
    """The CPU of the server's processes that work for this database."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def seconds(self) -> float:
        conn = await asyncpg.connect(self.url)
        mine = await conn.fetchval("SELECT pg_backend_pid()")
        others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
        pids = [row[0] for row in await conn.fetch(others, mine)]
        await conn.close()
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


async def bare(conn: Any) -> None:
    """The same statements by bare asyncpg, with nothing computed in between."""
    position = 10**9
    while True:
        async with conn.transaction():
            rows = await conn.fetch(SELECT, LINKS_MAX)
            if not rows:
                return
            seqs = [row[0] for row in rows]
            hashes, salts = [bytes(32)] * len(rows), [bytes(16)] * len(rows)
            position += len(rows)
            await conn.execute(UPDATE, seqs, list(range(position, position + len(rows))), salts, hashes, hashes)


async def measure(url: str) -> None:
    database, conn, backends = Database(url, "house"), await asyncpg.connect(url), Backends(url)
    found: dict[str, list[tuple[float, float]]] = {"floor": [], "ours": []}

    async def timed(name: str, work: Any) -> None:
        await fill(database, ROWS)
        server, began = await backends.seconds(), time.process_time()
        await work
        took = time.process_time() - began
        theirs = await backends.seconds() - server
        found[name].append((took / ROWS * 1e6, theirs / ROWS * 1e6))

    try:
        await fill(database, KEPT)  # a table and indexes of some size
        await chain_all(database)
        for _ in range(ROUNDS + 1):
            await timed("ours", chain_all(database))
            await timed("floor", bare(conn))
            await conn.execute("DELETE FROM house.audit WHERE position >= 1000000000")
        middle = {name: [statistics.median(part) for part in zip(*figures[1:], strict=True)] for name, figures in found.items()}
        ours, floor = sum(middle["ours"]), sum(middle["floor"])
        figure = f"{ours:.1f} µs ({middle['ours'][0]:.1f} ours + {middle['ours'][1]:.1f} PostgreSQL)"
        print(f"{verdict(ours <= BAR_US)}{'a row of the audit chained, CPU':42}{figure:>48}   bar: ≤ {BAR_US:.0f} µs")
        print(f"{'':7}{'floor: the same statements, nothing hashed':42}{f'{floor:.1f} µs, ours is {ours / floor:.2f} ×':>48}")
        began = time.process_time()
        checked = await verify(database, str(MINISTRIES[0]))
        each = (time.process_time() - began) / checked.rows * 1e6
        print(f"{'':7}{'a row verified, our CPU':42}{f'{each:.1f} µs of {checked.rows} rows':>48}")
        assert checked.broken is None and await chain(database) == 0
    finally:
        await conn.close()
        await database.close()


def main() -> int:
    given = os.environ.get("BENCH_POSTGRES_URL")
    with nullcontext({"url": given}) if given else started(ROOT / "infra/servers/postgres.py", "--durable") as server:
        place = PostgresServer(str(server["url"]))
        url = place.create(METADATA)
        try:
            serve.run(measure(url))
            return exit_status()
        finally:
            place.drop(url)


if __name__ == "__main__":
    sys.exit(main())
