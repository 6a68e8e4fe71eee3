"""`/livez`: the loop turns. `/readyz`: what this process needs to serve is there, and what is missing has a name."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

import sqlalchemy as sa
from aiohttp import web
from pydantic_core import to_json

from parvis_kit.db import Database
from parvis_kit.http.answers import json_answer
from parvis_kit.http.chain import AtWork, Chain, Process
from parvis_kit.http.meters import CHECK
from parvis_kit.http.mount import add_route, process_of
from parvis_kit.problems import Unavailable
from parvis_kit.settings import Platform

Check = Callable[[], Awaitable[str]]
"""What is late or away, in a few words; empty when all is well."""

CHECK_SECONDS_MAX = 1.0
"""A database that takes longer for SELECT 1 is away."""
CACHED_SECONDS, MISSING_CACHED_SECONDS = 2.0, 0.2
"""So that asking often costs nothing; of what is missing not as long, or a process that has just become ready would say so late."""
LOOK_SECONDS = 15.0
"""How often a process looks that nobody asks, so that Prometheus knows."""
IN_FLIGHT_MAX = 1000
"""Outside the services' caps: a full service is alive. All who wait share one look."""
ALIVE = b'{"alive":true}'


class Readiness:
    """Runs the checks, all at once, and not each time that somebody asks."""

    def __init__(
        self, process: Process, checks: Mapping[str, Check], time: Callable[[], float] = monotonic, *, needed: bool = True
    ) -> None:
        self.process, self.checks, self.time = process, checks, time
        self.needed = "yes" if needed else "no"
        self._looked_at, self._found, self._looking = -math.inf, dict[str, str](), asyncio.Lock()

    async def missing(self) -> dict[str, str]:
        """What is not as it should be, by the name of the check."""
        async with self._looking:
            if self.time() - self._looked_at >= (MISSING_CACHED_SECONDS if self._found else CACHED_SECONDS):
                said = await asyncio.gather(*(_ask(check) for check in self.checks.values()))
                self._found = {name: words for name, words in zip(self.checks, said, strict=True) if words}
                self._looked_at = self.time()
                for name in self.checks:
                    CHECK.labels(name, self.needed).set(name not in self._found)
        return self._found | ({"process": "draining"} if self.process.draining else {})


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS_MAX:g} s"
    except Exception as error:  # whatever a check fails of, the process is not ready, and says so
        return f"failed: {type(error).__name__}"


def database_answers(database: Database) -> Check:
    """SELECT 1."""

    async def check() -> str:
        try:
            async with database.read() as conn:
                await conn.execute(sa.select(1))
        except Unavailable:
            return "away"
        return ""

    return check


def is_fresh(fresh: Callable[[], bool]) -> Check:
    """Its copy of others' facts has been complete once."""

    async def check() -> str:
        return "" if fresh() else "still reading the log"

    return check


def mount_health(
    app: web.Application,
    platform: Platform,
    checks: Mapping[str, Check],
    time: Callable[[], float] = monotonic,
    outside: Mapping[str, Check] | None = None,
) -> Callable[[], Awaitable[None]]:
    """Both doors, behind a chain of their own without an access log. What is away `outside` is told, and no reason to take no requests:
    no other process would reach it either. Returns what is to run beside them, so that it is known though nobody asks."""
    process = process_of(app, platform)
    chain = Chain("health", process, AtWork(IN_FLIGHT_MAX, CHECK_SECONDS_MAX))
    readiness, away = Readiness(process, checks, time), Readiness(Process(), outside or {}, time, needed=False)

    async def livez(request: web.Request) -> web.StreamResponse:
        return json_answer(ALIVE)

    async def readyz(request: web.Request) -> web.StreamResponse:
        missing = await readiness.missing()
        said: dict[str, Any] = {"ready": not missing, "missing": missing, "away": await away.missing()}
        return json_answer(to_json(said), 503, {"Retry-After": "1"}) if missing else json_answer(to_json(said))

    add_route(app, "GET", "/livez", chain.around("GET", "/livez", livez))
    add_route(app, "GET", "/readyz", chain.around("GET", "/readyz", readyz))

    async def look() -> None:
        while True:
            await asyncio.gather(readiness.missing(), away.missing())
            await asyncio.sleep(LOOK_SECONDS)

    return look
