"""The outbox as the relay to Kafka reads it: oldest first, deleted by id, past the rows that are gone already."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from uuid import UUID

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

    def __init__(
        self, leader: Leader, partition_of: Callable[[str, str], Awaitable[str]], reached: Mapping[str, int] | None = None
    ) -> None:
        """`reached`: behind the last fact of ours that each partition has acknowledged, as the producer sees it."""
        self.leader, self.partition_of = leader, partition_of
        self.reached = {} if reached is None else reached
        self.noted: dict[str, int] = {}
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
            await self.note()
            await self.leader.conn.execute(f"DELETE FROM {self.leader.service}.outbox WHERE id = ANY($1)", ids, timeout=CLAIM_SECONDS_MAX)

    async def noted_before(self) -> tuple[dict[str, int], int]:
        """How far each partition is ours, as some relay of this service has noted it; and which life of the database this is."""
        with gone_when_away():
            known = f"SELECT partition, next FROM {self.leader.service}.consumer_offset WHERE consumer = $1"
            noted = dict(await self.leader.conn.fetch(known, relay_of(self.leader.service), timeout=CLAIM_SECONDS_MAX))
            return noted, await self.leader.conn.fetchval(_life(self.leader.service), timeout=CLAIM_SECONDS_MAX)

    async def waiting(self) -> set[UUID]:
        """The facts that have not left, or of which that was not noted."""
        rows = await self.leader.conn.fetch(f"SELECT event_id FROM {self.leader.service}.outbox", timeout=CLAIM_SECONDS_MAX)
        return {row[0] for row in rows}

    async def note(self) -> None:
        """How far each partition is ours, before what it has leaves the outbox: a database that is restored knows then which facts of
        the log it has never said (undone.py)."""
        moved = {partition: offset for partition, offset in self.reached.items() if self.noted.get(partition) != offset}
        if moved:
            values = relay_of(self.leader.service), list(moved), list(moved.values())
            await self.leader.conn.execute(_note(self.leader.service), *values, timeout=CLAIM_SECONDS_MAX)
            self.noted |= moved


LIFE = "(life)"
"""Beside the partitions: in which life of the database the log was last found to be its own."""


@cache
def _life(service: str) -> str:
    """Whatever way it is restored, one of these becomes another: the server is started, or the database or its tables are made."""
    oids = f"(SELECT oid FROM pg_database WHERE datname = current_database()), '{service}.outbox'::regclass::oid"
    return f"SELECT hashtextextended(concat_ws(' ', pg_postmaster_start_time(), {oids}), 0)"


def relay_of(service: str) -> str:
    """Under which name the positions of a relay stand among those of the consumers."""
    return f"{service}.relay"


@cache
def _note(service: str) -> str:
    table = f"{service}.consumer_offset"
    return (
        f"INSERT INTO {table} AS known (consumer, partition, next) "
        "SELECT $1, partition, next FROM unnest($2::text[], $3::bigint[]) AS reached (partition, next) ORDER BY partition "
        "ON CONFLICT (consumer, partition) DO UPDATE "
        f"SET next = CASE known.partition WHEN '{LIFE}' THEN excluded.next ELSE greatest(known.next, excluded.next) END"
    )


@cache
def _claim(service: str) -> str:
    """A prefix of the outbox in the order of ids, cut where it becomes too large to be held."""
    return (
        "SELECT id, event_id, type, topic, key, at, head, data FROM ("
        "SELECT *, sum(coalesce(octet_length(data), 0)) OVER (ORDER BY id) - coalesce(octet_length(data), 0) AS before "
        f"FROM (SELECT * FROM {service}.outbox WHERE id > $1 ORDER BY id LIMIT $2) oldest"
        ") counted WHERE before < $3 ORDER BY id"
    )
