"""What is told to whoever is on call."""

from datetime import datetime

from parvis_kit.db import Connection

from parvis_calendar.rules.windows import epoch, horizon
from parvis_calendar.store import figures


async def sync_token_age_seconds(conn: Connection, now: datetime) -> float:
    """Since when every deletion is remembered."""
    oldest = await figures.oldest_tombstone(conn)
    return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


async def horizon_seconds(conn: Connection, now: datetime) -> float:
    """How far ahead of now all instances are written down."""
    nearest = await figures.nearest_horizon(conn)
    return float((horizon(now)[1] if nearest is None else nearest) - epoch(now))
