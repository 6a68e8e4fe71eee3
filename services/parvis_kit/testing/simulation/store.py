"""A database in memory with what matters of PostgreSQL: locks, commits apart from ids, sessions that servers end."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parvis_kit.events.ports import Gone, Parked, Row
from parvis_kit.testing.simulation.loop import OUTSIDE, Loop, Process

IDLE_SECONDS_MAX = 2.0
"""idle_session_timeout (the lease) and idle_in_transaction_session_timeout."""
REAP_SECONDS = 0.5
UNFLUSHED_SECONDS = 0.6
"""Three times wal_writer_delay: what synchronous_commit=off may lose."""
TABLES = ("aggregate", "outbox", "log", "head", "offsets", "inbox", "projection", "parked")


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened: `version` stands for the payload, and lets the checker decide everything."""

    id: int
    lane: int
    version: int
    digest: int = 0
    """0 as published; a forgery under the same id has another."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A row of the inbox."""

    at: float
    digest: int


class Blocked(Exception):
    """Another session holds the lock; the operation is tried again when it lets go."""


class Session:
    """One connection and its open transaction."""

    __slots__ = ("alive", "busy", "facts", "ids", "locks", "process", "store", "touched_at", "waits_for", "writes", "xid")

    def __init__(self, store: "Store", process: Process) -> None:
        self.store, self.process = store, process
        self.alive, self.busy, self.touched_at = store.up, 0, store.loop.now
        self.writes: dict[tuple[str, Hashable], Any] = {}
        self.locks: dict[Hashable, None] = {}
        self.waits_for: Hashable = None
        self.xid: int | None = None
        self.facts: list[Fact] = []
        self.ids: list[int] = []
        if self.alive:
            store.sessions[self] = None


