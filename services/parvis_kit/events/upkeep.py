"""The care of a service's log: what is too old goes, states keep their last row, and the gauges tell how things stand."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.operate import gauge
from parvis_kit.events.ports import Gone
from parvis_kit.events.running import Flow
from parvis_kit.problems import Unavailable

FACTS_KEPT = timedelta(days=400)
TOMBSTONES_KEPT = timedelta(days=7)
"""A new service that needs longer to read the states would miss an erasure."""
INBOX_KEPT = timedelta(days=14)
"""The fence refuses old offsets; the inbox has to outlive a relay's re-sending, and the oldest backup that may be restored."""
STATES_SETTLE = timedelta(hours=1)
"""Superseded states stay this long, so that somebody who looks at the log sees what came and went."""
TIDY_SECONDS = 3600.0
LOOK_SECONDS = 15.0
DELETE_MAX = 1_000
"""Rows a transaction: short locks, and a WAL that does not swell."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """How many rows went."""

    facts: int = 0
    states: int = 0
    inbox: int = 0


async def tidy(database: Database, clock: Clock) -> Tidied:
    """Remove what retention no longer keeps; to be called now and then, by any process."""
    now = clock()
    log, inbox = tables_of(database.service)["log"], tables_of(database.service)["inbox"]
    state = log.c.topic.endswith(".state")
    newer = log.alias("newer")
    superseded = sa.exists().where(newer.c.topic == log.c.topic, newer.c.key == log.c.key, newer.c.seq > log.c.seq)
    facts = await _delete(database, log, log.c.seq, sa.and_(~state, log.c.at < now - FACTS_KEPT), moves_beginning=True)
    states = await _delete(
        database,
        log,
        log.c.seq,
        sa.and_(
            state,
            sa.or_(
                sa.and_(log.c.at < now - STATES_SETTLE, superseded),
                sa.and_(log.c.data.is_(None), log.c.at < now - TOMBSTONES_KEPT),
            ),
        ),
    )
    seen = await _delete(database, inbox, inbox.c.event_id, inbox.c.at < now - INBOX_KEPT)
    return Tidied(facts, states, seen)


async def _delete(
    database: Database, table: sa.Table, key: "sa.Column[object]", which: sa.ColumnElement[bool], *, moves_beginning: bool = False
) -> int:
    """In pieces. Deleted facts move the log's beginning, in the same transaction: who stands before it has missed some."""
    gone, head = 0, tables_of(database.service)["log_head"]
    while True:
        async with database.transaction() as tx:
            rows = (await tx.execute(sa.select(key).where(which).order_by(key).limit(DELETE_MAX))).scalars().all()
            if rows:
                await tx.execute(sa.delete(table).where(key.in_(rows)))
            if rows and moves_beginning:
                await tx.execute(sa.update(head).values(beginning=rows[-1] + 1))
        gone += len(rows)
        if len(rows) < DELETE_MAX:
            return gone


async def keep(flow: Flow, look: Callable[[Flow], Awaitable[object]] = gauge) -> None:
    """Look how things stand every few seconds and tidy every hour, until cancelled. A database that is away is looked for again."""
    loop = asyncio.get_running_loop()
    tidied_at = float("-inf")
    while True:
        with suppress(Gone, Unavailable):
            await look(flow)
            if loop.time() - tidied_at >= TIDY_SECONDS:
                tidied_at = loop.time()
                await tidy(flow.database, flow.clock)
        await asyncio.sleep(LOOK_SECONDS)
