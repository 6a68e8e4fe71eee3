"""Below which id an outbox will never hold anything again, so that its reader need not walk over what was deleted there."""

import time
from collections.abc import Sequence
from functools import cache

import asyncpg

SETTLE_SECONDS = 1.0
LOOK_SECONDS_MAX = 5.0
"""Below the lease."""


class LowWater:
    """The mark of one leader, on its connection.

    Until a vacuum, a read from the beginning walks over all that was deleted, and a long snapshot (a dump) keeps vacuums from helping.
    An id is taken before its transaction commits, and may come late: a later fact of its key must not be seen without it. So the mark
    rises to an id only when every transaction that was running after that id had been taken has ended, and only to the lowest row left.
    Whoever publishes has a transaction id before it takes an outbox id (`append` sees to it).
    """

    def __init__(self, conn: "asyncpg.Connection[asyncpg.Record]", service: str) -> None:
        self.conn, self.service = conn, service
        self.mark = 0
        self.seen = 0
        """The highest id that was read: every lower one had been taken by then."""
        self.candidate: tuple[int, int] | None = None
        """(id, the transaction id that all who may hold a lower id are below)"""
        self.settled = 0
        self.settled_at = time.monotonic()

    def read(self, ids: Sequence[int]) -> None:
        self.seen = max([self.seen, *ids])

    async def settle(self) -> None:
        """Once a second, let the mark rise as far as it may. Raises what the connection raises."""
        if time.monotonic() - self.settled_at < SETTLE_SECONDS:
            return
        self.settled_at = time.monotonic()
        oldest_running, next_to_run, lowest = await self.conn.fetchrow(_look(self.service), self.mark, timeout=LOOK_SECONDS_MAX)
        self.look(int(oldest_running), int(next_to_run), lowest)

    def look(self, oldest_running: int, next_to_run: int, lowest: int | None) -> None:
        """One snapshot's xmin and xmax, and the lowest id above the mark that it shows."""
        if self.candidate and oldest_running >= self.candidate[1]:
            self.settled, self.candidate = self.candidate[0], None
        self.mark = max(self.mark, self.settled if lowest is None else min(self.settled, lowest - 1))
        if self.candidate is None:
            self.candidate = self.seen, next_to_run


@cache
def _look(service: str) -> str:
    return (
        "SELECT pg_snapshot_xmin(now)::text, pg_snapshot_xmax(now)::text, "
        f"(SELECT min(id) FROM {service}.outbox WHERE id > $1) FROM pg_current_snapshot() now"
    )
