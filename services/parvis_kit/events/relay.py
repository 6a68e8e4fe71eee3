"""How facts go from the outbox to the log: one leader, oldest first, nothing deleted before it is in the log."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Protocol

from parvis_kit.events.ports import Gone, Outbox, Producer, Row
from parvis_kit.failpoints import reach

RELAY_BATCH_MAX = 500
"""Facts of about 300 bytes: 150 kB, far under a broker's default 1 MiB request; larger claims were slower."""
FIRST_BATCH_MAX = 8
"""What a new leader claims first, then twice as much each time: one that dies again and again sends little twice."""
STANDBY_SECONDS = 0.5
SEND_SECONDS_MAX = 1.5
"""From the claim to the last acknowledgement: below the lease, so that a slow broker costs no leadership, and a process that was
frozen meanwhile sends nothing that another one has sent already."""
BACKOFF_SECONDS = 0.3
POLL_SECONDS = 0.1


class Carrier(Protocol):
    """One try at leading: a connection, and what it takes to move facts."""

    async def lead(self) -> bool:
        """Whether this process is the one that carries now."""

    async def carry(self) -> int:
        """Move what waits, up to a batch; how many facts it was. Raises Gone when leadership is lost."""


Nap = Callable[[], Awaitable[None]]
"""Waits until there may be something to carry."""


async def poll() -> None:
    await asyncio.sleep(POLL_SECONDS)


async def relay(open_carrier: Callable[[], AbstractAsyncContextManager[Carrier]], nap: Nap = poll) -> None:
    """Lead, or stand by; after any failure start anew, with a new connection and a new producer. Runs until cancelled."""
    while True:
        try:
            async with open_carrier() as carrier:
                while not await carrier.lead():  # noqa: ASYNC110 (another process decides)
                    await asyncio.sleep(STANDBY_SECONDS)
                while True:
                    if not await carrier.carry():
                        await nap()
        except (Gone, TimeoutError):
            await asyncio.sleep(BACKOFF_SECONDS)


class BrokerCarrier:
    """To a log outside the database: claim, send, and delete what is acknowledged."""

    def __init__(self, outbox: Outbox, producer: Producer, batch_max: int = RELAY_BATCH_MAX, send_seconds_max: float | None = None) -> None:
        self.outbox, self.producer, self.batch_max = outbox, producer, batch_max
        self.claim_max = min(FIRST_BATCH_MAX, batch_max)
        self.send_seconds_max = SEND_SECONDS_MAX if send_seconds_max is None else send_seconds_max

    async def lead(self) -> bool:
        return await self.outbox.lead()

    async def carry(self) -> int:
        """Partitions fail apart, a partition's facts together."""
        await reach("relay.before_claim")
        until = asyncio.get_running_loop().time() + self.send_seconds_max
        rows = await self.outbox.claim(self.claim_max)
        failures = []
        for part, sent in await self.send_all(rows, until):
            if isinstance(sent, Exception):
                failures.append(sent)
            else:
                await reach("relay.after_ack")
                await self.outbox.delete([row.id for row in part[:sent]])
        if failures:
            raise failures[0]
        self.claim_max = min(2 * self.claim_max, self.batch_max)
        await reach("relay.after_delete")
        return len(rows)

    async def send_all(self, rows: Sequence[Row], until: float) -> list[tuple[list[Row], int | Exception]]:
        """Each partition's rows, and how many of them were acknowledged, or why none was."""
        ordered = sorted(rows, key=lambda row: (row.partition, row.id))
        parts = [list(group) for _, group in groupby(ordered, key=lambda row: row.partition)]
        return list(zip(parts, await asyncio.gather(*(self.send(part, until) for part in parts)), strict=True))

    async def send(self, rows: Sequence[Row], until: float) -> int | Exception:
        if asyncio.get_running_loop().time() >= until:  # or the frozen one would write before its timer is looked at
            return TimeoutError("the claim is too old to be sent")
        try:
            async with asyncio.timeout_at(until):
                return await self.producer.send(rows[0].partition, [row.fact for row in rows])
        except (Gone, TimeoutError) as failure:
            return failure
