"""What a supervisor and a proxy ask, and what they are told."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from parvis_kit.db import Database
from parvis_kit.http import Check, database_answers, is_fresh, mount_health
from parvis_kit.http import health as health_module
from parvis_kit.http.mount import PROCESS
from parvis_kit.settings import Platform


@dataclass
class Doctor:
    """Checks whose answers a test chooses, and a clock that it moves."""

    says: str = ""
    asked: int = 0
    now: float = 0.0
    hangs: bool = False
    app: web.Application = field(default_factory=web.Application)

    async def check(self) -> str:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        return self.says

    async def ask(self, client: TestClient[web.Request, web.Application]) -> tuple[int, dict[str, str]]:
        answer = await client.get("/readyz")
        said = await answer.json()
        assert said["ready"] == (answer.status == 200)
        return answer.status, said["missing"]


@pytest.fixture
def doctor() -> Doctor:
    return Doctor()


def visit(doctor: Doctor, **checks: Check) -> TestClient[web.Request, web.Application]:
    mount_health(doctor.app, Platform(), {"database": doctor.check, **checks}, lambda: doctor.now)
    return TestClient(TestServer(doctor.app))


async def test_what_is_missing_has_a_name_and_the_loop_lives_all_the_same(doctor: Doctor) -> None:
    async with visit(doctor) as client:
        assert await doctor.ask(client) == (200, {})
        doctor.says, doctor.now = "away", 3
        assert await doctor.ask(client) == (503, {"database": "away"})
        assert (await client.get("/livez")).status == 200


async def test_what_is_away_outside_is_told_and_requests_are_taken_all_the_same(doctor: Doctor) -> None:
    async def well() -> str:
        return ""

    mount_health(doctor.app, Platform(), {"database": well}, lambda: doctor.now, {"blobs": doctor.check})
    async with TestClient(TestServer(doctor.app)) as client:
        for doctor.now, doctor.says, away in ((0, "", {}), (5, "no answer", {"blobs": "no answer"}), (10, "", {})):
            answer = await client.get("/readyz")
            assert (answer.status, await answer.json()) == (200, {"ready": True, "missing": {}, "away": away})


async def test_asking_often_costs_one_look_every_other_second(doctor: Doctor) -> None:
    async with visit(doctor) as client:
        await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        doctor.now = 1.9
        await client.get("/readyz")
        assert doctor.asked == 1
        doctor.now = 2.0
        await client.get("/readyz")
        assert doctor.asked == 2


async def test_a_check_that_hangs_or_breaks_is_a_check_that_failed(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> str:
        raise ZeroDivisionError("postgresql://role:hunter2@host")

    monkeypatch.setattr(health_module, "CHECK_SECONDS_MAX", 0.01)
    doctor.hangs = True
    async with visit(doctor, roster=broken) as client:
        assert await doctor.ask(client) == (503, {"database": "no answer within 0.01 s", "roster": "failed: ZeroDivisionError"})


async def test_a_process_that_drains_is_not_ready_whatever_was_cached(doctor: Doctor) -> None:
    async with visit(doctor) as client:
        assert await doctor.ask(client) == (200, {})
        doctor.app[PROCESS].draining = True
        assert await doctor.ask(client) == (503, {"process": "draining"})
        assert (await client.get("/livez")).headers["Connection"] == "close"


async def test_a_database_answers_or_is_away(tmp_path: Path) -> None:
    there = Database(f"sqlite:///{tmp_path / 'there.db'}", "there")
    away = Database("postgresql://nobody@127.0.0.1:1/none", "away")
    assert (await database_answers(there)(), await database_answers(away)()) == ("", "away")
    await there.close()
    await away.close()


async def test_a_roster_never_read_to_its_end_keeps_a_service_from_being_ready() -> None:
    assert (await is_fresh(lambda: False)(), await is_fresh(lambda: True)()) == ("still reading the log", "")
