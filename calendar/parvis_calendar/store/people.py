"""Whom the copy of the directory knows, as principals."""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection
from parvis_roster import tables_of

from parvis_calendar.rules.agendas import Person

agent = tables_of("calendar")["agent"]
PERSON = (agent.c.id, agent.c.ministry_id, agent.c.email, agent.c.given_name, agent.c.family_name)
HERE = agent.c.state.in_(("active", "pending", "suspended"))
FIND = sa.select(*PERSON).where(agent.c.id == sa.bindparam("one", type_=sa.Uuid))
OF_MINISTRY = sa.select(*PERSON).where(agent.c.ministry_id == sa.bindparam("ministry", type_=sa.Uuid), HERE)
BY_EMAIL = sa.select(*PERSON).where(agent.c.email.in_(sa.bindparam("emails", expanding=True)), HERE)
LEFT = sa.select(agent.c.email).where(agent.c.email.in_(sa.bindparam("emails", expanding=True)), agent.c.state == "left")
BY_ID = sa.select(*PERSON).where(agent.c.id.in_(sa.bindparam("ids", expanding=True)))


async def find_person(conn: Connection, agent_id: UUID) -> Person | None:
    row = (await conn.execute(FIND, {"one": agent_id})).one_or_none()
    return None if row is None else Person(*row)


async def people_of(conn: Connection, ministry_id: UUID) -> list[Person]:
    return [Person(*row) for row in await conn.execute(OF_MINISTRY, {"ministry": ministry_id})]


async def by_email(conn: Connection, emails: Iterable[str]) -> dict[str, Person]:
    """Folded as the directory keeps them → who it is."""
    return {row[2]: Person(*row) for row in await conn.execute(BY_EMAIL, {"emails": [one.strip().casefold() for one in emails]})}


async def by_id(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, Person]:
    return {row[0]: Person(*row) for row in await conn.execute(BY_ID, {"ids": list(ids)})}


async def who_left(conn: Connection, emails: Iterable[str]) -> set[str]:
    """Of these addresses those whose agents have left."""
    return set((await conn.execute(LEFT, {"emails": list(emails)})).scalars())
