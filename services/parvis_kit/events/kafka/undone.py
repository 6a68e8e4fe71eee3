"""What the log tells and its publisher does not know: after a restore of the database, the facts of the time that is lost.

The database knows how far the log was its own (`consumer_offset` of its relay, noted before facts leave the outbox) and what was still to
be sent. Whatever lies beyond and is not in the outbox was said in a life of the database that is over.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from parvis_kit.db import Database, Tx, upsert
from parvis_kit.events.facts import UNREADABLE, Fact, declared
from parvis_kit.events.kafka.outbox import relay_of
from parvis_kit.events.kafka.reading import KafkaReading, open_reading
from parvis_kit.events.ledger import SqlLedger, stands_of, tables_of
from parvis_kit.settings import Kafka

READ_MAX = 500
LOOKED_BACK_MAX = 10_000
"""A relay that was frozen may have sent what its successor had sent already: that is found this far before, and no fact of a lost time."""
ADMITTED_MAX = 500
"""Facts of one statement."""
UNDONE_MAX = 1_000_000
"""About 500 MB: a day of a million agents. Who restores further back than that begins with an empty log."""


class TooMuchUndone(Exception):
    """More than can be passed over."""


class Undone(NamedTuple):
    """A fact of the time that is lost: an identity, what it was about, no content."""

    partition: str
    id: UUID
    digest: str
    type: str
    topic: str
    key: str


def topics_said_by(service: str) -> list[str]:
    said: list[type[Fact]] = [kind for kind in declared().values() if kind.service() == service]
    return sorted({kind.topic() for kind in said})


async def find(kafka: Kafka, database: Database) -> tuple[list[Undone], Mapping[str, int]]:
    """What this service has undone, in the order of the log, and where each partition of its topics ends. Raises Gone, TooMuchUndone."""
    service = database.service
    outbox = tables_of(service)["outbox"]
    stands = await stands_of(database, relay_of(service))
    found: list[Undone] = []
    async with open_reading(kafka, service, {service: topics_said_by(service)}) as reading:
        ends = await reading.ends()
        async with database.read() as conn:
            waiting = set((await conn.execute(sa.select(outbox.c.event_id))).scalars())
        for partition, end in ends.items():
            if (ours := stands.get(partition, 0)) < end:
                found += await find_in(reading, partition, ours, end, waiting)
            if len(found) > UNDONE_MAX:
                raise TooMuchUndone(f"more than {UNDONE_MAX} facts of {service} lie on the log that its database does not know")
    return found, ends


async def find_in(reading: KafkaReading, partition: str, ours: int, end: int, waiting: Collection[UUID]) -> list[Undone]:
    """From `ours` on; each once, however often it was sent."""
    start, known, found = max(0, ours - LOOKED_BACK_MAX), set(waiting), list[Undone]()
    while start < end and len(found) <= UNDONE_MAX:
        batch = await reading.read(partition, start, READ_MAX)
        start = batch.next
        for record in batch.records:
            fact = record.fact
            if record.offset >= ours and fact.id not in known and fact.type != UNREADABLE:
                found.append(Undone(partition, fact.id, fact.digest, fact.type, fact.topic, fact.key))
            known.add(fact.id)
    return found


async def handled(database: Database, consumer: str, undone: Sequence[Undone]) -> int:
    """How many of them this consumer has applied: its database is of a later moment than their publisher's, or it has run since."""
    inbox, number = tables_of(database.service)["inbox"], 0
    for first in range(0, len(undone), ADMITTED_MAX):
        ids = [one.id for one in undone[first : first + ADMITTED_MAX]]
        mine = sa.and_(inbox.c.consumer == consumer, inbox.c.event_id.in_(ids))
        async with database.read() as conn:
            number += (await conn.execute(sa.select(sa.func.count()).select_from(inbox).where(mine))).scalar_one()
    return number


async def pass_over(ledger: SqlLedger, tx: Tx, undone: Sequence[Undone]) -> None:
    """Enter them among what this consumer has had, so that it takes them for facts that came twice."""
    for first in range(0, len(undone), ADMITTED_MAX):
        await ledger.admit(tx, undone[first : first + ADMITTED_MAX])  # type: ignore[arg-type]  # it looks at ids and digests alone


async def take_as_read(tx: Tx, ends: Mapping[str, int]) -> None:
    """From here on the log is ours again: what lies before was passed over."""
    offsets = tables_of(tx.database.service)["consumer_offset"]
    rows = [{"consumer": relay_of(tx.database.service), "partition": partition, "next": end} for partition, end in sorted(ends.items())]
    row = upsert(tx, offsets)
    await tx.execute(row.on_conflict_do_update(index_elements=["consumer", "partition"], set_={"next": row.excluded.next}), rows)