class Store:
    """Each operation runs at one instant on the server: READ COMMITTED needs no more; only replies can be stale."""

    def __init__(
        self,
        loop: Loop,
        delay: Callable[[], float],
        *,
        durable: bool,
        is_file: bool = False,
        partition_of: Callable[[int], str] = str,
        beginning: int = 0,
    ) -> None:
        self.loop, self.delay, self.durable, self.is_file, self.partition_of = loop, delay, durable, is_file, partition_of
        self.up = True
        self.unreadable_until = 0.0
        self.beginning = beginning
        self.tables: dict[str, dict[Any, Any]] = {name: {} for name in TABLES}
        self.tables["head"][0] = max(0, beginning - 1)
        self.sessions: dict[Session, None] = {}
        self.locks: dict[Hashable, Session] = {}
        self.queues: dict[Hashable, list[Callable[[], None]]] = {}
        self.unflushed: list[tuple[float, list[tuple[str, Hashable, Any]]]] = []
        self.last_id = self.last_xid = self.last_seq = 0
        self.log_grew: Callable[[], None] = lambda: None
        loop.call_later(REAP_SECONDS, self.reap, context=OUTSIDE)

    # the wire: a request runs even when its client is dead by then, and so does a COMMIT

    def call(self, session: Session, operation: Callable[..., Any], *arguments: Any) -> Any:
        reply = self.loop.create_future()
        session.busy += 1
        self.loop.call_later(self.delay(), self.serve, reply, session, operation, arguments, context=OUTSIDE)
        return reply

    def serve(self, reply: Any, session: Session, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        problem = result = None
        session.waits_for = None
        if not session.alive:
            problem = Gone("connection lost")
        else:
            try:
                result = operation(session, *arguments)
            except Blocked as blocked:
                session.waits_for = blocked.args[0]
                if not self.is_deadlock(session):
                    self.queues.setdefault(session.waits_for, []).append(lambda: self.serve(reply, session, operation, arguments))
                    return
                session.waits_for = None
                self.end(session)
                problem = Gone("deadlock")
            except Gone as gone:
                self.end(session)
                problem = gone
        session.busy -= 1
        session.touched_at = self.loop.now
        self.loop.call_later(self.delay(), self.answer, reply, result, problem, context=OUTSIDE)

    def ask(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        """One statement of a reader from elsewhere: it holds nothing and waits for nobody."""
        reply = self.loop.create_future()
        self.loop.call_later(self.delay(), self.serve_reader, reply, operation, arguments, context=OUTSIDE)
        return reply

    def serve_reader(self, reply: Any, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        readable = self.up and self.loop.now >= self.unreadable_until
        result, problem = (operation(*arguments), None) if readable else (None, Gone("the log cannot be read"))
        self.loop.call_later(self.delay(), self.answer, reply, result, problem, context=OUTSIDE)

    def answer(self, reply: Any, result: Any, problem: Exception | None) -> None:
        if reply.done():
            return
        if problem is None:
            reply.set_result(result)
        else:
            reply.set_exception(problem)

    # locks

    def lock(self, session: Session, name: Hashable) -> None:
        holder = self.locks.setdefault(name, session)
        if holder is not session:
            raise Blocked(name)
        session.locks[name] = None

    def lock_all(self, session: Session, names: Sequence[Hashable]) -> None:
        for name in names:
            self.lock(session, name)

    def is_deadlock(self, session: Session) -> bool:
        holder = self.locks.get(session.waits_for)
        while holder is not None and holder is not session:
            holder = self.locks.get(holder.waits_for)
        return holder is session

    def release(self, session: Session) -> None:
        """The transaction's locks, and of a session that has ended the leader's too."""
        kept: dict[Hashable, None] = {}
        for name in session.locks:
            if name == "leader" and session.alive:
                kept[name] = None
                continue
            del self.locks[name]
            for serve in self.queues.pop(name, ()):
                self.loop.call_soon(serve, context=OUTSIDE)
        session.locks = kept

    # rows: a transaction sees what is committed now, and its own writes

    def get(self, session: Session, table: str, key: Hashable) -> Any:
        if (table, key) in session.writes:
            return session.writes[table, key]
        return self.tables[table].get(key)

    def put(self, session: Session, table: str, key: Hashable, row: Any) -> None:
        if session.xid is None:
            self.last_xid += 1
            session.xid = self.last_xid
        session.writes[table, key] = row

    def rows(self, session: Session, table: str) -> list[tuple[int, Any]]:
        rows = dict(self.tables[table])
        rows |= {key: row for (name, key), row in session.writes.items() if name == table}
        return sorted((key, row) for key, row in rows.items() if row is not None)

    def commit(self, session: Session, durable: bool) -> None:
        undo = []
        grew = False
        for (table, key), row in session.writes.items():
            rows = self.tables[table]
            undo.append((table, key, rows.get(key)))
            grew = grew or table == "log"
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        if durable:
            self.unflushed.clear()
        else:
            self.unflushed.append((self.loop.now, undo))
        self.reset(session)
        if grew:
            self.log_grew()

    def reset(self, session: Session) -> None:
        session.writes, session.xid = {}, None
        self.release(session)

    def end(self, session: Session) -> None:
        """Roll back and hang up: of a killed client, of one idle too long, of a deadlock's victim."""
        if session.alive:
            session.alive = False
            del self.sessions[session]
            if session.waits_for is not None:  # its waiting call finds the session dead
                for serve in self.queues.pop(session.waits_for, ()):
                    self.loop.call_soon(serve, context=OUTSIDE)
            self.reset(session)

    def hang_up(self, process: Process) -> None:
        for session in [session for session in self.sessions if session.process is process]:
            self.end(session)

    def reap(self) -> None:
        for session in [session for session in self.sessions if self.is_idle(session)]:
            self.end(session)
        self.loop.call_later(REAP_SECONDS, self.reap, context=OUTSIDE)

    def is_idle(self, session: Session) -> bool:
        """A server ends such sessions; nobody ends those of a file."""
        return not self.is_file and not session.busy and self.loop.now - session.touched_at > IDLE_SECONDS_MAX

    def crash(self, seconds: float) -> None:
        """Lose every session and the tail of commits that were not flushed."""
        for session in list(self.sessions):
            self.end(session)
        while self.unflushed and self.unflushed[-1][0] > self.loop.now - UNFLUSHED_SECONDS:
            for table, key, row in reversed(self.unflushed.pop()[1]):
                if row is None:
                    self.tables[table].pop(key, None)
                else:
                    self.tables[table][key] = row
        self.unflushed.clear()
        self.up = False
        self.loop.call_later(seconds, self.start, context=OUTSIDE)

    def start(self) -> None:
        self.up = True

    # publishing, one statement each

    def bump(self, session: Session, lane: int) -> int:
        version: int = (self.get(session, "aggregate", lane) or 0) + 1
        self.put(session, "aggregate", lane, version)
        return version

    def touch(self, session: Session, lane: int) -> int:
        """UPDATE aggregate SET version = version + 1 … RETURNING version."""
        self.lock(session, ("lane", lane))
        return self.bump(session, lane)

    def next_id(self, session: Session) -> int:
        """nextval: given at once and never given back, so that ids are not in the order of commits."""
        self.last_id += 1
        return self.last_id

    def lock_lanes(self, session: Session, facts: Sequence[Fact]) -> None:
        """Before any id is taken; a file's one writer holds them all."""
        self.lock_all(session, [("lane", lane) for lane in sorted({fact.lane for fact in facts})])

    def append(self, session: Session, facts: Sequence[Fact]) -> None:
        self.lock_lanes(session, facts)
        if self.is_file:
            self.write_log(session, self.read_head(session), facts)
            return
        for fact in self.stamped(session, facts):
            row = Row(self.next_id(session), self.partition_of(fact.lane), fact)
            self.put(session, "outbox", row.id, row)

    def stamped(self, session: Session, facts: Sequence[Fact]) -> list[Fact]:
        """With the version that the lane's lock lets them take."""
        return [fact if fact.version else replace(fact, version=self.bump(session, fact.lane)) for fact in facts]

    def write_log(self, session: Session, head: int, facts: Sequence[Fact]) -> None:
        self.lock_numbers(session, range(head + 1, head + len(facts) + 1))
        for seq, fact in enumerate(self.stamped(session, facts), head + 1):
            self.put(session, "log", seq, fact)
        if facts:
            self.put(session, "head", 0, head + len(facts))

    def lock_numbers(self, session: Session, numbers: Sequence[int]) -> None:
        """The log's primary key: waits for whoever inserts the same number, and refuses it afterwards."""
        self.lock_all(session, [("log", seq) for seq in numbers])
        if any(self.get(session, "log", seq) is not None for seq in numbers):
            raise Gone("duplicate key in the log")

    # the relay

    def try_lead(self, session: Session) -> bool:
        try:
            self.lock(session, "leader")
        except Blocked:
            return False
        return True

    def claim(self, session: Session, limit: int) -> list[Row]:
        """SELECT … ORDER BY id LIMIT."""
        return [self.tables["outbox"][id] for id in sorted(self.tables["outbox"])[:limit]]

    def delete(self, session: Session, ids: Sequence[int]) -> None:
        """DELETE … WHERE id = ANY, a transaction of its own and not flushed."""
        rows = self.tables["outbox"]
        undo: list[tuple[str, Hashable, Any]] = [("outbox", id, rows.pop(id)) for id in ids if id in rows]
        self.unflushed.append((self.loop.now, undo))

    def lock_head(self, session: Session) -> int:
        """SELECT seq FROM log_head FOR UPDATE: movers come one after the other."""
        self.lock(session, "head")
        return self.read_head(session)

    def read_head(self, session: Session) -> int:
        head: int = self.get(session, "head", 0)
        return head

    def move(self, session: Session, head: int, limit: int) -> int:
        """The oldest leave the outbox and are numbered from the head on."""
        rows = self.claim(session, limit)
        self.number(session, head, rows)
        for row in rows:
            self.put(session, "outbox", row.id, None)
        return len(rows)

    def number(self, session: Session, head: int, rows: Sequence[Row]) -> None:
        self.write_log(session, head, [row.fact for row in rows])

    # the consumer

    def lock_offsets(self, session: Session, partitions: Sequence[str]) -> dict[str, int]:
        self.lock_all(session, [("offsets", partition) for partition in partitions])
        return self.read_offsets(session, partitions)

    def read_offsets(self, session: Session, partitions: Sequence[str]) -> dict[str, int]:
        return {partition: self.get(session, "offsets", partition) or 0 for partition in partitions}

    def admit(self, session: Session, facts: Sequence[Fact]) -> dict[Hashable, Hashable]:
        """INSERT … ON CONFLICT DO NOTHING RETURNING: waits for whoever inserts the same id."""
        ids = sorted({fact.id for fact in facts if self.get(session, "inbox", fact.id) is None})
        self.lock_all(session, [("inbox", id) for id in ids])
        return self.enter(session, facts)

    def enter(self, session: Session, facts: Sequence[Fact]) -> dict[Hashable, Hashable]:
        before: dict[Hashable, Hashable] = {}
        for fact in facts:
            seen = self.get(session, "inbox", fact.id)
            if seen is None:
                self.put(session, "inbox", fact.id, Seen(self.loop.now, fact.digest))
            else:
                before[fact.id] = seen.digest
        return before

    def parked(self, session: Session) -> Counter[Hashable]:
        return Counter(parked.record.fact.lane for _, parked in self.rows(session, "parked"))

    def park(self, session: Session, parked: Parked) -> None:
        self.last_seq += 1
        self.put(session, "parked", self.last_seq, parked)

    def unpark(self, session: Session, lane: int) -> list[Parked]:
        waiting = [(seq, parked) for seq, parked in self.rows(session, "parked") if parked.record.fact.lane == lane]
        for seq, _ in waiting:
            self.put(session, "parked", seq, None)
        return [parked for _, parked in waiting]

    def advance(self, session: Session, offsets: Mapping[str, int]) -> None:
        for partition, offset in sorted(offsets.items()):
            self.lock(session, ("offsets", partition))
            self.put(session, "offsets", partition, offset)

    def apply(self, session: Session, facts: Iterable[Fact]) -> None:
        """Reactions that are not idempotent: the checker reads the whole story of a lane from its row."""
        for fact in facts:
            self.lock(session, ("projection", fact.lane))
        for fact in facts:
            self.put(session, "projection", fact.lane, (self.get(session, "projection", fact.lane) or ()) + (fact.version,))
