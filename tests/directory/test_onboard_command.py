"""`parvis onboard` at the keyboard: what it shows, asks and refuses; killed at its windows, and gone on with by another process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result
from parvis_directory.rules.onboarding import LEASE
from parvis_kit.clock import utc_now
from parvis_suite.cli import main

from .conftest import Town
from .roster_files import aboard, bring, confirm, file_of, lines_of, look, person, said, send, work

ROUNDS = 20 if os.environ.get("SOAK") else 3
SEED = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3))
"""Drawn anew for each run and printed with each failure; SEED=… runs the same again."""
PEOPLE = 450
"""Five pieces."""
SIREN = "110014016"


def environ_of(town: Town, **more: str) -> dict[str, str]:
    url = town.platform.database_url.get_secret_value()
    return {"PARVIS_DATA": str(town.platform.data), **({"PARVIS_DATABASE_URL": url} if url else {}), **more}


async def onboard(town: Town, *arguments: str, answer: str = "") -> Result:
    """In a thread of its own, as the command runs a loop of its own."""
    asked = ["onboard", "--ministry", SIREN, *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, asked, input=answer, env=environ_of(town), prog_name="parvis")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agents.csv"
    path.write_bytes(file_of([person(1), person(2), person(3, courriel="nonsense")]))
    return path


async def jobs(town: Town) -> list[Any]:
    path = f"/api/directory/v1/ministries/{town.ministries['interieur']}/onboardings"
    return list((await town.call("GET", path, by="oli"))[1]["items"])


async def test_a_dry_run_says_what_the_file_would_do_and_keeps_nothing(town: Town, file: Path, tmp_path: Path) -> None:
    said = await onboard(town, str(file), "--dry-run", "--rejects", str(tmp_path / "rejects.csv"))
    assert said.exit_code == 0, said.output
    for words in ("3 people, windows-1252, separated by ;", "2 create", "1 reject", "line 4: nonsense is no e-mail address"):
        assert words in said.output
    assert (tmp_path / "rejects.csv").read_bytes().startswith(b"\xef\xbb\xbfmatricule;nom")
    assert not await jobs(town) and not await aboard(town)


async def test_it_asks_does_it_and_says_how_it_ended(town: Town, file: Path) -> None:
    refused = await onboard(town, str(file), answer="n\n")
    assert refused.exit_code == 1 and not await jobs(town)
    done = await onboard(town, str(file), answer="y\n")
    assert done.exit_code == 0 and "done: 2 create, 1 reject" in done.output, done.output
    assert "lines: 3 of 3" in done.output
    assert set(await aboard(town)) == {"000001", "000002"}


async def test_what_cannot_be_done_is_said_in_a_line(town: Town, file: Path) -> None:
    await bring(town, file_of(person(number) for number in range(1, 30)))
    closing = await onboard(town, str(file), "--yes")
    assert closing.exit_code == 2 and "closes 26 of the ministry's 31 accounts" in closing.output, "a refused line closes nothing"
    assert "--confirm-deactivations" in closing.output
    assert (await onboard(town, str(file), "--yes", "--partial")).exit_code == 0
    assert (await onboard(town, str(file), "--yes", "--confirm-deactivations")).exit_code == 0
    assert sum(one.state == "left" for one in (await aboard(town)).values()) == 26
    unknown = await onboard(town, str(file), "--ministry", "130025265", "--dry-run")
    assert unknown.exit_code == 2 and "there is no ministry 130025265; there is 110014016 (Ministère interieur)" in unknown.output
    file.write_bytes(b"nom;courriel\r\n")
    unreadable = await onboard(town, str(file), "--dry-run")
    assert unreadable.exit_code == 2 and "matricule, prénom" in unreadable.output


async def test_the_same_file_goes_on_where_it_stopped_and_another_waits(town: Town, file: Path) -> None:
    _, job = await send(town, file.read_bytes())
    await confirm(town, job)
    other = file.with_name("other.csv")
    other.write_bytes(file_of([person(9)]))
    waits = await onboard(town, str(other), "--yes")
    assert waits.exit_code == 2 and job["id"] in waits.output
    goes_on = await onboard(town, str(file))
    assert goes_on.exit_code == 0 and "going on where it stopped" in goes_on.output and "done: 2 create, 1 reject" in goes_on.output


@pytest.mark.soak
@pytest.mark.parametrize("window", ["onboarding.judged", "transaction.before_commit", "transaction.after_commit"])
async def test_killed_at_any_window_another_process_goes_on_without_a_double_or_a_hole(town: Town, file: Path, window: str) -> None:
    print(f"seed {SEED}")
    random = Random(SEED)
    gone = 0
    for turn in range(ROUNDS):
        gone += 20
        file.write_bytes(file_of(person(n, nom=f"Nom-{turn}") for n in range(gone, PEOPLE + gone)))
        command = [sys.executable, "-m", "parvis_suite", "onboard", str(file), "--ministry", SIREN, "--yes", "--confirm-deactivations"]
        path = os.pathsep.join(filter(None, sys.path))
        environ = {**os.environ, **environ_of(town, PARVIS_FAIL=f"{window}:kill:{random.randint(1, 5)}"), "PYTHONPATH": path}
        done = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
        town.clock.now = max(town.clock.now, utc_now()) + 2 * LEASE
        await town.add(f"oli{turn}", "ecologie", "operator")
        town.tokens["ada"] = town.tokens["oli"] = town.tokens[f"oli{turn}"]
        if len(await jobs(town)) <= turn:  # killed before anything was kept: as if it had not been sent
            _, job = await send(town, file.read_bytes())
            assert (await confirm(town, job, accept_deactivations=True, deactivations=job["plan"].get("deactivate", 0)))[0] == 202
        await work(town)
        await check_whole(town, turn, gone)


async def check_whole(town: Town, turn: int, gone: int) -> None:
    """Everybody of the file is aboard once, whoever is not has left once, and each line and job ended once."""
    job = (await jobs(town))[0]
    assert job["state"] == "done" and sum(job["done"].values()) == job["steps"] == job["done_steps"], job
    assert None not in {one["outcome"] for one in await lines_of(town, job)}
    people = await aboard(town)
    expected = {f"{n:06}" for n in range(gone, PEOPLE + gone)}
    assert {number for number, one in people.items() if one.state == "active"} == expected
    assert {people[number].family_name for number in expected} == {f"Nom-{turn}"}
    told = Counter(await said(town))
    completed = [number for (kind, _), number in told.items() if kind == "directory.onboarding.completed.v1"]
    assert completed == [1] * (turn + 1)
    ids = {str(one.id): one.state for one in people.values()}
    joined = {about: number for (kind, about), number in told.items() if kind == "directory.agent.joined.v1" and about in ids}
    left = {about: number for (kind, about), number in told.items() if kind == "directory.agent.left.v1"}
    assert joined == dict.fromkeys(ids, 1)
    assert left == {one: 1 for one, state in ids.items() if state == "left"}
    assert await look(town, job) == job
