"""The agent-day: what a day of an agent costs, over all processes, database, broker and proxy; and what an idle one does on the wire."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from parvis_suite.demo import make_tokens, people_of
from parvis_suite.services import build_all

from .agent_day import ACTS, IDLE
from .running import Client, patiently
from .shape import Shape
from .test_an_act_is_paid_for import all_told

SOAK = bool(os.environ.get("SOAK"))
AGENTS = int(os.environ.get("AGENTS", "400" if SOAK else "6"))
"""800 in 600 s keep two cores so full that requests are put off."""
SECONDS = float(os.environ.get("DAY_SECONDS", "540" if SOAK else "15"))
IDLE_SECONDS = SECONDS / 2
"""Of a day in which clients ask by themselves alone: in less, they are more than two cores answer."""
REST_SECONDS = 60.0 if SOAK else 2.0
"""Before anybody asks anything: what processes take then, they take in every hour, and no agent has it on their account (`rest_cores` of
sizing.toml, there for one process of each service)."""
CPU_GOAL_SECONDS, IDLE_BYTES_GOAL = 0.5, 2_000_000
PROGRAM = Path(__file__).with_name("agent_day.py")
SIREN = "110068012"
AT_ONCE = 8


@pytest.mark.soak
def test_agents_live_their_day_and_it_is_told_what_it_costs(distributed: Shape, tmp_path: Path) -> None:
    rest = at_rest(distributed)  # before agents come aboard: that their accounts are made is no rest
    file = tmp_path / "agents.json"
    file.write_text(json.dumps(asyncio.run(agents_of(distributed, AGENTS))))
    idle = played(distributed, file, IDLE_SECONDS, "--idle")
    day = played(distributed, file, SECONDS)
    told = described(day, idle, rest)
    print(told)
    assert {**idle["failures"], **day["failures"]} == {}
    assert idle["acts"] == {"begin": AGENTS, "with_room": AGENTS, **{act: AGENTS * times for act, times in IDLE.items()}}
    assert {act: day["acts"][act] for act in ACTS} == {act: AGENTS * times for act, times in ACTS.items()}
    assert sum(day["cpu"].values()) > 0 and distributed.is_well()


async def agents_of(shape: Shape, number: int) -> list[dict[str, Any]]:
    """As many agents as that, with a token and an app password: the demonstration's, or others who come aboard by a file."""
    demo = json.loads((shape.folder / "demo.json").read_text())
    if number <= len(demo["agents"]):
        people = [{name: one[name] for name in ("id", "email", "token")} for one in demo["agents"][:number]]
    else:
        people = await newcomers(shape, number)
    gate = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession() as session:

        async def equip(one: dict[str, Any]) -> dict[str, Any]:
            async with gate:
                client = Client(shape, session, one["token"])
                until = (datetime.now(UTC) + timedelta(days=2)).isoformat()
                body = {"name": "Agent-day", "scopes": ["dav:calendars", "matrix"], "expires_at": until}
                made = await client.ask("POST", "/api/directory/v1/app-passwords", body, f"day-{uuid4()}")
                space = await client.ask("GET", "/api/files/v1/spaces/personal")
                calendar = f"/dav/calendars/{one['id']}/agenda/"
                return one | {"app_password": made["app_password"], "root": space["root_id"], "calendar": calendar}

        found = list(await asyncio.gather(*map(equip, people)))
    await patiently(lambda: all_told(shape))
    return found


async def newcomers(shape: Shape, number: int) -> list[dict[str, Any]]:
    lines = [f"J-{one};Journée{one};Camille;camille.journee{one}@ecologie.example.org;Direction du numérique" for one in range(number)]
    file = shape.folder / "journees.csv"
    file.write_text("\n".join(["Matricule;Nom;Prénom;Courriel;Direction", *lines, ""]), "cp1252")
    await asyncio.to_thread(shape.command, "onboard", str(file), "--ministry", SIREN, "--partial", "--yes")
    [directory] = build_all(shape.platform, ["directory"])
    try:
        known = await people_of(directory.database)
        chosen = [known[f"camille.journee{one}@ecologie.example.org"] for one in range(number)]
        tokens = await make_tokens(directory, chosen, directory.clock)
    finally:
        await directory.database.close()
    await patiently(lambda: all_told(shape))
    return [{"id": str(one.id), "email": one.email, "token": token} for one, token in zip(chosen, tokens, strict=True)]


