"""What ministries hold, for the gauges."""

from dataclasses import dataclass

import sqlalchemy as sa
from parvis_kit.db import Connection
from parvis_roster import tables_of

from parvis_files.store import ministry_quota

MINISTRY = tables_of("files")["ministry"]


@dataclass(frozen=True, slots=True)
class Held:
    """By one ministry; `quota_bytes`: its own, where it has one."""

    ministry: str
    """Its SIREN, or its id where the copy of the directory does not know it yet."""
    quota_bytes: int | None
    used_bytes: int
    reserved_bytes: int


async def held_by_ministries(conn: Connection) -> list[Held]:
    """Some twenty rows, whatever they hold."""
    quota = ministry_quota.c
    columns = (MINISTRY.c.siren, quota.ministry_id, quota.quota_bytes, quota.used_bytes, quota.reserved_bytes)
    found = sa.select(*columns).join_from(ministry_quota, MINISTRY, MINISTRY.c.id == quota.ministry_id, isouter=True)
    return [Held(row[0] or str(row[1]), *row[2:]) for row in await conn.execute(found)]
