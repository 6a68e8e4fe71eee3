"""How old what is remembered is, and how far ahead is written down, for the gauges."""

from datetime import datetime

import sqlalchemy as sa
from parvis_kit.db import Connection

from parvis_calendar.store import object_, tombstone


async def oldest_tombstone(conn: Connection) -> datetime | None:
    """By its index."""
    found: datetime | None = (await conn.execute(sa.select(sa.func.min(tombstone.c.at)))).scalar_one()
    return found


async def nearest_horizon(conn: Connection) -> int | None:
    """In seconds since 1970, by its index; None where nothing recurs without end."""
    nearest = sa.select(sa.func.min(object_.c.expanded_until)).where(object_.c.expanded_until.is_not(None))
    found: int | None = (await conn.execute(nearest)).scalar_one()
    return found
