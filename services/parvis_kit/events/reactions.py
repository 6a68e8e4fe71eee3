"""Tables of what a service does when others' facts arrive, and how one batch of facts walks through them."""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, Generic, TypeVar, cast

import sqlalchemy as sa
from pydantic import ValidationError

from parvis_kit.clock import Clock
from parvis_kit.context import CAUSE, Cause, child_span
from parvis_kit.db import Tx, is_transient
from parvis_kit.events import meters
from parvis_kit.events.consumer import Failed, Retry, Undecodable
from parvis_kit.events.facts import UNREADABLE, Envelope, Erased, Fact, StateFact, declared, family_of
from parvis_kit.events.ports import Gone, Record

F = TypeVar("F", bound=Fact)
DONE = logging.getLogger("parvis.reaction")
FACTS_A_LINE_MAX = 200
"""Their ids take 8 KiB of the 16 that a line may have."""
Handler = Callable[[Tx, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Many(Generic[F]):
    """A reaction that takes many facts of its kind at once."""

    handler: Callable[[Tx, Sequence[F]], Awaitable[None]]


def batch(handler: Callable[[Tx, Sequence[F]], Awaitable[None]]) -> Many[F]:
    """In a table of reactions: call `handler(tx, facts)` with all facts of this kind that may come together."""
    return Many(handler)


@dataclass(frozen=True, slots=True)
class Upcast:
    """How facts of an older major version, kept in the log, are read as the newer one."""

    to: type[Fact]
    convert: Callable[[Any], Fact]


def upcast(to: type[F], convert: Callable[[Any], F]) -> Upcast:
    """In a table of reactions, for the older kind: `FileSharedV1: upcast(FileShared, as_file_shared)`; its tombstones follow."""
    return Upcast(to, convert)


Reactions = Mapping[type[Fact] | Erased, Handler | Many[Any] | Upcast]
"""Kind of fact (or `Erased(Kind)`, a state's tombstone) → what to do: `async def (tx, fact)`, or `batch(async def (tx, facts))`."""


@dataclass(frozen=True)
class Projection:
    """Tables that are computed from facts alone: another version is computed again from the beginning of the log."""

    name: str
    version: int
    tables: tuple[sa.Table, ...]
    on: Reactions
    reached_end: Callable[[], None] = lambda: None
    """Called whenever it has applied all that the log held: what freshness is counted from."""

    @property
    def consumer(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def next_name(self) -> str:
        """Of the one that is computed beside it."""
        return f"{self.name}+"

    @property
    def builder(self) -> str:
        """The consumer that computes it."""
        return f"{self.next_name}@{self.version}"


def topics_of(table: Reactions) -> dict[str, list[str]]:
    """What to read, by publisher."""
    found: dict[str, set[str]] = {}
    for what in table:
        kind = what.kind if isinstance(what, Erased) else what
        found.setdefault(kind.service(), set()).add(kind.topic())
    return {publisher: sorted(topics) for publisher, topics in sorted(found.items())}


class Dispatcher:
    """One table of reactions, ready to take records. Call it as the consumer's `React`."""

    def __init__(self, consumer: str, table: Reactions, clock: Clock) -> None:
        self.consumer, self.table, self.clock = consumer, table, clock
        self.handlers: dict[tuple[str, bool], Handler | Many[Any]] = {}
        self.kinds: dict[str, type[Fact]] = {}
        self.upcasts: dict[str, Upcast] = {}
        for what, handler in table.items():
            kind = what.kind if isinstance(what, Erased) else what
            self.kinds[kind.type] = kind
            if isinstance(handler, Upcast):
                self.read_as(kind, handler)
            else:
                self.handlers[kind.type, isinstance(what, Erased)] = handler
        for kind in self.kinds.values():
            if issubclass(kind, StateFact) and (kind.type, True) not in self.handlers:
                raise TypeError(
                    f"{consumer} keeps {kind.__name__} and has no line for Erased({kind.__name__}): what is erased must be forgotten"
                )
        self.meters = meters.of_consumer(consumer)

    def read_as(self, older: type[Fact], upcast: Upcast) -> None:
        """The newer kind's reactions are the older one's as well."""
        newer = upcast.to
        if family_of(older.type) != family_of(newer.type) or newer not in self.table or isinstance(self.table[newer], Upcast):
            raise TypeError(f"{self.consumer} reads {older.type} as {newer.type}: that must be of its family, and have a line of its own")
        self.upcasts[older.type] = upcast
        for is_erased, what in ((False, newer), (True, Erased(cast("type[StateFact]", newer)))):
            if what in self.table:
                self.handlers[older.type, is_erased] = cast("Handler | Many[Any]", self.table[what])

    @cached_property
    def families(self) -> frozenset[str]:
        return frozenset(map(family_of, self.kinds))

    async def __call__(self, tx: Tx, records: Sequence[Record]) -> None:
        """Facts of one kind go together as far as the order of each lane allows."""
        now = self.clock()
        groups: dict[tuple[str, bool], list[tuple[Record, Any]]] = {}
        lanes: dict[tuple[str, str], tuple[str, bool]] = {}
        for record, kind, fact in self.decoded(records):
            lane = record.fact.lane
            if lanes.setdefault(lane, kind) != kind:
                await self.handle(tx, groups, now)
                groups, lanes = {}, {lane: kind}
            groups.setdefault(kind, []).append((record, fact))
        await self.handle(tx, groups, now)

    async def handle(self, tx: Tx, groups: Mapping[tuple[str, bool], list[tuple[Record, Any]]], now: datetime) -> None:
        for kind, group in groups.items():
            handler = self.handlers[kind]
            if isinstance(handler, Many):
                with blamed_on([record for record, _ in group]), because_of(group[0][0].fact, self.consumer):
                    await handler.handler(tx, [fact for _, fact in group])
            else:
                for record, fact in group:
                    with blamed_on([record]), because_of(record.fact, self.consumer):
                        await handler(tx, fact)
            self.meters.applied.inc(len(group))
            if not self.is_projection and DONE.isEnabledFor(logging.INFO):
                tx.after_commit.append(partial(self.say, [record.fact for record, _ in group], isinstance(handler, Many)))
            observe, least = self.meters.delivery.observe, timedelta()
            for record, _ in group:
                age = now - record.fact.at
                observe(age.total_seconds() if age > least else 0.0)

    @cached_property
    def is_projection(self) -> bool:
        """Copies are computed anew by the million, and nobody asks when a row of them was written."""
        return "@" in self.consumer

    def say(self, facts: Sequence[Envelope], together: bool) -> None:
        """A line for each act, by which a request is followed to what came of it; where one act was for many facts, it names them."""
        size = FACTS_A_LINE_MAX if together else 1
        for some in (facts[first : first + size] for first in range(0, len(facts), size)):
            fields = {"consumer": self.consumer, "type": some[0].type}
            if len(some) > 1:
                DONE.info("", extra={"fields": fields | {"facts": [str(fact.id) for fact in some]}})
                continue
            with because_of(some[0], self.consumer):
                DONE.info("", extra={"fields": fields | {"about": some[0].key}})

    def decoded(self, records: Sequence[Record]) -> Iterator[tuple[Record, tuple[str, bool], Any]]:
        """What somebody here waits for. Raises as `blamed_on`, which only what fails enters: for each fact it took a microsecond."""
        for record in records:
            envelope: Envelope = record.fact
            kind = envelope.type, envelope.data is None
            try:
                if kind not in self.handlers:
                    self.pass_by(envelope)
                    continue
                fact = self.decode(envelope)
            except Exception:
                with blamed_on([record]):
                    raise
            yield record, kind, fact

    def pass_by(self, envelope: Envelope) -> None:
        """Facts that nobody here waits for are skipped; a major version, or a head, that nobody here can read is not."""
        if envelope.type == UNREADABLE:
            raise Undecodable(json.loads(envelope.head)["why"])
        if family_of(envelope.type) in self.families and envelope.type not in declared():
            raise Undecodable(f"{envelope.type} is newer than what this version of Parvis reads: upgrade it, then replay")
        self.meters.skipped.inc()

    def decode(self, envelope: Envelope) -> Fact | Erased:
        kind, upcast = self.kinds[envelope.type], self.upcasts.get(envelope.type)
        if envelope.data is None:
            return Erased(cast("type[StateFact]", upcast.to if upcast else kind), envelope.key, envelope.at)
        try:
            fact = kind.model_validate_json(envelope.data)
            return upcast.convert(fact) if upcast else fact
        except ValidationError as error:
            where = ", ".join(".".join(map(str, one["loc"])) + f": {one['msg']}" for one in error.errors(include_input=False)[:5])
            raise Undecodable(f"{envelope.type} about {envelope.key}: {where}") from None


@contextmanager
def blamed_on(records: Sequence[Record]) -> Iterator[None]:
    """Say in whose facts an error may lie. What asks to wait, and what the database says, lies in none of them."""
    try:
        yield
    except (Gone, TimeoutError, Retry, Failed):
        raise
    except Exception as error:
        if is_transient(error):
            raise Gone(str(error)) from error
        raise Failed(records) from error


@contextmanager
def because_of(envelope: Envelope, consumer: str) -> Iterator[None]:
    """What is published and logged inside says which fact it follows from, and stays in that fact's trace."""
    head = json.loads(envelope.head)
    trace = head.get("traceparent", "")
    token = CAUSE.set(
        Cause(
            request_id=head.get("correlationid", ""),
            traceparent=child_span(trace) if trace else "",
            actor=consumer,
            fact_id=str(envelope.id),
        )
    )
    try:
        yield
    finally:
        CAUSE.reset(token)
