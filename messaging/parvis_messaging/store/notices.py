"""What agents were told or are to be told, what they have read, and what they want to hear."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Json, Moment, Serial, Tx, upsert_by
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
BY_ID = sa.select(*NOTICE).where(notice.c.id == sa.bindparam("notice_id"))


async def add_notice(tx: Tx, one: Notice) -> bool:
    """False when it is there already."""
    values = {name: getattr(one, name) for name in Notice.__slots__}
    return (await tx.execute(upsert_by(tx, notice, ("id",)), values)).rowcount == 1


async def find_notice(conn: Connection, notice_id: UUID) -> Notice | None:
    row = (await conn.execute(BY_ID, {"notice_id": notice_id})).one_or_none()
    return Notice(*row) if row is not None else None


async def last_about(conn: Connection, subject_id: UUID, kinds: Collection[str], agent_id: UUID | None = None) -> Notice | None:
    """The newest one of these kinds about this, to this agent or to anybody."""
    wanted = sa.select(*NOTICE).where(notice.c.subject_id == subject_id, notice.c.kind.in_(list(kinds)))
    if agent_id is not None:
        wanted = wanted.where(notice.c.agent_id == agent_id)
    row = (await conn.execute(wanted.order_by(notice.c.number.desc()).limit(1))).one_or_none()
    return Notice(*row) if row is not None else None


_me: sa.BindParameter[UUID] = sa.bindparam("me")
_teams = sa.select(_team_member.c.team_id).where(_team_member.c.agent_id == _me)
TOLD_TO = sa.select(notice.c.number).where(
    sa.or_(notice.c.agent_id == _me, notice.c.team_id.in_(_teams)),
    sa.or_(notice.c.actor_id.is_(None), notice.c.actor_id != _me, notice.c.team_id.is_(None)),
)
"""The numbers of what an agent sees: told to them or to a team of theirs."""


@cache
def _told(*, after: bool, unread: bool, hidden: bool) -> sa.Select[Any]:
    mine = TOLD_TO.where(notice.c.kind.not_in(sa.bindparam("hidden", expanding=True))) if hidden else TOLD_TO
    read = sa.or_(notice_read.c.number.is_not(None), notice.c.number <= sa.func.coalesce(reader.c.read_until, 0))
    wanted = (
        sa.select(notice.c.number, read, *NOTICE)
        .outerjoin(notice_read, sa.and_(notice_read.c.number == notice.c.number, notice_read.c.agent_id == _me))
        .outerjoin(reader, reader.c.agent_id == _me)
        .where(notice.c.number.in_(mine))
    )
    if after:
        wanted = wanted.where(notice.c.number < sa.bindparam("after"))
    if unread:
        wanted = wanted.where(sa.not_(read))
    return wanted.order_by(notice.c.number.desc()).limit(sa.bindparam("most"))


async def told(
    conn: Connection, agent_id: UUID, hidden: Collection[str], after: int | None, limit: int, *, unread: bool
) -> list[tuple[int, bool, Notice]]:
    """Number, whether it was read, the notice; the newest first."""
    asked: dict[str, Any] = {"me": agent_id, "most": limit}
    if hidden:
        asked["hidden"] = list(hidden)
    if after is not None:
        asked["after"] = after
    rows = await conn.execute(_told(after=after is not None, unread=unread, hidden=bool(hidden)), asked)
    return [(row[0], bool(row[1]), Notice(*row[2:])) for row in rows]


async def mark_read(tx: Tx, agent_id: UUID, notice_ids: Collection[UUID]) -> None:
    """Those among them that are told to this agent."""
    mine = TOLD_TO.where(notice.c.id.in_(list(notice_ids)))
    rows = [{"agent_id": agent_id, "number": row[0]} for row in await tx.execute(mine, {"me": agent_id})]
    if rows:
        await tx.execute(upsert_by(tx, notice_read, ("agent_id", "number")), rows)


async def mark_all_read(tx: Tx, agent_id: UUID) -> None:
    """All that there are now."""
    last = (await tx.execute(sa.select(sa.func.coalesce(sa.func.max(notice.c.number), 0)))).scalar_one()
    await tx.execute(upsert_by(tx, reader, ("agent_id",), ("read_until",)), {"agent_id": agent_id, "read_until": last})
    await tx.execute(sa.delete(notice_read).where(notice_read.c.agent_id == agent_id, notice_read.c.number <= last))


_chosen = preference.c.kind, preference.c.matrix, preference.c.portal
PREFERENCES = sa.select(*_chosen).where(preference.c.agent_id == _me)
READER = sa.select(_agent.c.language, *_chosen).outerjoin(preference, preference.c.agent_id == _agent.c.id).where(_agent.c.id == _me)


async def preferences_of(conn: Connection, agent_id: UUID) -> dict[str, tuple[bool, bool]]:
    """Kind → whether by Matrix, whether on the portal; what was never chosen is not there."""
    return {row[0]: (row[1], row[2]) for row in await conn.execute(PREFERENCES, {"me": agent_id})}


async def reader_of(conn: Connection, agent_id: UUID) -> tuple[str, dict[str, tuple[bool, bool]]]:
    """The agent's language and preferences, as `language_of` and `preferences_of` tell them, by one question."""
    rows = (await conn.execute(READER, {"me": agent_id})).all()
    return rows[0][0] if rows else "fr", {row[1]: (row[2], row[3]) for row in rows if row[1] is not None}


async def put_preferences(tx: Tx, agent_id: UUID, chosen: Mapping[PreferenceKind, tuple[bool, bool]]) -> None:
    rows = [{"agent_id": agent_id, "kind": kind, "matrix": matrix, "portal": portal} for kind, (matrix, portal) in chosen.items()]
    await tx.execute(upsert_by(tx, preference, ("agent_id", "kind"), ("matrix", "portal")), rows)


LANGUAGE = sa.select(_agent.c.language).where(_agent.c.id == _me)
_members = sa.select(_team_member.c.agent_id).where(_team_member.c.team_id == sa.bindparam("team_id"))
LANGUAGES = sa.select(_agent.c.language).where(_agent.c.id.in_(_members)).distinct().limit(2)


async def language_of(conn: Connection, agent_id: UUID | None, team_id: UUID | None = None) -> str:
    """The agent's own; of a team's members the one that they all read, or else French."""
    read = conn.execute(LANGUAGE, {"me": agent_id}) if agent_id is not None else conn.execute(LANGUAGES, {"team_id": team_id})
    found = (await read).scalars().all()
    return found[0] if len(found) == 1 else "fr"


_ids: sa.BindParameter[UUID] = sa.bindparam("ids", expanding=True)
AGENTS = sa.select(_agent.c.id, _agent.c.given_name, _agent.c.family_name).where(_agent.c.id.in_(_ids))
TEAMS = sa.select(_team.c.id, _team.c.name).where(_team.c.id.in_(_ids))


async def names_in(conn: Connection, found: Collection[Notice]) -> dict[UUID, Names]:
    """Notice → who is who in it, as the copy of the directory knows them now."""
    people = {one for each in found for one in (each.actor_id, each.agent_id) if one is not None}
    teams = {each.team_id for each in found if each.team_id is not None}
    agents: dict[UUID | None, tuple[str, str]] = {}
    if people:
        agents = {row[0]: (row[1], row[2]) for row in await conn.execute(AGENTS, {"ids": list(people)})}
    named: dict[UUID | None, str] = {}
    if teams:
        named = {row[0]: row[1] for row in await conn.execute(TEAMS, {"ids": list(teams)})}
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
