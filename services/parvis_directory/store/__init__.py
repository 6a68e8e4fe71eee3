"""Directory's tables, and the SQL that reads and writes them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.audit import audit_tables
from parvis_kit.db import Connection, Json, Moment, Tx, metadata_for
from parvis_kit.db.driven import Question
from parvis_kit.db.text import BinaryText
from parvis_kit.events import log_tables
from parvis_kit.idempotency import idempotency_table
from parvis_roster import Questions

from parvis_directory.rules import Directorate, KeptAppPassword, Ministry, Person, Session, Team

METADATA = metadata_for("directory")
log_tables(METADATA)
audit_tables(METADATA)
idempotency_table(METADATA)
ministry = sa.Table(
    "ministry",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("siren", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("app_passwords", sa.Boolean, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("closed_at", Moment),
    sa.Column("succeeded_by", sa.Uuid),
)
directorate = sa.Table(
    "directorate",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("ministry_id", sa.ForeignKey(ministry.c.id), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("siret", sa.Text),
    sa.Column("succeeded_by", sa.Uuid),
    sa.UniqueConstraint("ministry_id", "id", name="uq_directorate_of_ministry"),
    sa.UniqueConstraint("ministry_id", "name"),
)
agent = sa.Table(
    "agent",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("ministry_id", sa.ForeignKey(ministry.c.id), nullable=False),
    sa.Column("directorate_id", sa.Uuid),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("email", BinaryText, nullable=False, unique=True),
    sa.Column("given_name", sa.Text, nullable=False),
    sa.Column("family_name", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("roles", Json, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("external_id", sa.Text),
    sa.Column("password", sa.Text),
    sa.ForeignKeyConstraint(
        ["ministry_id", "directorate_id"], ["directory.directorate.ministry_id", "directory.directorate.id"], name="fk_agent_directorate"
    ),
    sa.Index("ix_agent_ministry_id", "ministry_id", "id"),
    sa.Index("uq_agent_external_id", "ministry_id", "external_id", unique=True),
)
agent_word = sa.Table(
    "agent_word",
    METADATA,
    sa.Column("ministry_id", sa.Uuid, primary_key=True),
    sa.Column("word", BinaryText, primary_key=True),
    sa.Column("agent_id", sa.ForeignKey(agent.c.id), primary_key=True, index=True),
)
"""What agents are found by: the words of their names, folded. The ministry's own stand together."""
team = sa.Table(
    "team",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("ministry_id", sa.ForeignKey(ministry.c.id), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Index("ix_team_ministry_id", "ministry_id", "id"),
)
team_member = sa.Table(
    "team_member",
    METADATA,
    sa.Column("team_id", sa.ForeignKey(team.c.id), primary_key=True),
    sa.Column("agent_id", sa.ForeignKey(agent.c.id), primary_key=True, index=True),
)
session = sa.Table(
    "session",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("agent_id", sa.ForeignKey(agent.c.id), nullable=False, index=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("used_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False, index=True),
    sa.Column("revoked_at", Moment),
)
app_password = sa.Table(
    "app_password",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("agent_id", sa.ForeignKey(agent.c.id), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("prefix", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("scopes", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("revoked_at", Moment),
)
onboarding = sa.Table(
    "onboarding",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("ministry_id", sa.ForeignKey(ministry.c.id), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("created_by", sa.Uuid, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("confirmed_by", sa.Uuid),
    sa.Column("confirmed_at", Moment),
    sa.Column("finished_at", Moment),
    sa.Column("encoding", sa.Text, nullable=False),
    sa.Column("separator", sa.Text, nullable=False),
    sa.Column("titles", Json, nullable=False),
    sa.Column("ignored_columns", Json, nullable=False),
    sa.Column("new_directorates", Json, nullable=False),
    sa.Column("people", sa.Integer, nullable=False),
    sa.Column("previous_people", sa.Integer),
    sa.Column("active_agents", sa.Integer, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("done_steps", sa.Integer, nullable=False),
    sa.Column("plan", Json, nullable=False),
    sa.Column("done", Json, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_until", Moment),
    sa.Column("failures", sa.Integer),
    sa.Column("failed_why", sa.Text),
    sa.Column("ends_soon", sa.Integer),
    sa.Index("ix_onboarding_ministry_id", "ministry_id", "id"),
)
onboarding_line = sa.Table(
    "onboarding_line",
    METADATA,
    sa.Column("onboarding_id", sa.ForeignKey(onboarding.c.id), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("line", sa.Integer),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("external_id", sa.Text),
    sa.Column("agent_id", sa.Uuid),
    sa.Column("cells", Json),
    sa.Column("outcome", sa.Text),
)
signing_key = sa.Table(
    "signing_key",
    METADATA,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("pem", sa.Text, nullable=False),
    sa.Column("jwk", Json, nullable=False),
    sa.Column("signs_from", Moment, nullable=False),
    sa.Column("not_after", Moment, nullable=False),
)


@dataclass(slots=True)
class SigningKeyRow:
    kid: str
    pem: str
    jwk: dict[str, str]
    signs_from: datetime
    not_after: datetime


MINISTRY = tuple(ministry.c)
PERSON = tuple(column for column in agent.c if column.name not in ("external_id", "password"))
KEPT_APP_PASSWORD = tuple(column for column in app_password.c if column.name != "digest")
SESSION = tuple(session.c[name] for name in Session.__slots__)


def _page(columns: Sequence[sa.Column[Any]], table: sa.Table, where: sa.Column[Any] | None) -> sa.Select[Any]:
    query = sa.select(*columns).where(table.c.id > sa.bindparam("after"))
    return (query if where is None else query.where(where == sa.bindparam("whose"))).order_by(table.c.id).limit(sa.bindparam("limit"))


AGENTS_OF = _page(PERSON, agent, agent.c.ministry_id)
AGENTS = _page(PERSON, agent, None)
TEAMS_OF = _page(tuple(team.c), team, team.c.ministry_id)
TEAMS = _page(tuple(team.c), team, None)
MINISTRIES = _page(MINISTRY, ministry, None)


def lockable(one: sa.Select[Any]) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """As it is, and with its rows locked: by whether they shall be."""
    return one, one.with_for_update()


ONE_AGENT = [Question(one) for one in lockable(sa.select(*PERSON).where(agent.c.id == sa.bindparam("one")))]
ONE_TEAM = lockable(sa.select(team).where(team.c.id == sa.bindparam("one")))
ONE_MINISTRY = lockable(sa.select(*MINISTRY).where(ministry.c.id == sa.bindparam("one")))
CHANGE_TEAM = sa.update(team).where(team.c.id == sa.bindparam("one")).returning(*team.c)
"""Sets the columns that are sent with it."""
DIRECTORATES = sa.select(directorate).where(directorate.c.ministry_id == sa.bindparam("one")).order_by(directorate.c.id)
ADD_TEAM, ADD_MEMBER = sa.insert(team), sa.insert(team_member)
MEMBERS = sa.select(team_member.c.agent_id).where(team_member.c.team_id == sa.bindparam("one")).order_by(team_member.c.agent_id)
REMOVE_MEMBERS = sa.delete(team_member).where(
    team_member.c.team_id == sa.bindparam("one"), team_member.c.agent_id.in_(sa.bindparam("removed", expanding=True))
)


async def page(conn: Connection, of: sa.Select[Any], after: UUID, limit: int, whose: UUID | None = None) -> list[Any]:
    return list(await conn.execute(of, {"after": after, "limit": limit} | ({"whose": whose} if whose else {})))


async def find_agent(conn: Connection, agent_id: UUID, *, lock: bool = False) -> Person | None:
    row = await ONE_AGENT[lock].one(conn, {"one": agent_id})
    return Person(*row) if row else None


async def find_ministry(conn: Connection, ministry_id: UUID, *, lock: bool = False) -> Ministry | None:
    row = (await conn.execute(ONE_MINISTRY[lock], {"one": ministry_id})).one_or_none()
    return Ministry(*row) if row else None


async def add_ministry(tx: Tx, one: Ministry) -> None:
    await tx.execute(sa.insert(ministry), {name: getattr(one, name) for name in Ministry.__slots__})


async def change_ministry(tx: Tx, one: Ministry, **values: Any) -> Ministry:
    changed = sa.update(ministry).where(ministry.c.id == one.id).values(**values, revision=one.revision + 1).returning(*MINISTRY)
    return Ministry(*(await tx.execute(changed)).one())


async def directorates_of(conn: Connection, ministry_id: UUID) -> list[Directorate]:
    return [Directorate(*row) for row in await conn.execute(DIRECTORATES, {"one": ministry_id})]


async def add_directorate(tx: Tx, one: Directorate) -> None:
    await tx.execute(sa.insert(directorate), {name: getattr(one, name) for name in Directorate.__slots__})


async def find_team(conn: Connection, team_id: UUID, *, lock: bool = False) -> Team | None:
    row = (await conn.execute(ONE_TEAM[lock], {"one": team_id})).one_or_none()
    return Team(*row) if row else None


async def add_team(tx: Tx, one: Team) -> None:
    await tx.execute(ADD_TEAM, {name: getattr(one, name) for name in Team.__slots__})


async def change_team(tx: Tx, one: Team, name: str) -> Team:
    return Team(*(await tx.execute(CHANGE_TEAM, {"one": one.id, "name": name, "revision": one.revision + 1})).one())


async def members_of(conn: Connection, team_id: UUID) -> list[UUID]:
    return list((await conn.execute(MEMBERS, {"one": team_id})).scalars())


async def set_members(tx: Tx, team_id: UUID, added: Collection[UUID], removed: Collection[UUID]) -> None:
    if removed:
        await tx.execute(REMOVE_MEMBERS, {"one": team_id, "removed": list(removed)})
    if added:
        await tx.execute(ADD_MEMBER, [{"team_id": team_id, "agent_id": one} for one in added])


ADD_SESSION = sa.insert(session)
_now: sa.BindParameter[datetime] = sa.bindparam("now")
_lives = session.c.revoked_at.is_(None), session.c.expires_at > _now
_mine = session.c.digest == sa.bindparam("secret"), *_lives, session.c.used_at > sa.bindparam("idle_since")
TOUCH_SESSION = sa.update(session).where(*_mine).values(used_at=_now).returning(*SESSION)
REVOKE_SESSIONS = sa.update(session).where(session.c.agent_id == sa.bindparam("whose"), *_lives).values(revoked_at=_now).returning(*SESSION)
REVOKE_SESSION = REVOKE_SESSIONS.where(session.c.id == sa.bindparam("one"))


async def add_session(tx: Tx, one: Session, digest: str) -> None:
    values = {name: getattr(one, name) for name in Session.__slots__}
    await tx.execute(ADD_SESSION, values | {"digest": digest, "revoked_at": None})


async def touch_session(tx: Tx, digest: str, now: datetime, idle_since: datetime) -> tuple[Session, Person] | None:
    """The living session of this digest, used now, and its agent."""
    row = (await tx.execute(TOUCH_SESSION, {"secret": digest, "now": now, "idle_since": idle_since})).one_or_none()
    if row is None:
        return None
    found = Session(*row)
    person = await find_agent(tx, found.agent_id)
    return (found, person) if person else None


async def revoke_sessions(tx: Tx, agent_id: UUID, now: datetime, session_id: UUID | None = None) -> list[Session]:
    mine = {"whose": agent_id, "now": now}
    rows = await (tx.execute(REVOKE_SESSIONS, mine) if session_id is None else tx.execute(REVOKE_SESSION, mine | {"one": session_id}))
    return [Session(*row) for row in rows]


async def forget_sessions(tx: Tx, before: datetime) -> int:
    return int((await tx.execute(sa.delete(session).where(session.c.expires_at < before))).rowcount)


ADD_APP_PASSWORD = sa.insert(app_password)
APP_PASSWORD = sa.select(*KEPT_APP_PASSWORD, app_password.c.digest).where(app_password.c.id == sa.bindparam("one"))
_theirs = app_password.c.agent_id == sa.bindparam("whose"), app_password.c.revoked_at.is_(None)
APP_PASSWORDS = sa.select(*KEPT_APP_PASSWORD).where(*_theirs).order_by(app_password.c.id)
REVOKE_APP_PASSWORDS = sa.update(app_password).where(*_theirs).values(revoked_at=_now).returning(*KEPT_APP_PASSWORD)
REVOKE_APP_PASSWORD = REVOKE_APP_PASSWORDS.where(app_password.c.id == sa.bindparam("one"))


async def add_app_password(tx: Tx, one: KeptAppPassword, digest: str) -> None:
    await tx.execute(ADD_APP_PASSWORD, {name: getattr(one, name) for name in KeptAppPassword.__slots__} | {"digest": digest})


async def app_passwords_of(conn: Connection, agent_id: UUID) -> list[KeptAppPassword]:
    return [KeptAppPassword(*row) for row in await conn.execute(APP_PASSWORDS, {"whose": agent_id})]


async def find_app_password(conn: Connection, password_id: UUID) -> tuple[KeptAppPassword, str] | None:
    """With its digest, revoked or not."""
    row = (await conn.execute(APP_PASSWORD, {"one": password_id})).one_or_none()
    return (KeptAppPassword(*row[:-1]), row[-1]) if row else None


async def revoke_app_passwords(tx: Tx, agent_id: UUID, now: datetime, one: UUID | None = None) -> list[KeptAppPassword]:
    theirs = {"whose": agent_id, "now": now}
    rows = await (tx.execute(REVOKE_APP_PASSWORDS, theirs) if one is None else tx.execute(REVOKE_APP_PASSWORD, theirs | {"one": one}))
    return [KeptAppPassword(*row) for row in rows]


async def revoke_app_passwords_of_ministry(tx: Tx, ministry_id: UUID, now: datetime, limit: int) -> list[KeptAppPassword]:
    some = sa.select(app_password.c.id).join(agent, agent.c.id == app_password.c.agent_id)
    some = some.where(agent.c.ministry_id == ministry_id, app_password.c.revoked_at.is_(None)).limit(limit)
    ended = sa.update(app_password).where(app_password.c.id.in_(some), app_password.c.revoked_at.is_(None)).values(revoked_at=now)
    return [KeptAppPassword(*row) for row in await tx.execute(ended.returning(*KEPT_APP_PASSWORD))]


async def ministries_without_app_passwords(conn: Connection) -> list[UUID]:
    return list((await conn.execute(sa.select(ministry.c.id).where(ministry.c.app_passwords.is_(False)))).scalars())


GOOD_KEYS = sa.select(signing_key).where(signing_key.c.not_after > _now).order_by(signing_key.c.signs_from.desc(), signing_key.c.kid)


async def signing_keys(conn: Connection, now: datetime) -> list[SigningKeyRow]:
    """Those whose tokens still count, the newest first."""
    return [SigningKeyRow(*row) for row in await conn.execute(GOOD_KEYS, {"now": now})]


async def lock_signing_keys(tx: Tx) -> None:
    """One process at a time makes a key."""
    if not tx.database.is_sqlite:
        await tx.execute(sa.text("LOCK TABLE directory.signing_key IN SHARE ROW EXCLUSIVE MODE"))


async def add_signing_key(tx: Tx, values: dict[str, Any]) -> None:
    await tx.execute(sa.insert(signing_key), values)


_standing = (agent.c.state, agent.c.expires_at, agent.c.ministry_id, agent.c.roles)
_one = sa.select(sa.literal(1).label("one")).subquery()
QUESTIONS = Questions(
    by_token=Question(
        sa.select(sa.or_(session.c.revoked_at.is_not(None), session.c.id.is_(None)), signing_key.c.not_after, *_standing).select_from(
            _one.outerjoin(agent, agent.c.id == sa.bindparam("agent_id", type_=sa.Uuid))
            .outerjoin(session, session.c.id == sa.bindparam("session_id", type_=sa.Uuid))
            .outerjoin(signing_key, signing_key.c.kid == sa.bindparam("kid", type_=sa.Text))
        )
    ),
    by_prefix=Question(
        sa.select(
            app_password.c.id,
            app_password.c.agent_id,
            agent.c.email,
            app_password.c.digest,
            app_password.c.scopes,
            sa.case((app_password.c.revoked_at.is_(None), "active"), else_="revoked"),
            app_password.c.expires_at,
            *_standing,
        )
        .join_from(app_password, agent, agent.c.id == app_password.c.agent_id)
        .where(app_password.c.prefix == sa.bindparam("prefix"))
    ),
    keys=sa.select(signing_key.c.kid, signing_key.c.jwk).where(signing_key.c.not_after > sa.bindparam("now")),
)
"""Who asks, answered from directory's own tables."""
