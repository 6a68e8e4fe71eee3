"""What is told to whoever is on call."""

from parvis_kit.db import Connection

from parvis_files.rules.quotas import Limits, Quota
from parvis_files.store import figures


async def quotas_of_ministries(conn: Connection, limits: Limits) -> dict[str, Quota]:
    found = await figures.held_by_ministries(conn)
    return {
        one.ministry: Quota(one.used_bytes, one.reserved_bytes, limits.ministry_bytes if one.quota_bytes is None else one.quota_bytes)
        for one in found
    }
