"""Ten thousand agents aboard from a file, on PostgreSQL: CPU of this process and of all the server's, facts carried to the log."""

import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services"), str(ROOT / "infra")]

import asyncpg  # noqa: E402
import psutil  # noqa: E402
from _bars import exit_status, say  # noqa: E402
from parvis_directory import actions  # noqa: E402
from parvis_directory.app import build  # noqa: E402
from parvis_directory.rules import Asker  # noqa: E402
from parvis_directory.settings import Settings  # noqa: E402
from parvis_kit import serve  # noqa: E402
from parvis_kit.clock import utc_now  # noqa: E402
from parvis_kit.events.bell import Bell  # noqa: E402
from parvis_kit.events.postgres_relay import open_carrier  # noqa: E402
from parvis_kit.service import Service  # noqa: E402
from parvis_kit.settings import Platform  # noqa: E402
from parvis_kit.testing.databases import PostgresServer  # noqa: E402
from parvis_kit.testing.servers import started  # noqa: E402
from parvis_suite.assembly import migrate  # noqa: E402
from pydantic import SecretStr  # noqa: E402

AGENTS = int(os.environ.get("BENCH_AGENTS", "10000"))
MS_AN_AGENT = 3.0
Work = Callable[[], Awaitable[Any]]
OPERATOR = Asker(UUID(int=0), UUID(int=0), frozenset({"operator"}))


def file_of(agents: int, family: str) -> bytes:
    """As Excel FR writes it; one line in ten is bad."""
    lines = ["Matricule;NOM;Prénom;Courriel;Direction;Date d'arrivée;Date de départ"]
    for number in range(agents):
        lines.append(
            f"{number:06};{family}-{number};JEAN-PIERRE;jean.{number}@interieur.example.org;Direction générale n° {number % 40};01/09/2020;"
        )
    lines += [f"{number:06};{family};Zoé;no address;;;" for number in range(agents, agents + agents // 9)]
    return "\r\n".join(lines).encode("cp1252")


class Meter:
    """CPU of this process and of the whole server, those of its processes that have ended included."""

    def __init__(self, postmaster: psutil.Process) -> None:
        self.postmaster = postmaster

    def server(self) -> float:
        own = self.postmaster.cpu_times()
        living = sum(sum(child.cpu_times()[:2]) for child in self.postmaster.children(recursive=True))
        return float(living + own.user + own.system + own.children_user + own.children_system)

    async def of(self, what: str, work: Work) -> float:
        ours, theirs, began = time.process_time(), self.server(), time.perf_counter()
        await work()
        ours, theirs = (time.process_time() - ours) / AGENTS * 1e3, (self.server() - theirs) / AGENTS * 1e3
        seconds = time.perf_counter() - began
        print(f"       {what:52} {ours + theirs:6.3f} ms an agent ({ours:.3f} ours + {theirs:.3f} PostgreSQL), {seconds:.1f} s")
        return ours + theirs

    @staticmethod
    async def unmeasured(what: str, work: Work) -> float:
        await work()
        return 0.0


async def carry(url: str, measured: Callable[[str, Work], Awaitable[float]]) -> float:
    """What waits in the outbox, to the log; measured before the connection, and its process with it, ends."""
    async with open_carrier(url, "directory", Bell()) as carrier:

        async def drain() -> None:
            while await carrier.carry():
                pass

        return await measured("facts carried to the log", drain)


PARIS = ZoneInfo("Europe/Paris")


async def bring(directory: Service, ministry_id: UUID, raw: bytes) -> None:
    now = utc_now()
    plan = await actions.plan_onboarding(directory.database, OPERATOR, ministry_id, raw, complete=True, zone=PARIS, now=now)
    async with directory.database.transaction() as tx:
        await actions.keep_plan(tx, OPERATOR, plan, now=now)
        await actions.confirm_onboarding(tx, OPERATOR, plan.job.id, accept_deactivations=True, deactivations=plan.job.closings, now=now)
    await actions.run_onboardings(directory.database, utc_now, PARIS)


async def bench(url: str) -> None:
    platform = Platform(database_url=SecretStr(url), access_log=False)
    directory = build(platform, utc_now, Settings())
    await migrate([directory], platform)
    async with directory.database.transaction() as tx:
        ministry = await actions.create_ministry(tx, OPERATOR, "110014016", "Ministère de l'Intérieur", now=utc_now())
    conn = await asyncpg.connect(url)
    meter = Meter(psutil.Process(await conn.fetchval("SELECT pg_backend_pid()")).parent() or psutil.Process())

    await bring(directory, ministry.id, file_of(200, "ECHAUFFEMENT"))
    await carry(url, Meter.unmeasured)
    before = await conn.fetchval("SELECT count(*) FROM directory.log WHERE type = 'directory.agent.state.v1'")
    total = await meter.of("dry run, confirmation and every line", lambda: bring(directory, ministry.id, file_of(AGENTS, "DUPONT")))
    total += await carry(url, meter.of)
    facts = await conn.fetchval("SELECT count(*) FROM directory.log WHERE type = 'directory.agent.state.v1'") - before
    assert facts == AGENTS, f"{facts} states on the log"
    say(f"{AGENTS} agents aboard, all facts on the log", f"{total:.2f} ms CPU an agent", f"≤ {MS_AN_AGENT} ms", total <= MS_AN_AGENT)
    await meter.of("the same file again, nothing new", lambda: bring(directory, ministry.id, file_of(AGENTS, "DUPONT")))
    await meter.of("every name changed", lambda: bring(directory, ministry.id, file_of(AGENTS, "DURAND")))
    await conn.close()
    await directory.database.close()


def main() -> int:
    with ExitStack() as stack:
        script = ROOT / "infra/servers/postgres.py"
        server = PostgresServer(os.environ.get("BENCH_POSTGRES_URL") or stack.enter_context(started(script, "--durable"))["url"])
        url = server.create()
        stack.callback(server.drop, url)
        serve.run(bench(url))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
