"""How facts become effects: each once, in the order of its lane, whatever dies."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence, Set
from contextlib import suppress

from parvis_kit.events import meters
from parvis_kit.events.ports import AnyTx, Batch, Gone, Ledger, Parked, Record, Source
from parvis_kit.failpoints import reach

ATTEMPTS_MAX = 3
BACKOFF_SECONDS = 0.1
BACKOFF_SECONDS_MAX = 30.0
REPORT_SECONDS = 5.0
PARKED_LANES_MAX = 1_000
PARKED_FACTS_MAX = 10_000
"""Of a consumer. More is a bug in the reaction, not poison in the facts: stop rather than park the world."""
ERROR_CHARACTERS_MAX = 2_000

log = logging.getLogger(__name__)

React = Callable[[AnyTx, Sequence[Record]], Awaitable[None]]
"""Apply these, in order within each lane. An error that is not Failed may lie in any of them."""


class Retry(Exception):
    """Later may work: the homeserver is away, a quota of calls is spent. The whole batch waits, and comes again."""


class Full(Retry):
    """So much is parked that nothing more may be: only an operator makes room."""


class Refuse(Exception):
    """Never will work: the fact's lane is parked at once, with this reason."""

    reason = "refused"


class Undecodable(Refuse):
    """The bytes are not what the type promises, or the type's major version is not known here."""

    reason = "undecodable"


class Failed(Exception):
    """A reaction's bug, with the records that it may lie in; its cause is the error itself."""

    def __init__(self, records: Sequence[Record]) -> None:
        super().__init__(f"{len(records)} records")
        self.records = records


class CannotGoOn(Exception):
    """This consumer has to stop; trying again would not help."""


class Superseded(CannotGoOn):
    """Another one has taken its place, or is to be computed in its place."""


class Behind(CannotGoOn):
    """The log no longer holds what this consumer has not read yet: rebuild it, for its next facts are gone."""


class Undone(Behind):
    """The log has lost facts that this consumer had handled (a power cut on SQLite): their effects are of what never happened."""


