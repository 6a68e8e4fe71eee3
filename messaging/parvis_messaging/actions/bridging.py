"""What the bridge's verbs share: the homeserver that they speak to, who is woken, and when there is too much to do."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from parvis_kit.clock import Clock
from parvis_kit.context import CAUSE
from parvis_kit.db import Connection, Tx
from parvis_kit.events import Fact, Retry

from parvis_messaging.homeserver.port import Homeserver
from parvis_messaging.store import deliveries
from parvis_messaging.store.deliveries import Act

DEPTH_MAX = 5_000
"""Of deliveries not yet done; beyond it, facts wait in the log, where there is room for them."""
AGE_MAX = timedelta(seconds=60)
"""Of the oldest delivery that waits for nothing but its turn."""
LOOK = timedelta(seconds=1)
"""How often that is looked at."""
NAMESPACE = UUID("6f1d4d0c-6b58-5a0c-9d0e-7a1f4b0c2e11")
"""Of the ids of notices: made from the fact that they tell, so that a fact that comes again tells nothing again."""


@dataclass(slots=True)
class Bridge:
    """Between the suite and a homeserver."""

    server: Homeserver
    public_url: str
    clock: Clock
    due: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is something to deliver."""
    is_full: bool = False
    looked_at: datetime | None = None

    async def check_room(self, conn: Connection) -> None:
        """Raises Retry while too much waits to be delivered: the consumer then reads no further.

        By the clock, never by the time of a fact: after an hour away, what one batch puts here would seem an hour late to the next fact
        of the same batch, which would then wait for itself.
        """
        now = self.clock()
        if self.looked_at is None or not timedelta() <= now - self.looked_at < LOOK:
            self.looked_at, oldest = now, await deliveries.oldest(conn)
            is_late = oldest is not None and now - oldest > AGE_MAX
            self.is_full = is_late or await deliveries.depth(conn, DEPTH_MAX) >= DEPTH_MAX
        if self.is_full:
            raise Retry("the homeserver does not keep up: facts wait in the log")


async def enqueue(tx: Tx, bridge: Bridge, lane: str, act: Act, notice_id: UUID | None = None) -> None:
    """To be done on the homeserver, after what was said of this room before."""
    await deliveries.enqueue(tx, lane, act, bridge.clock(), notice_id)
    tx.after_commit.append(bridge.due.set)


def id_of(fact: Fact, part: str) -> UUID:
    """Of the notice that tells this fact: by the fact's own id, which is the same however often it comes."""
    told = CAUSE.get().fact_id or f"{fact.type} {fact.model_dump_json()}"
    return uuid5(NAMESPACE, f"{told} {part}")