def at_rest(shape: Shape) -> dict[str, float]:
    """Cores that each process or server takes when nobody asks anything."""
    before = cpu_seconds(shape)
    time.sleep(REST_SECONDS)
    return {name: (after - before[name]) / REST_SECONDS for name, after in cpu_seconds(shape).items()}


def played(shape: Shape, file: Path, seconds: float, *options: str) -> dict[str, Any]:
    """What the generator says, with the CPU of every other process between its beginning and the last reaction."""
    command = [sys.executable, str(PROGRAM), "--base", shape.base, "--agents", str(file), "--seconds", str(seconds), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
        assert generator.stdout is not None
        assert generator.stdout.readline() == "begun\n"
        before, kept, began = cpu_seconds(shape), asyncio.run(kept_in(shape)), time.monotonic()
        said: dict[str, Any] = json.loads(generator.stdout.readline())
    asyncio.run(patiently(lambda: all_told(shape)))  # type: ignore[arg-type]
    after, keeps, took = cpu_seconds(shape), asyncio.run(kept_in(shape)), time.monotonic() - began
    grown = {name: keeps[name] - kept[name] for name in keeps}
    return said | {"cpu": {name: after[name] - before[name] for name in after}, "took": took} | grown


async def kept_in(shape: Shape) -> dict[str, int]:
    """Bytes of the database, and how many facts were ever published."""
    conn = await asyncpg.connect(shape.environ["PARVIS_DATABASE_ADMIN_URL"])
    try:
        await conn.execute("SELECT pg_stat_clear_snapshot()")
        size = await conn.fetchval("SELECT pg_database_size(current_database())")
        facts = await conn.fetchval("SELECT sum(n_tup_ins)::bigint FROM pg_stat_user_tables WHERE relname = 'outbox'")
        return {"database_bytes": size, "facts": facts}
    finally:
        await conn.close()


def cpu_seconds(shape: Shape) -> dict[str, float]:
    return {name: cpu_of(shape.pids_of(name)) for name in shape.processes}


def cpu_of(pids: Sequence[int]) -> float:
    """User and system time, with that of children that have ended (proc(5), `stat`: utime, stime, cutime, cstime)."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except FileNotFoundError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def described(day: dict[str, Any], idle: dict[str, Any], rest: dict[str, float]) -> str:
    """For whoever reads it, and for infra/parvis_suite/sizing.toml."""
    agents, cpu, idle_cpu = day["agents"], sum(day["cpu"].values()), sum(idle["cpu"].values())
    asked, asked_idle = ({name: one - rest[name] * of["took"] for name, one in of["cpu"].items()} for of in (day, idle))
    megabytes, idle_megabytes = (sum(one["bytes"].values()) / agents / 1e6 for one in (day, idle))

    def shares(of: dict[str, float], unit: float, form: str) -> str:
        return ", ".join(f"{name} {one / agents / unit:{form}}" for name, one in sorted(of.items(), key=lambda each: -each[1]))

    lines = [
        f"agent-day of {agents} agents in {day['seconds']:.0f} s: {cpu / agents:.2f} s of CPU each (goal {CPU_GOAL_SECONDS}), "
        f"{megabytes:.1f} MB; the generator's own {day['generator_cpu_seconds'] / agents:.2f} s apart; "
        f"acts began up to {day['behind_seconds_max']:.1f} s late; {sum(day['later'].values())} times 'ask again later'",
        *(f"  {times} times {what}" for one in (idle, day) for what, times in sorted(one["later"].items(), key=lambda each: -each[1])[:5]),
        f"  CPU: {shares(day['cpu'], 1, '.3f')}",
        f"  beyond what they take at rest: {sum(asked.values()) / agents:.2f} s: {shares(asked, 1, '.3f')}",
        "  at rest, ms a second: " + ", ".join(f"{name} {one * 1000:.0f}" for name, one in sorted(rest.items(), key=lambda each: -each[1])),
        f"  facts {day['facts'] / agents:.1f}, database {day['database_bytes'] / agents / 1000:.0f} kB",
        f"idle agent-day: {idle_megabytes:.2f} MB on the wire (goal {IDLE_BYTES_GOAL / 1e6:.0f}), {idle_cpu / agents:.2f} s of CPU, "
        f"{sum(asked_idle.values()) / agents:.2f} beyond rest",
        f"  kB: {shares(idle['bytes'], 1000, '.0f')}",
        "  p50 / p99 ms: " + ", ".join(f"{act} {day['p50_ms'][act]:.0f} / {day['p99_ms'][act]:.0f}" for act in sorted(day["p50_ms"])),
    ]
    return "\n".join(lines)