class Consumer:
    """One member: fetch, apply in one transaction, report now and then."""

    def __init__(self, name: str, source: Source, ledger: Ledger, react: React) -> None:
        self.name, self.source, self.ledger, self.react = name, source, ledger, react
        self.attempts: Counter[Hashable] = Counter()
        self.reported_at = float("-inf")
        self.stopping = False
        self.waits_for: type[Exception] | None = None
        """Why it stands still, as the log has been told."""
        self.at_end: Callable[[], None] = lambda: None
        """Called whenever everything that the log held has been applied: what freshness means."""
        self.meters = meters.of_consumer(name)

    async def run(self) -> None:
        """Until `stopping` is set or the task is cancelled; a batch in hand is finished first."""
        while not self.stopping:
            try:
                batches = await self.source.fetch()
            except Gone as gone:
                self.stands_still(gone)
                await asyncio.sleep(BACKOFF_SECONDS)
                continue
            if batches and await self.settle(batches):
                if all(batch.at_end for batch in batches):
                    self.at_end()
                await self.report(batches)

    async def settle(self, batches: Sequence[Batch]) -> bool:
        """Apply or park every record; only a database that is away, or a reaction that asks for it, makes it wait.

        False when nothing was applied, because the source has to be read again elsewhere.
        """
        suspects: set[Hashable] = set()
        pause = BACKOFF_SECONDS
        while True:
            try:
                async with self.ledger.transaction() as tx:
                    applied = await self.apply(tx, batches, suspects)
                    await reach("consumer.before_commit")
                await reach("consumer.after_commit")
                self.attempts.clear()
                self.goes_on()
                return applied
            except (Gone, TimeoutError, Retry) as reason:
                self.stands_still(reason)
            except CannotGoOn:
                raise
            except Failed as failed:
                suspects |= self.suspected(failed)
            except Exception:  # a reaction's bug, and it does not say whose fact it is
                suspects |= {record.fact.lane for batch in batches for record in batch.records}
            if self.stopping:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    def stands_still(self, reason: Exception) -> None:
        """It tries again by itself; said once, and not at each turn. What only an operator can mend is an error."""
        self.meters.stalled.set(1)
        if self.waits_for is not type(reason):
            self.waits_for = type(reason)
            say = log.error if isinstance(reason, Full) else log.warning
            say("%s stands still: %s", self.name, reason if str(reason) else type(reason).__name__)

    def goes_on(self) -> None:
        self.meters.stalled.set(0)
        if self.waits_for is not None:
            self.waits_for = None
            log.info("%s goes on", self.name)

    def suspected(self, failed: Failed) -> set[Hashable]:
        """The lanes to try one fact at a time, before all others. A fact that failed alone has used up one attempt; a refusal is none."""
        if len(failed.records) == 1 and not isinstance(failed.__cause__, Refuse):
            self.attempts[failed.records[0].fact.id] += 1
        return {record.fact.lane for record in failed.records}

    async def apply(self, tx: AnyTx, batches: Sequence[Batch], suspects: Set[Hashable]) -> bool:
        offsets = await self.ledger.lock_offsets(tx, sorted(batch.partition for batch in batches))
        self.check_kept(offsets, batches)
        if self.is_elsewhere(offsets, batches):
            for batch in batches:
                self.source.seek(batch.partition, offsets[batch.partition])
            return False
        records = self.fenced(offsets, batches)
        if records:
            await self.take(tx, records, suspects)
        ahead = {batch.partition: batch.next for batch in batches if batch.next > offsets[batch.partition]}
        if ahead:
            await self.ledger.advance(tx, ahead)
        return True

    async def take(self, tx: AnyTx, records: Sequence[Record], suspects: Set[Hashable]) -> None:
        first = self.first_of_each(records)
        seen = await self.ledger.admit(tx, [record.fact for record in first.values()])
        waiting = await self.waiting_lanes(tx)
        if not (seen or waiting or suspects) and len(first) == len(records):
            return await self.react(tx, records)  # as nearly always, and to ask it of each one takes a seventh of what a fact costs
        ready: list[Record] = []
        for record in records:
            if self.is_conflict(record, first, seen):
                await self.park(tx, Parked(record, "conflict", "the same id came before with other content"), waiting)
            elif not self.is_new(record, first, seen):
                self.meters.duplicates.inc()
            elif record.fact.lane in waiting:
                await self.park(tx, Parked(record, "behind"), waiting)
            elif record.fact.lane not in suspects:
                ready.append(record)
            elif (parked := await self.attempt(tx, record)) is not None:
                await self.park(tx, parked, waiting)
        if ready:
            await self.react(tx, ready)

    def check_kept(self, offsets: Mapping[str, int], batches: Sequence[Batch]) -> None:
        """A new consumer begins where the log begins; an old one that the log has left behind has missed facts."""
        for batch in batches:
            if offsets[batch.partition] in batch.undone:
                raise Undone(f"{self.name} has handled facts of {batch.partition} that the log lost when the power was cut")
            if 0 < offsets[batch.partition] < batch.beginning:
                raise Behind(
                    f"{self.name} stands at {offsets[batch.partition]} of {batch.partition}, whose log begins at {batch.beginning}"
                )

    def is_elsewhere(self, offsets: Mapping[str, int], batches: Sequence[Batch]) -> bool:
        """The database came back older than what was read (a hole), or knows all of it: read on from where it stands."""
        return any(
            batch.start > max(offsets[batch.partition], batch.beginning) or batch.next < offsets[batch.partition] for batch in batches
        )

    def fenced(self, offsets: Mapping[str, int], batches: Sequence[Batch]) -> list[Record]:
        """What the database has not seen; a member of an old generation finds nothing left to do."""
        return [record for batch in batches for record in batch.records if record.offset >= offsets[batch.partition]]

    def first_of_each(self, records: Sequence[Record]) -> dict[Hashable, Record]:
        """A relay's duplicate may lie in the same batch: the first one counts."""
        return {record.fact.id: record for record in reversed(records)}

    def is_new(self, record: Record, first: Mapping[Hashable, Record], seen: Mapping[Hashable, Hashable]) -> bool:
        return record.fact.id not in seen and record is first[record.fact.id]

    def is_conflict(self, record: Record, first: Mapping[Hashable, Record], seen: Mapping[Hashable, Hashable]) -> bool:
        """The same id with other content is nobody's duplicate."""
        if record.fact.id in seen:
            return bool(seen[record.fact.id] != record.fact.digest)
        begun = first[record.fact.id]
        return begun is not record and bool(begun.fact.digest != record.fact.digest)

    async def waiting_lanes(self, tx: AnyTx) -> Counter[Hashable]:
        """Asked under the fence and never remembered: a replay holds the same lock."""
        return await self.ledger.parked(tx)

    async def park(self, tx: AnyTx, parked: Parked, waiting: Counter[Hashable]) -> None:
        waiting[parked.record.fact.lane] += 1
        if len(waiting) > PARKED_LANES_MAX or waiting.total() > PARKED_FACTS_MAX:
            raise Full(
                f"no more than {PARKED_LANES_MAX} keys or {PARKED_FACTS_MAX} facts may be parked. `parvis events parked {self.name}` tells "
                f"why they are; once that is mended, `parvis events replay {self.name} --all`"
            )
        await self.ledger.park(tx, parked)
        self.meters.parked(parked.reason).inc()

    async def attempt(self, tx: AnyTx, record: Record) -> Parked | None:
        """None when applied. A failure is retried with the whole batch rolled back, so no lock waits with it."""
        try:
            async with self.ledger.savepoint(tx):
                await self.react(tx, [record])
        except (Gone, TimeoutError, Retry):
            raise
        except Exception as failure:
            error = failure.__cause__ if isinstance(failure, Failed) and failure.__cause__ else failure
            if isinstance(error, Refuse):
                return Parked(record, error.reason, str(error)[:ERROR_CHARACTERS_MAX], 1)
            if self.attempts[record.fact.id] + 1 < ATTEMPTS_MAX:
                raise Failed([record]) from error
            log.error("%s: %s is parked after %d attempts", self.name, record.fact.id, ATTEMPTS_MAX, exc_info=error)
            return Parked(record, "failed", repr(error)[:ERROR_CHARACTERS_MAX], ATTEMPTS_MAX)
        return None

    async def report(self, batches: Sequence[Batch]) -> None:
        now = asyncio.get_running_loop().time()
        if now - self.reported_at >= REPORT_SECONDS:
            self.reported_at = now
            await reach("consumer.before_report")
            with suppress(Gone):
                await self.source.report({batch.partition: batch.next for batch in batches})


async def replay(ledger: Ledger, react: React, lane: Hashable, partitions: Sequence[str]) -> int:
    """Apply a parked lane in order, under the fence: nothing new of it passes meanwhile. All of it, or nothing.

    Raises the reaction's own error.
    """
    async with ledger.transaction() as tx:
        await ledger.lock_offsets(tx, sorted(partitions))
        return await apply_parked(ledger, tx, react, lane)


async def apply_parked(ledger: Ledger, tx: AnyTx, react: React, lane: Hashable) -> int:
    waiting = await ledger.unpark(tx, lane)
    try:
        for parked in waiting:
            await react(tx, [parked.record])
    except Failed as failed:
        raise (failed.__cause__ or failed) from None
    return len(waiting)
