"""A process to start, load and stop in tests: a slow door, work in the background, and a ledger of what happened in which order."""

import asyncio
import json
import sys
from pathlib import Path

import sqlalchemy as sa
from parvis_kit.clock import utc_now
from parvis_kit.db import Database
from parvis_kit.http import DB, Limits, Request, Routes
from parvis_kit.serve import Addresses, Serving, run, serve
from parvis_kit.service import Service
from parvis_kit.settings import Platform
from parvis_kit.workers import run_workers

ROUTES = Routes("things", "1")


@ROUTES.get("/slow")
async def slow(request: Request) -> dict[str, bool]:
    """Take 30 ms, then the database."""
    await asyncio.sleep(0.03)
    async with request[DB].read() as conn:
        await conn.execute(sa.select(1))
    return {"done": True}


class Ledger:
    """What happened, a line each."""

    def __init__(self, path: Path) -> None:
        self.path, self.starts = path, 0

    def write(self, what: str) -> None:
        with self.path.open("a") as file:
            file.write(what + "\n")


class WatchedDatabase(Database):
    ledger: Ledger

    async def close(self) -> None:
        self.ledger.write("database closed")
        await super().close()


async def main(folder: Path, port: int, shared: bool) -> None:
    ledger = Ledger(folder / "ledger")
    database = WatchedDatabase(f"sqlite:///{folder / 'things.db'}", "things")
    database.ledger = ledger

    async def consume() -> None:
        ledger.starts += 1
        ledger.write(f"background started {ledger.starts}")
        if ledger.starts == 1:
            raise ZeroDivisionError
        try:
            await asyncio.Event().wait()
        finally:
            async with database.read() as conn:
                await conn.execute(sa.select(1))
            ledger.write("background stopped")

    async def ready(addresses: Addresses) -> None:
        told = {"base_url": addresses.base_url, "metrics_url": addresses.metrics_url}
        sys.stdout.write(json.dumps(told) + "\n")  # whole: unbuffered, `print` writes the end of the line by itself, and workers mix
        sys.stdout.flush()

    await serve(
        Serving(
            services=[Service(name="things", database=database, clock=utc_now, metadata=sa.MetaData(), migrations="", routes=(ROUTES,))],
            platform=Platform(data=folder, port=port, metrics_port=0, access_log=False),
            background={"things.consume": consume},
            checks={},
            ready=ready,
            limits=Limits(drain_seconds=0.3),
            reuse_port=shared,
        )
    )


if __name__ == "__main__":
    what, where, at = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if what == "workers":
        run(run_workers(2, [sys.executable, __file__, "shared", str(where), str(at)], lambda number: {}))
    else:
        run(main(where, at, what == "shared"))
