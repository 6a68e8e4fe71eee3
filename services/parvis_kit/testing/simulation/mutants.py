"""Each protection taken away in turn; the simulation is worth what it catches of these."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from parvis_kit.events import consumer, relay
from parvis_kit.events.ports import Gone
from parvis_kit.testing.simulation import checker
from parvis_kit.testing.simulation.adapters import ModelLedger, TableCarrier
from parvis_kit.testing.simulation.history import History
from parvis_kit.testing.simulation.log import Broker, TableReader
from parvis_kit.testing.simulation.plan import SHAPES, draw
from parvis_kit.testing.simulation.store import Store

Patches = list[tuple[Any, str, Any]]
MUTANTS: dict[str, Patches] = {}
"""Name → what takes the place of what: (owner, attribute, value)."""
HARMLESS: dict[str, str] = {}
"""Those that are not caught, and rightly: the protection that stands in."""
SHAPES_OF: dict[str, tuple[str, ...]] = {}
"""Where a mutant differs at all from the right code; everywhere when it is not named."""


def mutant(name: str, *patches: tuple[Any, str, Any]) -> None:
    MUTANTS[name] = list(patches)


def harmless(name: str, because: str, *patches: tuple[Any, str, Any]) -> None:
    MUTANTS[name] = list(patches)
    HARMLESS[name] = because


def instead(name: str, owner: Any, attribute: str) -> Callable[[Any], Any]:
    """The decorated function takes the place of `owner.attribute` in the mutant."""

    def keep(function: Any) -> Any:
        MUTANTS.setdefault(name, []).append((owner, attribute, function))
        return function

    return keep


@contextmanager
def applied(name: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, attribute, value in MUTANTS[name] if name else []:
            stack.enter_context(patch.object(owner, attribute, value))
        yield


def hunt(name: str, first: int, seeds_max: int) -> tuple[int, str]:
    """The first seed from `first` on that catches the mutant, and as what; `right` when none does.

    Seeds of shapes where the mutant changes nothing are passed over: they cost no time, and they count.
    """
    shapes = SHAPES_OF.get(name, SHAPES)
    with applied(name):
        for seed in range(first, first + seeds_max):
            plan = draw(seed)
            if plan.shape in shapes and (verdict := History(plan).run().verdict) != checker.RIGHT:
                return seed, verdict
    return first + seeds_max, checker.RIGHT


class Never(Exception):
    """Nobody raises it."""


# publishing: a lane's lock before its ids, and ids in the order of commits

plain_next_id, plain_append, plain_ledger_append = Store.next_id, Store.append, ModelLedger.append


@instead("id-before-lock", ModelLedger, "append")
async def append_after_reserving(self: Any, tx: Any, facts: Any) -> None:
    await self.store.call(tx, lambda session: session.ids.extend(plain_next_id(self.store, session) for _ in facts))
    await plain_ledger_append(self, tx, facts)


@instead("id-before-lock", Store, "next_id")
def reserved_id(self: Any, session: Any) -> Any:
    return session.ids.pop(0)


@instead("id-cached", Store, "next_id")
def cached_id(self: Any, session: Any) -> Any:
    """CREATE SEQUENCE … CACHE 5: each process takes its ids from a block of its own."""
    blocks = self.__dict__.setdefault("blocks", {})
    if not blocks.get(session.process):
        blocks[session.process] = [plain_next_id(self, session) for _ in range(5)]
    return blocks[session.process].pop(0)


mutant("no-lane-lock", (Store, "lock_lanes", lambda self, session, facts: None))


# the relay to a broker: oldest first, one batch, deleted by ids, only what is acknowledged

plain_delete, plain_send = Store.delete, relay.BrokerCarrier.send


@instead("cursor", Store, "claim")
def claim_after_cursor(self: Any, session: Any, limit: int) -> Any:
    return [self.tables["outbox"][id] for id in sorted(self.tables["outbox"]) if id > self.__dict__.get("cursor", 0)][:limit]


@instead("cursor", Store, "delete")
def delete_and_move(self: Any, session: Any, ids: Any) -> None:
    self.cursor = max([self.__dict__.get("cursor", 0), *ids])
    plain_delete(self, session, ids)


@instead("delete-up-to", Store, "delete")
def delete_up_to(self: Any, session: Any, ids: Any) -> None:
    plain_delete(self, session, [id for id in self.tables["outbox"] if id <= max(ids)])


@instead("delete-unacked", relay.BrokerCarrier, "send")
async def send_hopefully(self: Any, rows: Any, until: float) -> int:
    await plain_send(self, rows, until)
    return len(rows)


@instead("acks-one-by-one", relay.BrokerCarrier, "send_all")
async def send_one_by_one(self: Any, rows: Any, until: float) -> Any:
    """Each fact an own batch, all in flight at once: a later one may be in while an earlier one failed."""
    parts = [[row] for row in sorted(rows, key=lambda row: row.id)]
    return list(zip(parts, await asyncio.gather(*(self.send(part, until) for part in parts)), strict=True))


@instead("claim-unordered", Store, "claim")
def claim_unordered(self: Any, session: Any, limit: int) -> Any:
    return [self.tables["outbox"][id] for id in sorted(self.tables["outbox"], key=lambda id: id * 7919 % 101)][:limit]


@instead("skip-locked", Store, "claim")
def claim_skipping(self: Any, session: Any, limit: int) -> Any:
    """FOR UPDATE SKIP LOCKED: every relay at once, each with rows of its own."""
    free = [id for id in sorted(self.tables["outbox"]) if self.locks.get(("row", id), session) is session][:3]
    self.lock_all(session, [("row", id) for id in free])
    return [self.tables["outbox"][id] for id in free]


def lead_always(self: Any, session: Any) -> bool:
    return True


MUTANTS["skip-locked"].append((Store, "try_lead", lead_always))


@instead("xmin-guard", Store, "append")
def append_with_xid(self: Any, session: Any, facts: Any) -> None:
    first = self.last_id + 1
    plain_append(self, session, facts)
    for id in range(first, self.last_id + 1):
        self.__dict__.setdefault("xids", {})[id] = session.xid


@instead("xmin-guard", Store, "claim")
def claim_guarded(self: Any, session: Any, limit: int) -> Any:
    xmin = min([one.xid for one in self.sessions if one.xid is not None], default=self.last_xid + 1)
    xids = self.__dict__.get("xids", {})
    rows = sorted(self.tables["outbox"], key=lambda id: (xids[id], id))
    return [self.tables["outbox"][id] for id in rows if xids[id] < xmin][:limit]


plain_is_idle = Store.is_idle
mutant("no-lease", (Store, "is_idle", lambda self, session: "leader" not in session.locks and plain_is_idle(self, session)))
mutant("send-untimed", (relay, "SEND_SECONDS_MAX", 1e9))
NO_LEADER = (Store, "try_lead", lead_always)
harmless("no-leader", "the inbox drops what two leaders send; of a log table, the head's lock orders movers", NO_LEADER)


# the relay to a log table, and a file's log: numbers in the order of commits


def nothing_checked(self: Any, session: Any, numbers: Any) -> None:
    """Whoever comes last overwrites."""


async def begin_deferred(self: Any, tx: Any) -> None:
    """BEGIN: two writers at once."""


HEAD_UNLOCKED, KEY_UNCHECKED = (Store, "lock_head", Store.read_head), (Store, "lock_numbers", nothing_checked)
WRITER_UNLOCKED = (ModelLedger, "begin", begin_deferred)
mutant("numbered-by-two", HEAD_UNLOCKED, KEY_UNCHECKED, NO_LEADER)
mutant("two-writers", WRITER_UNLOCKED, KEY_UNCHECKED)
harmless("head-unlocked", "the leader's lock, of the same connection as the move; then the log's primary key", HEAD_UNLOCKED)
harmless("log-key-unchecked", "the leader's lock and the head's; on a file, the writer's", KEY_UNCHECKED)
harmless("writer-unlocked", "the log's primary key", WRITER_UNLOCKED)


@instead("numbered-at-insert", Store, "number")
def number_by_id(self: Any, session: Any, head: Any, rows: Any) -> None:
    """The outbox id is the number: a reader may pass it before it is committed."""
    for row in rows:
        self.put(session, "log", self.beginning + row.id, row.fact)
        self.put(session, "head", 0, max(self.get(session, "head", 0), self.beginning + row.id))


@instead("move-unflushed", TableCarrier, "carry")
async def carry_unflushed(self: Any) -> Any:
    """synchronous_commit=off."""
    head = await self.store.call(self.session, self.store.lock_head)
    moved = await self.store.call(self.session, self.store.move, head, self.limit)
    await self.store.call(self.session, self.store.commit, False)
    return moved


HARMLESS["move-unflushed"] = "what a crash takes back lies in the outbox again, and gets the same numbers in the same order"


@instead("moved-in-two", TableCarrier, "carry")
async def carry_in_two(self: Any) -> Any:
    """The log in one transaction, the outbox in another."""
    head = await self.store.call(self.session, self.store.lock_head)
    rows = await self.store.call(self.session, self.store.claim, self.limit)
    await self.store.call(self.session, self.store.number, head, rows)
    await self.store.call(self.session, self.store.commit, True)
    await self.store.call(self.session, self.store.delete, [row.id for row in rows])
    return len(rows)


HARMLESS["moved-in-two"] = "the inbox drops what is moved again"

plain_read = TableReader.read


@instead("end-read-apart", TableReader, "read")
async def read_then_ask_for_the_end(self: Any, part: Any, start: int, limit: int) -> Any:
    batch = await plain_read(self, part, start, limit)
    end = await self.store.ask(lambda: self.store.tables["head"][0] + 1)
    return replace(batch, next=max(end, batch.next)) if batch.at_end else batch


# the consumer: fence, inbox, hole

Consumer = consumer.Consumer
plain_settle, plain_attempt, plain_admit, plain_init = Consumer.settle, Consumer.attempt, Store.admit, Store.__init__


def always_here(self: Any, offsets: Any, batches: Any) -> bool:
    return False


NO_FENCE = (Consumer, "fenced", lambda self, offsets, batches: [record for batch in batches for record in batch.records])
NO_HOLE = (Consumer, "is_elsewhere", always_here)
mutant("no-fence", NO_FENCE)
mutant("no-inbox", (Consumer, "is_new", lambda self, record, first, seen: True))
mutant("inbox-blind-in-batch", (Consumer, "is_new", lambda self, record, first, seen: record.fact.id not in seen))
mutant("inbox-purged-early", (checker, "INBOX_SECONDS", 0.3))
mutant("hole-unseen", NO_HOLE)
mutant("hole-unseen-when-quiet", (Broker, "stand", lambda self, positions: []))
mutant("no-idle-timeout", (Store, "is_idle", lambda self, session: "leader" in session.locks and plain_is_idle(self, session)))
mutant("behind-unseen", (Consumer, "check_kept", lambda self, offsets, batches: None))


@instead("beginning-unknown", Consumer, "is_elsewhere")
def is_elsewhere_of_zero(self: Any, offsets: Any, batches: Any) -> bool:
    return any(batch.start > offsets[batch.partition] or batch.next < offsets[batch.partition] for batch in batches)


@instead("inbox-own-transaction", ModelLedger, "admit")
async def admit_apart(self: Any, tx: Any, facts: Any) -> Any:
    async with self.transaction() as own:
        return await self.store.call(own, self.store.admit, facts)


@instead("commit-error-is-success", Consumer, "settle")
async def settle_once(self: Any, batches: Any) -> bool:
    try:
        async with self.ledger.transaction() as tx:
            return bool(await self.apply(tx, batches, set()))
    except Gone:
        return True
    except Exception:
        return await plain_settle(self, batches)


MUTANTS["commit-error-is-success"].append(NO_HOLE)


@instead("reported-before-commit", Consumer, "settle")
async def settle_late(self: Any, batches: Any) -> bool:
    """Offsets in the broker only, and too early: at most once."""
    self.reported_at = -1e9
    await self.report(batches)
    return await plain_settle(self, batches)


MUTANTS["reported-before-commit"] += [NO_FENCE, NO_HOLE]


@instead("state-unflushed", Store, "__init__")
def init_unflushed(self: Any, loop: Any, delay: Any, **options: Any) -> None:
    """synchronous_commit=off for the state too: the log tells of changes that the database has lost."""
    plain_init(self, loop, delay, **(options | {"durable": False}))


def admit_reading(self: Any, session: Any, facts: Any) -> Any:
    """SELECT, then INSERT … DO NOTHING with the answer thrown away: nobody waits for anybody."""
    return self.enter(session, facts)


FENCE_UNLOCKED, INBOX_READ = (Store, "lock_offsets", Store.read_offsets), (Store, "admit", admit_reading)
mutant("fence-unlocked-and-inbox-read", FENCE_UNLOCKED, INBOX_READ)
harmless("fence-unlocked", "the inbox's insert waits for the other", FENCE_UNLOCKED)
harmless("inbox-read", "the fence's lock lets one in at a time", INBOX_READ)


# the consumer: failures, lanes that wait, and being told to stop


@instead("poison-skipped", Consumer, "attempt")
async def attempt_or_skip(self: Any, tx: Any, record: Any) -> None:
    await plain_attempt(self, tx, record)


@instead("followers-not-parked", Consumer, "waiting_lanes")
async def nobody_waits(self: Any, tx: Any) -> Any:
    return Counter()


@instead("parked-lanes-remembered", Consumer, "waiting_lanes")
async def remembered(self: Any, tx: Any) -> Any:
    """A cache of one second, kept right for this member's own parking only."""
    now = asyncio.get_running_loop().time()
    if now - self.__dict__.get("asked_at", -1e9) > 1.0:
        self.asked_at, self.cache = now, await self.ledger.parked(tx)
    return self.cache


