"""What changes something: one transaction, what is written and what is said."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.billing import LeaverSettled, WelcomePrepared
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_billing import store


async def prepare_welcome(tx: Tx, agent_id: UUID, *, now: datetime) -> None:
    if await store.add(tx, agent_id, now):
        publish(tx, WelcomePrepared(at=now, about=str(agent_id), agent_id=agent_id))


async def settle_leaver(tx: Tx, agent_id: UUID, left_at: datetime, *, now: datetime) -> None:
    done = ("welcome removed",) if await store.remove(tx, agent_id) else ()
    publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=left_at, done=done))
