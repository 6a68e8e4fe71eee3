"""Spaces, and what they and ministries hold."""

from uuid import UUID

from parvis_kit.db import Connection
from parvis_kit.problems import Forbidden, NotFound

from parvis_files.rules import Asker, Seen, Space
from parvis_files.rules.quotas import Limits, Quota
from parvis_files.rules.rights import Action, check_may
from parvis_files.store import access, spaces


async def space_for(conn: Connection, asker: Asker, space_id: UUID, need: Action = "see") -> Seen:
    """Its root, which what one may do with a space follows from. Raises NotFound, Forbidden."""
    found = await spaces.find_space(conn, space_id)
    seen = await access.see(conn, asker, found.root_id if found else space_id)
    if seen is None or seen.space.id != space_id:
        raise NotFound(f"There is no space {space_id}.")
    check_may(seen.actions, need, f"space {space_id}")
    return seen


async def spaces_for(conn: Connection, asker: Asker, after: UUID | None, limit: int) -> list[Space]:
    """One's own, and those that are shared with one as a whole."""
    return await spaces.spaces_of(conn, asker, after or UUID(int=0), limit)


async def personal_space_of(conn: Connection, asker: Asker) -> Space | None:
    """None before it is made."""
    return await spaces.find_personal(conn, asker.id)


def quota_of(space: Space, limits: Limits) -> Quota:
    limit = limits.of(space.kind) if space.quota_bytes is None else space.quota_bytes
    return Quota(space.used_bytes, space.reserved_bytes, limit)


async def ministry_quota_for(conn: Connection, asker: Asker, limits: Limits) -> Quota:
    """Of one's own ministry. Raises Forbidden."""
    if not asker.roles & {"ministry_administrator", "finance", "operator"}:
        raise Forbidden("Administrators of the ministry, finance and operators see what it holds.")
    return await spaces.quota_of_ministry(conn, asker.ministry_id, limits)
