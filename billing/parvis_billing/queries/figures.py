"""What is told to whoever is on call."""

from collections.abc import Mapping
from datetime import datetime

from parvis_kit.db import Connection

from parvis_billing.store import figures


async def freshness(conn: Connection) -> tuple[datetime | None, Mapping[str, datetime]]:
    """When a month was last computed, and when each kind of file was last handed in."""
    return await figures.last_run(conn), await figures.last_imports(conn)
