"""The outbox as the relay to Kafka reads it: oldest first, deleted by id, past the rows that are gone already."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache

from parvis_kit.events.kafka.wire import encode
from parvis_kit.events.ports import Row
from parvis_kit.events.postgres_leader import Leader, gone_when_away

CLAIM_BYTES_MAX = 8 * 2**20
"""Of facts in memory: five hundred of the greatest size would be 128 MB."""
CLAIM_SECONDS_MAX = 5.0
"""Below the lease."""
SETTLE_SECONDS = 1.0


class LowWater:
    """Below it nothing will ever be in the outbox again, so a claim need not walk over what was deleted there.

    An id is taken before its transaction commits, and may come late: a later fact of its key must not be seen without it. So the mark
    rises to an id only when every transaction that was running after that id had been taken has ended, and only to the lowest row left.
    Whoever publishes has a transaction id before it takes an outbox id (`append` sees to it).
    """

    def __init__(self) -> None:
        self.mark = 0
        self.seen = 0
        """The highest id that was read: every lower one had been taken by then."""
        self.candidate: tuple[int, int] | None = None
        """(id, the transaction id that all who may hold a lower id are below)"""
        self.settled = 0

    def read(self, ids: Sequence[int]) -> None:
        self.seen = max([self.seen, *ids])

    def look(self, oldest_running: int, next_to_run: int, lowest: int | None) -> None:
        """One snapshot's xmin and xmax, and the lowest id above the mark that it shows."""
        if self.candidate and oldest_running >= self.candidate[1]:
            self.settled, self.candidate = self.candidate[0], None
        self.mark = max(self.mark, self.settled if lowest is None else min(self.settled, lowest - 1))
        if self.candidate is None:
            self.candidate = self.seen, next_to_run


class PostgresOutbox:
    """The Outbox of one service, on the leader's connection."""

    def __init__(self, leader: Leader, partition_of: Callable[[str, str], Awaitable[str]]) -> None:
        self.leader, self.partition_of = leader, partition_of
        self.low_water = LowWater()
        self.settled_at = time.monotonic()

    async def lead(self) -> bool:
        return await self.leader.lead()

    async def claim(self, limit: int) -> Sequence[Row]:
        with gone_when_away():
            await self._settle()
            rows = await self.leader.conn.fetch(
                _claim(self.leader.service), self.low_water.mark, limit, CLAIM_BYTES_MAX, timeout=CLAIM_SECONDS_MAX
            )
        self.low_water.read([row[0] for row in rows])
        found = []
        for number, event_id, kind, topic, key, at, head, data in rows:
            message = encode(number, event_id, kind, key, at, head, data)
            found.append(Row(number, await self.partition_of(topic, key), message))
        return found

    async def delete(self, ids: Sequence[int]) -> None:
        """Lost in a crash, it is done again after a duplicate: this connection does not wait for the disk (synchronous_commit=off)."""
        with gone_when_away():
            await self.leader.conn.execute(f"DELETE FROM {self.leader.service}.outbox WHERE id = ANY($1)", ids, timeout=CLAIM_SECONDS_MAX)

    async def _settle(self) -> None:
        if time.monotonic() - self.settled_at < SETTLE_SECONDS:
            return
        self.settled_at = time.monotonic()
        looked = await self.leader.conn.fetchrow(_look(self.leader.service), self.low_water.mark, timeout=CLAIM_SECONDS_MAX)
        self.low_water.look(int(looked[0]), int(looked[1]), looked[2])


@cache
def _claim(service: str) -> str:
    """A prefix of the outbox in the order of ids, cut where it becomes too large to be held."""
    return (
        "SELECT id, event_id, type, topic, key, at, head, data FROM ("
        "SELECT *, sum(coalesce(octet_length(data), 0)) OVER (ORDER BY id) - coalesce(octet_length(data), 0) AS before "
        f"FROM (SELECT * FROM {service}.outbox WHERE id > $1 ORDER BY id LIMIT $2) oldest"
        ") counted WHERE before < $3 ORDER BY id"
    )


@cache
def _look(service: str) -> str:
    return (
        "SELECT pg_snapshot_xmin(now)::text, pg_snapshot_xmax(now)::text, "
        f"(SELECT min(id) FROM {service}.outbox WHERE id > $1) FROM pg_current_snapshot() now"
    )
