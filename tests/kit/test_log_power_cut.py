"""A log on SQLite whose newest commits a power cut has taken back, while its readers kept theirs."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from parvis_kit.events.resume import resume_log
from parvis_kit.testing.stage import Stage, copies, state
from parvis_kit.testing.waiting import until


def file_of(folder: Path, service: str) -> str:
    return f"sqlite:///{folder / service}.db"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(partial(file_of, tmp_path))
    await made.make_tables()
    await resume_log(made.alpha.url)
    yield made
    await made.close()


async def power_is_cut(stage: Stage, kept: Path) -> Stage:
    """Alpha's file is again what it was when it was copied to `kept`; beta's is as it stands."""
    await stage.close()
    path = Path(stage.alpha.url.removeprefix("sqlite:///"))
    for rest in ("-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)
    shutil.copy(kept, path)
    return Stage(partial(file_of, path.parent))


def save(stage: Stage, kept: Path) -> None:
    """What the disk holds for certain."""
    with closing(sqlite3.connect(stage.alpha.url.removeprefix("sqlite:///"))) as file, closing(sqlite3.connect(kept)) as copy:
        file.backup(copy)


async def test_what_is_said_after_a_power_cut_is_heard_though_its_numbers_would_be_old_ones(stage: Stage, tmp_path: Path) -> None:
    await stage.change("a", 1)
    save(stage, tmp_path / "kept")
    async with stage.running(stage.flow()):
        await stage.change("b", 1, 2, 3)
        await stage.until_told("b", 1, 2, 3)
    again = await power_is_cut(stage, tmp_path / "kept")
    await resume_log(again.alpha.url)
    await again.change("c", 1, 2, 3, 4)
    async with again.running(again.flow()):
        await again.until_told("c", 1, 2, 3, 4)
    assert await again.story("a") == [1]
    assert await again.story("b") == [1, 2, 3], "what a reaction has done stays done"
    await again.close()


async def test_a_projection_forgets_what_the_log_has_lost(stage: Stage, tmp_path: Path) -> None:
    await stage.publish(state("a", 1))
    save(stage, tmp_path / "kept")

    async def copied(stage: Stage, wanted: dict[str, int]) -> None:
        async def is_so() -> bool:
            return await stage.copied() == wanted

        await until(is_so, f"the copy is {wanted}")

    async with stage.running(stage.flow({}, copies())):
        await stage.publish(state("a", 2), state("b", 1))
        await copied(stage, {"a": 2, "b": 1})
    again = await power_is_cut(stage, tmp_path / "kept")
    await resume_log(again.alpha.url)
    async with again.running(again.flow({}, copies())):
        await again.publish(state("c", 1))
        await copied(again, {"a": 1, "c": 1})
    await again.close()


async def test_a_calm_restart_undoes_nothing(stage: Stage) -> None:
    async with stage.running(stage.flow()):
        await stage.change("a", 1, 2)
        await stage.until_told("a", 1, 2)
    for version in (3, 4):
        await resume_log(stage.alpha.url)
        async with stage.running(stage.flow()):
            await stage.change("a", version)
            await stage.until_told("a", *range(1, version + 1))
