"""The tables."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Moment, Tx, upsert
from parvis_roster import service_metadata

METADATA = service_metadata("files")
WELCOME = sa.Table("welcome", METADATA, sa.Column("agent_id", sa.Uuid, primary_key=True), sa.Column("prepared_at", Moment, nullable=False))


async def add(tx: Tx, agent_id: UUID, prepared_at: datetime) -> bool:
    row = upsert(tx, WELCOME).values(agent_id=agent_id, prepared_at=prepared_at)
    return (await tx.execute(row.on_conflict_do_nothing().returning(WELCOME.c.agent_id))).first() is not None


async def remove(tx: Tx, agent_id: UUID) -> bool:
    return bool((await tx.execute(sa.delete(WELCOME).where(WELCOME.c.agent_id == agent_id))).rowcount)


async def find(conn: Connection, agent_id: UUID) -> datetime | None:
    moment: datetime | None = (await conn.execute(sa.select(WELCOME.c.prepared_at).where(WELCOME.c.agent_id == agent_id))).scalar()
    return moment
