"""A request followed: what was asked, the fact that it became, what was done about it; by any of the ids that it goes under."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from uuid import UUID

import pytest

from .conftest import LAUNCH, Suite
from .test_up import SECONDS_MAX, asked, eventually

REQUEST, TRACE = "dossier-2026-11", "4bf92f3577b34da6a3ce929d0e0e4736"


def start(suite: Suite, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    path = os.pathsep.join([str(suite.folder / "packages"), *filter(None, sys.path)])
    environ = {**os.environ, **suite.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", LAUNCH, "up"], env=environ, stdout=log, stderr=log)


@pytest.fixture
def log(anywhere: Suite) -> Iterator[Path]:
    """Where the process writes, after one request that had an effect, and one that a bug keeps from having any."""
    data = anywhere.folder / "data"
    data.mkdir(exist_ok=True)
    path = data / "parvis.log"
    with path.open("wb") as output:
        process = start(anywhere, output)
    try:
        eventually("it serves", lambda: "serving at " in path.read_text() or process.poll() is not None)
        base = path.read_text().split("serving at ")[1].split(",")[0]
        send(f"{base}/api/lantern/v1/wicks/dry", REQUEST)
        send(f"{base}/api/lantern/v1/wicks/wet", "wet-request")
        eventually("the fact has its effect", lambda: asked(f"{base}/api/lantern/v1/light")[1] == {"wicks": ["dry"]})
        eventually("the other is parked", lambda: "wet" in anywhere("events", "parked").output)
        yield path
    finally:
        process.terminate()
        process.wait(SECONDS_MAX)


def send(url: str, request_id: str) -> None:
    headers = {"X-Request-Id": request_id, "traceparent": f"00-{TRACE if request_id == REQUEST else TRACE[::-1]}-00f067aa0ba902b7-01"}
    with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=headers), timeout=10) as answer:
        assert answer.headers["X-Request-Id"] == request_id


def test_a_request_is_followed_to_its_fact_and_to_the_reaction(anywhere: Suite, log: Path) -> None:
    told = anywhere("trace", REQUEST)
    assert told.exit_code == 0, told.output
    asked_line, said_line, done_line = told.output.splitlines()
    assert "POST /api/lantern/v1/wicks/dry → 201 in " in asked_line and f"request {REQUEST}" in asked_line
    assert "said lantern.wick.lit.v1 about dry" in said_line
    assert "lantern" in done_line and "has done its part about lantern.wick.lit.v1" in done_line
    assert len(done_line) - len(done_line[24:].lstrip()) > 24 and said_line.index("said") < done_line.index("has done"), "under its fact"
    fact = said_line.rpartition(" ")[2]
    for other in (TRACE, TRACE.upper(), fact):
        assert anywhere("trace", other).output == told.output, "whichever id is at hand"
    line = next(json.loads(one) for one in log.read_text().splitlines() if "parvis.reaction" in one)
    assert (line["request_id"], line["trace"], line["fact_id"]) == (REQUEST, TRACE, fact)


def test_what_could_not_be_done_is_told_with_its_reason(anywhere: Suite, log: Path) -> None:
    told = anywhere("trace", "wet-request").output
    assert "said lantern.wick.lit.v1 about wet" in told
    assert "PARKED it: " in told and "a wet wick does not burn" in told and "`parvis events parked lantern`" in told
    assert "has done its part" not in told


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_logs_are_where_they_are_said_to_be(anywhere: Suite, log: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    without = anywhere("trace", REQUEST, "--logs", str(tmp_path / "elsewhere"))
    assert without.exit_code == 0 and "POST" not in without.output and "--logs PLACE says where logs lie" in without.output
    before = "2026-11-25T09:00:00Z stderr F "
    (tmp_path / "elsewhere" / "pod.log").write_text("".join(f"{before}{one}\n" for one in log.read_text().splitlines()))
    assert "POST" in anywhere("trace", REQUEST, "--logs", str(tmp_path / "elsewhere")).output
    nowhere = anywhere("trace", REQUEST, "--logs", str(tmp_path / "nowhere"))
    assert nowhere.exit_code == 2 and "there is no such file or folder" in nowhere.output


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_what_was_done_for_many_facts_at_once_is_told_of_each(anywhere: Suite, log: Path, tmp_path: Path) -> None:
    lines = [json.loads(one) for one in log.read_text().splitlines() if one.startswith("{")]
    act = next(one for one in lines if one["logger"] == "parvis.reaction")
    together = {name: act[name] for name in ("time", "level", "logger", "service", "consumer", "type") if name in act}
    (tmp_path / "many.log").write_text(json.dumps(together | {"facts": [str(UUID(int=1)), act["fact_id"]]}) + "\n")
    told = anywhere("trace", REQUEST, "--logs", str(tmp_path / "many.log")).output.splitlines()
    assert "said lantern.wick.lit.v1 about dry" in told[0] and "has done its part about lantern.wick.lit.v1" in told[1] and len(told) == 2


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_an_id_that_nobody_knows_is_told_with_what_to_do(anywhere: Suite, log: Path) -> None:
    told = anywhere("trace", "00000000-unknown")
    assert told.exit_code == 2
    assert "nothing is known of 00000000-unknown" in told.output and "X-Request-Id" in told.output and "--since 7d" in told.output
