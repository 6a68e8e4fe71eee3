"""When something was computed, and when somebody last handed something in, for the gauges."""

from datetime import datetime

import sqlalchemy as sa
from parvis_kit.db import Connection

from parvis_billing.store import IMPORTED_FILE, PERIOD


async def last_run(conn: Connection) -> datetime | None:
    found: datetime | None = (await conn.execute(sa.select(sa.func.max(PERIOD.c.ran_at)))).scalar_one()
    return found


async def last_imports(conn: Connection) -> dict[str, datetime]:
    """By the kind of file."""
    found = sa.select(IMPORTED_FILE.c.kind, sa.func.max(IMPORTED_FILE.c.at)).group_by(IMPORTED_FILE.c.kind)
    return {row[0]: row[1] for row in await conn.execute(found)}
