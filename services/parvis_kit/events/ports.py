"""What the cores ask of a database and of a log: four small protocols, kept by SQL and by the model of the simulation."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

AnyTx = Any
"""The write engine's transaction, handed on to the reactions."""


class Carried(Protocol):
    """A fact, as far as carrying it goes."""

    @property
    def id(self) -> Hashable: ...
    @property
    def lane(self) -> Hashable: ...
    @property
    def digest(self) -> Hashable: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A fact in the outbox."""

    id: int
    partition: str
    fact: Any


@dataclass(frozen=True, slots=True)
class Record:
    """A fact in the log. Offsets grow within a partition; gaps are normal."""

    partition: str
    offset: int
    fact: Any


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in order."""

    partition: str
    start: int
    """Where reading began: tells a hole from a compacted gap."""
    next: int
    """Where to read on."""
    records: Sequence[Record]
    beginning: int = 0
    """Where the log begins: what lay before it is no longer kept."""
    at_end: bool = False
    """Whether there was nothing more when this was read."""
    undone: range = range(0)
    """Numbers of facts that the log has lost: who reads on from one of them has seen what never happened."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Why a record waits."""

    record: Record
    reason: str
    error: str = ""
    attempts: int = 0


class Gone(Exception):
    """The connection is lost or the server refuses for now: all of it may be tried again."""


class Outbox(Protocol):
    """The relay's one connection: its leader's lock lives and dies with it, so a lost lock shows as a failed claim."""

    async def lead(self) -> bool: ...
    async def claim(self, limit: int) -> Sequence[Row]: ...
    async def delete(self, ids: Sequence[int]) -> None: ...


class Producer(Protocol):
    async def send(self, partition: str, facts: Sequence[Any]) -> int:
        """Append the first of them, as many as one batch takes, all or nothing; how many those were, once they are acknowledged."""


class Source(Protocol):
    """A reader of a SQL log, or a member of a Kafka group."""

    async def fetch(self) -> Sequence[Batch]:
        """What is new; now and then one empty batch per partition, or a database restored would go unnoticed."""

    async def report(self, offsets: Mapping[str, int]) -> None:
        """A courtesy to tools that show the lag, now and then; nothing rests on it."""

    def seek(self, partition: str, offset: int) -> None:
        """Read on from there; ignored where the partition is no longer this member's."""


class Ledger(Protocol):
    """A service's database, for the tables that the kit owns. `tx` is the service's own transaction.

    Implementations append facts (`publish`) under the locks of their keys: a key's lock is taken before its id.
    """

    def transaction(self) -> AbstractAsyncContextManager[AnyTx]: ...
    def savepoint(self, tx: AnyTx) -> AbstractAsyncContextManager[None]: ...
    async def append(self, tx: AnyTx, facts: Sequence[Any]) -> None: ...
    async def lock_offsets(self, tx: AnyTx, partitions: Iterable[str]) -> dict[str, int]:
        """Where each stands, locked until the end of the transaction, in this order; 0 when it is new."""

    async def admit(self, tx: AnyTx, facts: Sequence[Any]) -> Mapping[Hashable, Hashable]:
        """Enter distinct ids in the inbox. Returns the digest on record of those that were there before."""

    async def parked(self, tx: AnyTx) -> Counter[Hashable]:
        """The lanes that wait, and how many facts in each."""

    async def park(self, tx: AnyTx, parked: Parked) -> None: ...
    async def unpark(self, tx: AnyTx, lane: Hashable) -> Sequence[Parked]:
        """Take out what waits in the lane, in the order in which it came."""

    async def advance(self, tx: AnyTx, offsets: Mapping[str, int]) -> None: ...
