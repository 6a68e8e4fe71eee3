"""What changes something: one transaction, what is written and what is said."""

from datetime import datetime
from uuid import UUID

from parvis_contracts.messaging import LeaverSettled
from parvis_kit.db import Tx
from parvis_kit.events import publish


async def settle_leaver(tx: Tx, agent_id: UUID, left_at: datetime, *, now: datetime) -> None:
    publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=left_at))
