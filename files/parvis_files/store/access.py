"""What an agent may do with an item, in one statement: it climbs from the item to its space and gathers the shares that reach it.

A folder that is restricted lets nothing through from above. Shares count while who holds them is of the space's ministry: an agent by
their own, a team by its, whoever its members are.
"""

from collections.abc import Collection, Sequence
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection
from parvis_roster.asking import REFUSED_STATES
from parvis_roster.tables import tables_of

from parvis_files.rules import Asker, Item, Seen, Space
from parvis_files.rules.rights import MANAGER, NOT_INHERITED, ROLES, Action, actions_of
from parvis_files.store import item, share, space

ITEM = tuple(item.c[name] for name in Item.__slots__)
SPACE = tuple(space.c[name] for name in Space.__slots__)
_AGENT, _MINISTRY = sa.bindparam("agent", type_=sa.Uuid), sa.bindparam("ministry", type_=sa.Uuid)
_roster = tables_of("files")
_team, _member, _agents = _roster["team"], _roster["team_member"], _roster["agent"]
AT_WORK = sa.select(_agents.c.ministry_id, _agents.c.state).where(_agents.c.id == _AGENT)


def held(of: Any, ministry_id: Any) -> sa.ColumnElement[bool]:
    """Whether a share is the asker's, and counts."""
    teams = sa.select(_team.c.id).join_from(_member, _team, _team.c.id == _member.c.team_id)
    teams = teams.where(_member.c.agent_id == _AGENT, _team.c.ministry_id == ministry_id)
    by_agent = sa.and_(of.c.grantee_kind == "agent", of.c.grantee_id == _AGENT, ministry_id == _MINISTRY)
    return sa.or_(by_agent, sa.and_(of.c.grantee_kind == "team", of.c.grantee_id.in_(teams)))


def _climb(which: sa.ColumnElement[bool]) -> sa.CTE:
    """From each item to the root: what lies above it, and whether what is shared there reaches it, and the folder that it lies in."""
    start = sa.select(
        item.c.id.label("origin"), item.c.id, item.c.parent_id, item.c.space_id, item.c.restricted, item.c.trashed_at, item.c.purging,
        sa.true().label("reaches"), sa.false().label("reaches_parent"), sa.literal(0).label("depth"),
    ).where(which)  # fmt: skip
    up = start.cte("up", recursive=True)
    above = item.alias("above")
    return up.union_all(
        sa.select(
            up.c.origin, above.c.id, above.c.parent_id, above.c.space_id, above.c.restricted, above.c.trashed_at, above.c.purging,
            sa.and_(up.c.reaches, sa.not_(up.c.restricted)),
            sa.or_(up.c.depth == 0, sa.and_(up.c.reaches_parent, sa.not_(up.c.restricted))), up.c.depth + 1,
        ).join_from(up, above, above.c.id == up.c.parent_id)
    )  # fmt: skip


def _flags(up: sa.CTE, owning: sa.FromClause) -> tuple[list[sa.Label[Any]], sa.FromClause]:
    """A column for each role, and where they are read."""
    counts = sa.and_(share.c.item_id == up.c.id, sa.or_(up.c.reaches, up.c.reaches_parent), held(share, owning.c.ministry_id))
    counts = sa.and_(counts, sa.or_(share.c.role != NOT_INHERITED, up.c.depth == 0))
    places = up.join(owning, owning.c.id == up.c.space_id).outerjoin(share, counts)
    roles = [sa.func.max(sa.case((sa.and_(up.c.reaches, share.c.role == role), 1), else_=0)).label(f"is_{role}") for role in ROLES]
    sees_parent = sa.func.max(sa.case((sa.and_(up.c.reaches_parent, share.c.id.is_not(None)), 1), else_=0)).label("sees_parent")
    trash = sa.func.max(sa.case((up.c.trashed_at.is_not(None), 1), else_=0)).label("in_trash")
    going = sa.func.max(sa.case((up.c.purging, 1), else_=0)).label("is_going")
    return [*roles, going, trash, sees_parent, sa.func.max(up.c.depth).label("depth")], places


def _one() -> sa.Select[Any]:
    up = _climb(item.c.id == sa.bindparam("one", type_=sa.Uuid))
    flags, places = _flags(up, space.alias("owning"))
    found = sa.select(*flags).select_from(places).subquery("found")
    return (
        sa.select(*found.c, *ITEM, *SPACE)
        .select_from(found.join(item, item.c.id == sa.bindparam("one", type_=sa.Uuid)))
        .join(space, space.c.id == item.c.space_id)
    )


