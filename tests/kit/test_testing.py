"""The kit's own tools for tests do what they say."""

import subprocess
import sys
from datetime import timedelta

import pytest
import sqlalchemy as sa
from parvis_kit.db import metadata_for
from parvis_kit.testing.clocks import FrozenClock
from parvis_kit.testing.databases import EVERY_DATABASE, Place, queries
from parvis_kit.testing.plugin import OpenDatabase

METADATA = metadata_for("shelf")
BOOK = sa.Table("book", METADATA, sa.Column("name", sa.Text, primary_key=True))


@pytest.mark.parametrize("round", [1, 2])
@pytest.mark.parametrize("database_kind", EVERY_DATABASE, indirect=True)
async def test_each_test_finds_its_tables_empty(open_database: OpenDatabase, round: int) -> None:
    shelf = await open_database("shelf", METADATA)
    async with shelf.transaction() as tx:
        assert (await tx.execute(sa.select(BOOK))).all() == []
        await tx.execute(sa.insert(BOOK), {"name": "Candide"})


async def test_two_services_of_one_test_share_a_server_and_no_table(place: Place) -> None:
    other = metadata_for("desk")
    sa.Table("book", other, sa.Column("name", sa.Text, primary_key=True))
    shelf, desk = await place.open("shelf", METADATA), await place.open("desk", other)
    async with shelf.transaction() as tx:
        await tx.execute(sa.insert(BOOK), {"name": "Candide"})
    async with desk.read() as conn:
        assert (await conn.execute(sa.select(other.tables["desk.book"]))).all() == []
    assert shelf.is_sqlite or shelf.url == desk.url


async def test_begin_and_commit_are_not_counted_as_queries(open_database: OpenDatabase) -> None:
    shelf = await open_database("shelf", METADATA)
    with queries(shelf) as sent:
        async with shelf.transaction() as tx:
            await tx.execute(sa.insert(BOOK), {"name": "Candide"})
        async with shelf.read() as conn:
            await conn.execute(sa.select(BOOK))
    assert [one.split()[0] for one in sent] == ["INSERT", "SELECT"]


def test_the_frozen_clock_moves_when_told(clock: FrozenClock) -> None:
    before = clock()
    assert clock() == before
    clock.advance(5)
    clock.advance(days=1)
    assert clock() - before == timedelta(days=1, seconds=5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "--database", "postgresql://postgres@127.0.0.1:1/none", "--seconds", "0"], "the database or the log is away"),
        (["write", "--database", "mysql://here"], "has to be postgresql://… or sqlite:///FOLDER"),
        (["write", "--database", "sqlite:////tmp", "--facts", "-3"], "--facts, --rate and --burst have to be above 0"),
    ],
)
def test_a_probe_that_cannot_work_says_so_and_ends(arguments: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "parvis_kit.testing.probe", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode and said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
