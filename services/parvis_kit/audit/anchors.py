"""The heads of the chains, written outside the database now and then: who rewrites a chain would have to rewrite these too."""

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from parvis_kit.audit.chain import Head, lock
from parvis_kit.audit.rows import tables_of
from parvis_kit.db import Database

LINE_BYTES_MAX = 1_000
"""A line has some 250."""
OWNER_ALONE = 0o600


class NoAnchor(ValueError):
    """A line cannot be read; the message says which."""


class CannotAnchor(RuntimeError):
    """The place cannot be written. Not an OSError, which inside a transaction would be taken for a database that is away."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head as it stood once."""

    at: str
    service: str
    ministry: str
    position: int
    hash: str


async def anchor(database: Database, place: Path, *, every: timedelta, now: datetime) -> int:
    """Write down the heads that have moved and were not written for so long; how many. Twice, when the process dies in between.

    Raises CannotAnchor.
    """
    asked = {"before": now - every}
    async with database.read() as conn:
        if (await conn.execute(_due(database.service), asked)).first() is None:
            return 0
    async with database.transaction() as tx:
        if not await lock(tx, wait=False):
            return 0
        heads = [Head(*one) for one in await tx.execute(_due(database.service), asked)]
        if heads:
            try:
                await asyncio.to_thread(write, place, database.service, heads, now)
            except OSError as error:
                raise CannotAnchor(f"{place} (PARVIS_AUDIT_ANCHORS) cannot be written: {error}") from error
            table = tables_of(database.service)["audit_head"]
            named = table.c.ministry.in_([one.ministry for one in heads])
            await tx.execute(sa.update(table).where(named).values(anchored=table.c.position, anchored_at=now))
    return len(heads)


@cache
def _due(service: str) -> sa.Select[Any]:
    head = tables_of(service)["audit_head"].c
    late = sa.or_(head.anchored_at.is_(None), head.anchored_at <= sa.bindparam("before"))
    return sa.select(head.ministry, head.position, head.hash).where(head.position > head.anchored, late).order_by(head.ministry)


def write(place: Path, service: str, heads: Sequence[Head], now: datetime) -> None:
    """At the end of the file; or, when the place is a folder, as a new file in it, since a bucket knows no end to write at."""
    lines = [Anchor(now.isoformat(), service, one.ministry, one.position, one.hash.hex()) for one in heads]
    text = "".join(f"{json.dumps({name: getattr(line, name) for name in Anchor.__slots__})}\n" for line in lines)
    if place.is_dir():
        path, flags = place / f"{service}-{now:%Y%m%dT%H%M%S%f}.jsonl", os.O_EXCL
    else:
        path, flags = place, os.O_APPEND
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flags, OWNER_ALONE), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read(place: Path) -> list[Anchor]:
    """All of a file, or of a folder's files. Raises NoAnchor, OSError."""
    paths = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    return [one for path in paths for one in _read(path)]


def _read(path: Path) -> Iterator[Anchor]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX), ""), 1):
            try:
                found = json.loads(line)
                yield Anchor(str(found["at"]), str(found["service"]), str(found["ministry"]), int(found["position"]), str(found["hash"]))
            except (ValueError, KeyError, TypeError):
                raise NoAnchor(f"{path}, line {number}, is no anchor: {line[:80]!r}. Is it whole, and was it written by Parvis?") from None
