"""What agents were told or are to be told, what they have read, and what they want to hear."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Json, Moment, Serial, Tx, upsert
from parvis_roster import tables_of

from parvis_messaging.rules.notices import Names, Notice, PreferenceKind
from parvis_messaging.store import METADATA

_tables = tables_of("messaging")
_agent, _team, _team_member = _tables["agent"], _tables["team"], _tables["team_member"]
notice = sa.Table(
    "notice",
    METADATA,
    sa.Column("number", Serial, primary_key=True),
    sa.Column("id", sa.Uuid, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Uuid),
    sa.Column("agent_id", sa.Uuid),
    sa.Column("team_id", sa.Uuid),
    sa.Column("actor_id", sa.Uuid),
    sa.Column("details", Json, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Index("ix_notice_agent", "agent_id", "number"),
    sa.Index("ix_notice_team", "team_id", "number"),
    sa.Index("ix_notice_subject", "subject_id", "number"),
    sqlite_autoincrement=True,
)
notice_read = sa.Table(
    "notice_read",
    METADATA,
    sa.Column("agent_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
)
reader = sa.Table(
    "reader",
    METADATA,
    sa.Column("agent_id", sa.Uuid, primary_key=True),
    sa.Column("read_until", sa.BigInteger, nullable=False),
)
"""Up to which notice somebody has read everything."""
preference = sa.Table(
    "preference",
    METADATA,
    sa.Column("agent_id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("matrix", sa.Boolean, nullable=False),
    sa.Column("portal", sa.Boolean, nullable=False),
)
NOTICE = tuple(notice.c[name] for name in Notice.__slots__)


async def add_notice(tx: Tx, one: Notice) -> bool:
    """False when it is there already."""
    values = {name: getattr(one, name) for name in Notice.__slots__}
    return (await tx.execute(upsert(tx, notice).values(**values).on_conflict_do_nothing(index_elements=["id"]))).rowcount == 1


async def find_notice(conn: Connection, notice_id: UUID) -> Notice | None:
    row = (await conn.execute(sa.select(*NOTICE).where(notice.c.id == notice_id))).one_or_none()
    return Notice(*row) if row is not None else None


async def last_about(conn: Connection, subject_id: UUID, kinds: Collection[str], agent_id: UUID | None = None) -> Notice | None:
    """The newest one of these kinds about this, to this agent or to anybody."""
    wanted = sa.select(*NOTICE).where(notice.c.subject_id == subject_id, notice.c.kind.in_(list(kinds)))
    if agent_id is not None:
        wanted = wanted.where(notice.c.agent_id == agent_id)
    row = (await conn.execute(wanted.order_by(notice.c.number.desc()).limit(1))).one_or_none()
    return Notice(*row) if row is not None else None


def _told_to(agent_id: UUID, hidden: Collection[str]) -> sa.Select[int]:
    """The numbers of what an agent sees: told to them or to a team of theirs."""
    teams = sa.select(_team_member.c.team_id).where(_team_member.c.agent_id == agent_id)
    mine = sa.select(notice.c.number).where(sa.or_(notice.c.agent_id == agent_id, notice.c.team_id.in_(teams)))
    mine = mine.where(sa.or_(notice.c.actor_id.is_(None), notice.c.actor_id != agent_id, notice.c.team_id.is_(None)))
    return mine.where(notice.c.kind.not_in(list(hidden))) if hidden else mine


async def told(
    conn: Connection, agent_id: UUID, hidden: Collection[str], after: int | None, limit: int, *, unread: bool
) -> list[tuple[int, bool, Notice]]:
    """Number, whether it was read, the notice; the newest first."""
    read = sa.or_(notice_read.c.number.is_not(None), notice.c.number <= sa.func.coalesce(reader.c.read_until, 0))
    wanted = (
        sa.select(notice.c.number, read, *NOTICE)
        .outerjoin(notice_read, sa.and_(notice_read.c.number == notice.c.number, notice_read.c.agent_id == agent_id))
        .outerjoin(reader, reader.c.agent_id == agent_id)
        .where(notice.c.number.in_(_told_to(agent_id, hidden)))
    )
    if after is not None:
        wanted = wanted.where(notice.c.number < after)
    if unread:
        wanted = wanted.where(sa.not_(read))
    rows = await conn.execute(wanted.order_by(notice.c.number.desc()).limit(limit))
    return [(row[0], bool(row[1]), Notice(*row[2:])) for row in rows]


async def mark_read(tx: Tx, agent_id: UUID, notice_ids: Collection[UUID]) -> None:
    """Those among them that are told to this agent."""
    mine = _told_to(agent_id, ()).where(notice.c.id.in_(list(notice_ids)))
    rows = [{"agent_id": agent_id, "number": row[0]} for row in await tx.execute(mine)]
    if rows:
        await tx.execute(upsert(tx, notice_read).on_conflict_do_nothing(), rows)


async def mark_all_read(tx: Tx, agent_id: UUID) -> None:
    """All that there are now."""
    last = (await tx.execute(sa.select(sa.func.coalesce(sa.func.max(notice.c.number), 0)))).scalar_one()
    put = upsert(tx, reader).values(agent_id=agent_id, read_until=last)
    await tx.execute(put.on_conflict_do_update(index_elements=["agent_id"], set_={"read_until": last}))
    await tx.execute(sa.delete(notice_read).where(notice_read.c.agent_id == agent_id, notice_read.c.number <= last))


async def preferences_of(conn: Connection, agent_id: UUID) -> dict[str, tuple[bool, bool]]:
    """Kind → whether by Matrix, whether on the portal; what was never chosen is not there."""
    columns = preference.c
    rows = await conn.execute(sa.select(columns.kind, columns.matrix, columns.portal).where(columns.agent_id == agent_id))
    return {row[0]: (row[1], row[2]) for row in rows}


async def put_preferences(tx: Tx, agent_id: UUID, chosen: Mapping[PreferenceKind, tuple[bool, bool]]) -> None:
    put = upsert(tx, preference)
    changed = {"matrix": put.excluded.matrix, "portal": put.excluded.portal}
    rows = [{"agent_id": agent_id, "kind": kind, "matrix": matrix, "portal": portal} for kind, (matrix, portal) in chosen.items()]
    await tx.execute(put.on_conflict_do_update(index_elements=["agent_id", "kind"], set_=changed), rows)


async def language_of(conn: Connection, agent_id: UUID | None, team_id: UUID | None = None) -> str:
    """The agent's own; of a team's members the one that they all read, or else French."""
    team = sa.select(_team_member.c.agent_id).where(_team_member.c.team_id == team_id)
    readers = _agent.c.id == agent_id if agent_id is not None else _agent.c.id.in_(team)
    found = (await conn.execute(sa.select(_agent.c.language).where(readers).distinct().limit(2))).scalars().all()
    return found[0] if len(found) == 1 else "fr"


async def names_in(conn: Connection, found: Collection[Notice]) -> dict[UUID, Names]:
    """Notice → who is who in it, as the copy of the directory knows them now."""
    people = {one for each in found for one in (each.actor_id, each.agent_id) if one is not None}
    teams = {each.team_id for each in found if each.team_id is not None}
    agents: dict[UUID | None, tuple[str, str]] = {}
    if people:
        rows = await conn.execute(sa.select(_agent.c.id, _agent.c.given_name, _agent.c.family_name).where(_agent.c.id.in_(people)))
        agents = {row[0]: (row[1], row[2]) for row in rows}
    named: dict[UUID | None, str] = {}
    if teams:
        named = {row[0]: row[1] for row in await conn.execute(sa.select(_team.c.id, _team.c.name).where(_team.c.id.in_(teams)))}
    return {
        each.id: Names(" ".join(agents.get(each.actor_id, ())).strip(), named.get(each.team_id, ""), agents.get(each.agent_id, ("", ""))[0])
        for each in found
    }


async def forget_notices(tx: Tx, before: datetime) -> None:
    old = sa.select(notice.c.number).where(notice.c.at < before)
    await tx.execute(sa.delete(notice_read).where(notice_read.c.number.in_(old)))
    await tx.execute(sa.delete(notice).where(notice.c.at < before))


async def forget_agent(tx: Tx, agent_id: UUID) -> None:
    """All that was told to somebody whom directory has erased."""
    for table in (notice, notice_read, reader, preference):
        await tx.execute(sa.delete(table).where(table.c.agent_id == agent_id))
