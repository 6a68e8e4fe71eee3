"""A copy of a running instance on SQLite: every service's file as of one moment, then the bytes; the copy is a folder of data itself."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from parvis_kit.db.engines import BUSY_MILLISECONDS, open_read_only

LEFT_OUT = ("lock", "demo.json")
"""Whose process it is, and what the next demonstration writes anew."""
OWNER_ALONE = 0o600


class CannotBackUp(Exception):
    """The message says why."""


def back_up(data: Path, goal: Path) -> datetime:
    """Copy it all; the moment of the copy. Nobody waits for longer than it takes to look at each file once. Raises CannotBackUp."""
    files = sorted(data.glob("*.db"))
    if not files:
        raise CannotBackUp(f"{data} holds no SQLite files: PARVIS_DATA names another folder, or the instance is on PostgreSQL")
    try:
        goal.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise CannotBackUp(f"{goal} is there already: a backup goes into a folder of its own") from None
    moment = copy_databases(files, goal)
    copy_others(data, goal)
    return moment


def copy_databases(files: Sequence[Path], goal: Path) -> datetime:
    """One moment for all: the writers of each are held while a view of each is opened, and go on while the views are copied."""
    with ExitStack() as stack:
        views = [stack.enter_context(closing(open_read_only(file))) for file in files]
        with holding(files):
            for view in views:
                view.execute("BEGIN")
                view.execute("SELECT count(*) FROM sqlite_master").fetchone()
            moment = datetime.now(UTC)
        for file, view in zip(files, views, strict=True):
            draft = goal / file.name
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ALONE))
            with closing(sqlite3.connect(draft)) as copy:
                view.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
    return moment


@contextlib.contextmanager
def holding(files: Sequence[Path]) -> Iterator[None]:
    """No transaction that writes is open in any of them."""
    with ExitStack() as stack:
        for file in files:
            holder = stack.enter_context(closing(sqlite3.connect(file, isolation_level=None)))
            holder.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
            try:
                holder.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise CannotBackUp(f"{file}: {error}; try again when less is written") from error
        yield


def copy_others(data: Path, goal: Path) -> None:
    """After the databases: bytes are never changed, and those that a row refers to are there before it. New ones do no harm."""
    for path in sorted(data.rglob("*")):
        place = path.relative_to(data)
        if path.is_file() and place.name not in LEFT_OUT and not path.name.endswith((".db", "-wal", "-shm", ".tmp")):
            (goal / place).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):  # a draft that became something meanwhile, or was thrown away
                shutil.copy2(path, goal / place)
