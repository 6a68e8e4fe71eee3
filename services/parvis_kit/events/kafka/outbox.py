"""The outbox as the relay to Kafka reads it: oldest first, deleted by id, past the rows that are gone already."""

from collections.abc import Awaitable, Callable, Sequence
from functools import cache

from parvis_kit.events.kafka.wire import encode
from parvis_kit.events.low_water import LowWater
from parvis_kit.events.ports import Row
from parvis_kit.events.postgres_leader import Leader, gone_when_away

CLAIM_BYTES_MAX = 8 * 2**20
"""Of facts in memory: five hundred of the greatest size would be 128 MB."""
CLAIM_SECONDS_MAX = 5.0
"""Below the lease."""


class PostgresOutbox:
    """The Outbox of one service, on the leader's connection."""

    def __init__(self, leader: Leader, partition_of: Callable[[str, str], Awaitable[str]]) -> None:
        self.leader, self.partition_of = leader, partition_of
        self.low_water = LowWater(leader.conn, leader.service)

    async def lead(self) -> bool:
        return await self.leader.lead()

    async def claim(self, limit: int) -> Sequence[Row]:
        with gone_when_away():
            await self.low_water.settle()
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


@cache
def _claim(service: str) -> str:
    """A prefix of the outbox in the order of ids, cut where it becomes too large to be held."""
    return (
        "SELECT id, event_id, type, topic, key, at, head, data FROM ("
        "SELECT *, sum(coalesce(octet_length(data), 0)) OVER (ORDER BY id) - coalesce(octet_length(data), 0) AS before "
        f"FROM (SELECT * FROM {service}.outbox WHERE id > $1 ORDER BY id LIMIT $2) oldest"
        ") counted WHERE before < $3 ORDER BY id"
    )
