"""The log as services meet it, whatever carries it: carriers for the relay, sources for consumers, and a look that moves nobody."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from parvis_kit.db import Database
from parvis_kit.events.bell import Bell
from parvis_kit.events.ports import Batch, Source
from parvis_kit.events.relay import Carrier

Topics = Mapping[str, Sequence[str]]
"""What to read, by publisher."""
Stand = tuple[Topics, Mapping[str, int]]
"""What a consumer reads, and where it goes on, by partition (0 where none is given)."""
Waiting = Mapping[str, tuple[int, datetime | None]]
"""By publisher: how many facts lie from a stand on, and when the oldest of them happened."""


class Reading(Protocol):
    """A look at the log, for those who consume nothing. Everything here raises Gone when it cannot be read now."""

    @property
    def partitions(self) -> Mapping[str, str]:
        """Partition → its publisher."""

    async def read(self, partition: str, start: int, limit: int) -> Batch:
        """Facts from `start` on, up to `limit`."""

    async def since(self, moment: datetime) -> Mapping[str, int]:
        """By partition: where to read on from so as to see all that came since then."""

    async def is_at_end(self, stands: Mapping[str, int]) -> bool:
        """Whether nothing lies from these positions on."""

    async def lost(self, stands: Mapping[str, int]) -> Mapping[str, int]:
        """Of those who stand where the log no longer is: where it begins now."""


class Log(Protocol):
    """One of a process; every service's flow of facts has it."""

    @property
    def bell(self) -> Bell: ...

    def carriers(self, database: Database, lease_seconds: float) -> Callable[[], AbstractAsyncContextManager[Carrier]] | None:
        """What carries this service's facts into the log; None where its transactions write there themselves."""

    def source(self, database: Database, consumer: str, topics: Topics, lease_seconds: float) -> AbstractAsyncContextManager[Source]:
        """A member of the consumer."""

    def reading(self, database: Database, topics: Topics) -> AbstractAsyncContextManager[Reading]:
        """A look at these topics, as this service may read them."""

    async def waiting(self, database: Database, asked: Sequence[Stand]) -> Sequence[Waiting]:
        """What lies before each of these consumers of one service. Raises Gone."""

    def shares_out(self) -> bool:
        """Whether each member of a consumer gets some of the partitions, so that none of them sees alone that the end is reached."""
