"""What a database does when several processes write to it, and when its connection is cut."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from parvis_kit.db import Database, metadata_for
from parvis_kit.problems import Unavailable
from parvis_kit.testing.databases import PostgresServer, make_tables

METADATA = metadata_for("shelf")
BOOK = sa.Table("book", METADATA, sa.Column("title", sa.Text), sa.Column("price_cents", sa.BigInteger))

COUNT_UP = """
import asyncio, sys
import sqlalchemy as sa
from parvis_kit.db import Database, metadata_for

book = sa.Table("book", metadata_for("shelf"), sa.Column("title", sa.Text), sa.Column("price_cents", sa.BigInteger))

async def main():
    shelf = Database(sys.argv[1], "shelf")
    for _ in range(10):
        async with shelf.transaction() as tx:
            seen = (await tx.execute(sa.select(book.c.price_cents).with_for_update())).scalar_one()
            await tx.execute(sa.update(book).values(price_cents=seen + 1))
    await shelf.close()

asyncio.run(main())
"""


async def test_four_processes_that_read_and_then_write_one_sqlite_file_lose_no_update(tmp_path: Path) -> None:
    shelf = Database(f"sqlite:///{tmp_path / 'shelf.db'}", "shelf")
    await make_tables(shelf, METADATA)
    async with shelf.transaction() as tx:
        await tx.execute(sa.insert(BOOK), {"title": "a", "price_cents": 0})
    counting = [subprocess.Popen([sys.executable, "-c", COUNT_UP, shelf.url]) for _ in range(4)]
    assert [await asyncio.to_thread(one.wait) for one in counting] == [0, 0, 0, 0]
    async with shelf.read() as conn:
        assert (await conn.execute(sa.select(BOOK.c.price_cents))).scalar_one() == 40
    await shelf.close()


LOOK_AND_LEAVE = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT group_concat(title) FROM book").fetchone()[0])
connection.close()
"""


async def test_a_process_that_looks_and_leaves_takes_nothing_along(tmp_path: Path) -> None:
    """Whoever closes a file loses all locks of its process on it (POSIX): a command that leaves then believes itself the last, and takes
    the write-ahead log away under a suite that goes on writing to it; in the end the file is malformed."""
    path = tmp_path / "shelf.db"
    shelf = Database(f"sqlite:///{path}", "shelf")
    await make_tables(shelf, METADATA)

    def look() -> str:
        return subprocess.run([sys.executable, "-c", LOOK_AND_LEAVE, path], capture_output=True, text=True, check=True).stdout.strip()

    for title in ("a", "b"):
        async with shelf.transaction() as tx:
            await tx.execute(sa.insert(BOOK), {"title": title})
        async with shelf.read() as conn, shelf.read() as another:  # each a connection of its own, opened now
            await conn.execute(sa.select(BOOK))
            await another.execute(sa.select(BOOK))
        before = path.with_name("shelf.db-wal").stat()
        assert await asyncio.to_thread(look) == ("a" if title == "a" else "a,b")
        after = path.with_name("shelf.db-wal").stat()
        assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size) and after.st_size
    await shelf.close()


async def test_a_connection_that_was_cut_is_unavailable_once_and_then_replaced(postgres: PostgresServer) -> None:
    url = postgres.create(METADATA)
    shelf, other = Database(url, "shelf"), Database(url, "shelf")
    with pytest.raises(Unavailable):
        async with shelf.transaction() as tx:
            pid = (await tx.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
            async with other.read() as conn:
                await conn.execute(sa.text(f"SELECT pg_terminate_backend({pid}, 5000)"))
            await tx.execute(sa.insert(BOOK), {"title": "lost"})
    async with shelf.transaction() as tx:
        await tx.execute(sa.insert(BOOK), {"title": "kept"})
    async with other.read() as conn:
        assert (await conn.execute(sa.select(BOOK.c.title))).scalars().all() == ["kept"]
    for one in (shelf, other):
        await one.close()
    postgres.drop(url)
