"""How a log on SQLite starts again: numbers that a power cut may have taken back are never given out a second time.

With `synchronous=NORMAL` a file that comes back after a power cut may lack its newest transactions, while a consumer in another file
has kept their effects. Were their numbers used again, that consumer would take new facts for old ones and drop them.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from parvis_kit.db.engines import BUSY_MILLISECONDS, sqlite_path

NUMBERS_SKIPPED = 1_000_000
"""More than a file can lose: SQLite brings its commits to the disk at each checkpoint, every thousand pages."""


async def resume_log(url: str) -> None:
    """To be called by each process before it publishes. On PostgreSQL a commit that was acknowledged stays: nothing to do."""
    if url.startswith("sqlite"):
        await asyncio.to_thread(_skip, sqlite_path(url))


def _skip(path: Path) -> None:
    if not path.exists():
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'log_head'").fetchone():
            return  # it publishes nothing
        connection.execute("PRAGMA synchronous=FULL")  # or what is skipped could be lost again, with the facts that follow
        connection.execute("BEGIN IMMEDIATE")
        end = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'log'").fetchone()[0]
        connection.execute("UPDATE log_head SET seq = ?", (end,))
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'log'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('log', ?)", (end + NUMBERS_SKIPPED,))
        connection.execute("COMMIT")


def numbers_undone(end: int) -> range:
    """Where a consumer can only stand if it has handled facts that the log has lost; `end` is the last number before the skip."""
    return range(end + 2, end + NUMBERS_SKIPPED + 1) if end else range(0)
