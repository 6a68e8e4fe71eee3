"""A copy of an instance on SQLite while it is at work: all of it as of one moment, and a folder to go on from."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from parvis_suite.backup import CannotBackUp, back_up

from .conftest import Suite
from .test_up import asked, eventually, running


def test_a_backup_of_a_running_instance_is_one_to_go_on_from(parvis: Suite, tmp_path: Path) -> None:
    goal = tmp_path / "copy"
    with running(parvis, "up") as (_, base):
        eventually("it is ready", lambda: asked(f"{base}/readyz")[0] == 200)
        assert asked(f"{base}/api/lantern/v1/wicks/dry", "POST")[0] == 201
        eventually("it burns", lambda: asked(f"{base}/api/lantern/v1/light")[1] == {"wicks": ["dry"]})
        (parvis.folder / "data/blobs/aa").mkdir(parents=True)
        (parvis.folder / "data/blobs/aa/bytes").write_bytes(b"bytes")
        said = parvis("backup", str(goal))
        assert said.exit_code == 0, said.output
        assert asked(f"{base}/api/lantern/v1/wicks/late", "POST")[0] == 201
    again = parvis("backup", str(goal))
    assert again.exit_code == 2 and "is there already" in again.output
    assert (goal / "blobs/aa/bytes").read_bytes() == b"bytes" and not (goal / "lock").exists()
    assert (goal / "lantern.db").stat().st_mode & 0o777 == 0o600
    moment = said.output.partition("--after-restore ")[2].partition(" ")[0]
    there = {"PARVIS_DATA": str(goal)}
    looked = parvis("doctor", "--after-restore", moment, "--repair", **there)
    assert looked.exit_code == 0 and looked.output.endswith("READY: Parvis may be started\n"), looked.output
    with running(Suite(parvis.folder, {**parvis.environ, **there}), "up") as (process, base):
        eventually("it is ready", lambda: asked(f"{base}/readyz")[0] == 200)
        assert asked(f"{base}/api/lantern/v1/light")[1] == {"wicks": ["dry"]}
        assert asked(f"{base}/api/lantern/v1/wicks/new", "POST")[0] == 201
        eventually("facts flow", lambda: asked(f"{base}/api/lantern/v1/light")[1] == {"wicks": ["dry", "new"]})
        refused = parvis("doctor", "--after-restore", moment, **there)
        assert refused.exit_code == 2 and f"process {process.pid}" in refused.output


WRITER = """
import sqlite3, sys
files = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
number = 0
while True:
    number += 1
    for file in files:
        file.execute("PRAGMA busy_timeout=5000")
        file.execute("INSERT INTO row VALUES (?)", (number,))
    if number == 50:
        print("going", flush=True)
"""


def test_all_files_are_of_one_moment(tmp_path: Path) -> None:
    """A writer puts each number into the first file, then into the second: the second never has one that the first lacks."""
    data = tmp_path / "data"
    data.mkdir()
    paths = [data / "b.db", data / "a.db"]  # copied in the order of their names: were they copied one by one, `a` would be older
    for path in paths:
        with closing(sqlite3.connect(path)) as made:
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("CREATE TABLE row (number INTEGER)")
    command = ["python3", "-c", WRITER, *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None and writer.stdout.readline() == "going\n"
            for copy in range(20):
                back_up(data, tmp_path / f"copy-{copy}")
        finally:
            writer.kill()
    for copy in range(20):
        first, second = (newest(tmp_path / f"copy-{copy}" / path.name) for path in paths)
        assert first - second in (0, 1), (first, second)


def newest(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute("SELECT max(number) FROM row").fetchone()[0])


def test_what_is_no_instance_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotBackUp, match="holds no SQLite files"):
        back_up(tmp_path, tmp_path / "copy")