def _many() -> sa.Select[Any]:
    up = _climb(item.c.id.in_(sa.bindparam("some", expanding=True, type_=sa.Uuid)))
    owning = space.alias("owning")
    flags, places = _flags(up, owning)
    return sa.select(*flags, up.c.origin, owning.c.owner_id).select_from(places).group_by(up.c.origin, owning.c.owner_id)


def _walls(need: Action, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Restricted folders below one where the asker may not: what is shared above does not reach them, so their own shares say it all."""
    start = sa.select(item.c.id, sa.false().label("restricted")).where(item.c.id == sa.bindparam("one", type_=sa.Uuid))
    down = start.cte("down", recursive=True)
    below = sa.select(item.c.id, item.c.restricted).join_from(down, item, item.c.parent_id == down.c.id)
    down = down.union_all(below.where(sa.not_(item.c.is_file), which))
    may = [role for role, actions in ROLES.items() if need in actions]
    shared = sa.exists().where(share.c.item_id == down.c.id, share.c.role.in_(may), held(share, sa.bindparam("of_ministry", type_=sa.Uuid)))
    return sa.select(down.c.id).where(down.c.restricted, sa.not_(shared)).limit(1)


ONE, MANY = _one(), _many()
WALLS: dict[Action, sa.Select[Any]] = {"trash": _walls("trash", item.c.trashed_at.is_(None)), "purge": _walls("purge", sa.true())}
"""Into the trash goes what is not there yet; for good goes everything."""
FLAGS = len(ROLES)


def _of(asker: Asker) -> dict[str, Any]:
    return {"agent": asker.id, "ministry": asker.ministry_id}


async def at_work(conn: Connection, agent_id: UUID, said_ministry_id: UUID) -> Asker | None:
    """An agent as the copy of the directory knows them now; None for who may not sign in.

    One who is too new for the copy is of the ministry that their token said, as at the door.
    """
    row = (await conn.execute(AT_WORK, {"agent": agent_id})).one_or_none()
    if row is None:
        return Asker(agent_id, said_ministry_id)
    return None if row.state in REFUSED_STATES else Asker(agent_id, row.ministry_id)


async def see(conn: Connection, asker: Asker, item_id: UUID) -> Seen | None:
    """An item and what the asker may do with it, perhaps nothing; None when there is none, or it is being purged."""
    row = (await conn.execute(ONE, {"one": item_id, **_of(asker)})).one_or_none()
    if row is None or row[FLAGS]:
        return None
    in_trash, sees_parent, depth, *columns = row[FLAGS + 1 :]
    found, owning = Item(*columns[: len(ITEM)]), Space(*columns[len(ITEM) :])
    owns = owning.owner_id == asker.id
    return Seen(found, owning, bool(in_trash), depth, _allowed(row, owns), depth > 0 and (owns or bool(sees_parent)))


async def holds_walls(conn: Connection, asker: Asker, seen: Seen, need: Literal["trash", "purge"]) -> bool:
    """Whether something in a folder is closed to the asker, so that what is done to the folder would be done to it too."""
    if seen.item.is_file or seen.space.owner_id == asker.id:
        return False
    asked = {"one": seen.item.id, "of_ministry": seen.space.ministry_id, **_of(asker)}
    return (await conn.execute(WALLS[need], asked)).one_or_none() is not None


async def visible(
    conn: Connection, asker: Asker, item_ids: Collection[UUID], *, in_trash: bool | None, need: Action | None = "see"
) -> dict[UUID, frozenset[Action]]:
    """Those of the items that the asker may see, and what else. `in_trash`: None for either; `need`: None for whatever they may do."""
    found: dict[UUID, frozenset[Action]] = {}
    if not item_ids:
        return found
    for row in await conn.execute(MANY, {"some": list(item_ids), **_of(asker)}):
        is_going, trashed, _, _, origin, owner_id = row[FLAGS:]
        allowed = _allowed(row, owner_id == asker.id)
        if (need in allowed if need else allowed) and not is_going and in_trash in (None, bool(trashed)):
            found[origin] = allowed
    return found


def _allowed(row: Sequence[Any], owns: bool) -> frozenset[Action]:
    return MANAGER if owns else actions_of(role for role, has in zip(ROLES, row, strict=False) if has)