class NoSavepoint:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *problem: object) -> None: ...


mutant("no-savepoint", (ModelLedger, "savepoint", lambda self, tx: NoSavepoint()))
mutant("retry-is-a-bug", (consumer, "Retry", Never))
mutant("refusal-is-a-bug", (consumer, "Refuse", Never))
mutant("conflict-unseen", (Consumer, "is_conflict", lambda self, record, first, seen: False))


@instead("cancel-swallowed", Consumer, "settle")
async def settle_whatever_comes(self: Any, batches: Any) -> bool:
    while True:
        try:
            return await plain_settle(self, batches)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)


@instead("replay-unfenced", consumer, "replay")
async def replay_unfenced(ledger: Any, react: Any, lane: Any, partitions: Any) -> Any:
    async with ledger.transaction() as tx:
        return await consumer.apply_parked(ledger, tx, react, lane)


HARMLESS["replay-unfenced"] = "the consumer asks the database for the lanes that wait, and sees this one until the replay is committed"

SHAPES_OF |= dict.fromkeys(("cursor", "delete-up-to", "delete-unacked", "acks-one-by-one", "skip-locked", "send-untimed"), ("broker",))
SHAPES_OF |= dict.fromkeys(("reported-before-commit", "hole-unseen-when-quiet"), ("broker",))
SHAPES_OF |= dict.fromkeys(("head-unlocked", "move-unflushed", "moved-in-two", "numbered-by-two", "numbered-at-insert"), ("table",))
SHAPES_OF |= dict.fromkeys(("id-before-lock", "id-cached", "no-lease", "no-leader", "claim-unordered"), ("broker", "table"))
SHAPES_OF |= dict.fromkeys(("two-writers", "writer-unlocked"), ("file",))
SHAPES_OF |= dict.fromkeys(("log-key-unchecked", "end-read-apart"), ("table", "file"))
