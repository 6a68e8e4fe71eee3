"""The care of a service's audit: what waits is chained every few seconds, and the heads are anchored outside on a schedule."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from parvis_kit.audit import anchors
from parvis_kit.audit.chain import chain_all
from parvis_kit.audit.rows import tables_of
from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.problems import Unavailable

LOOK_SECONDS = 2.0
"""A row can be changed unseen for this long."""


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Where the heads go, and how often."""

    place: Path
    every: timedelta


async def keep(database: Database, clock: Clock, anchoring: Anchoring) -> None:
    """Until cancelled. A database that is away is looked for again."""
    while True:
        with suppress(Unavailable):
            await tidy(database, clock, anchoring)
        await asyncio.sleep(LOOK_SECONDS)


async def tidy(database: Database, clock: Clock, anchoring: Anchoring) -> None:
    """Once; to be called by any process, since one at a time does it."""
    if await _waits(database):
        await chain_all(database)
    await anchors.anchor(database, anchoring.place, every=anchoring.every, now=clock())


async def _waits(database: Database) -> bool:
    async with database.read() as conn:
        return (await conn.execute(_waiting(database.service))).first() is not None


@cache
def _waiting(service: str) -> sa.Select[Any]:
    row = tables_of(service)["audit"].c
    return sa.select(row.seq).where(row.position.is_(None)).limit(1)
