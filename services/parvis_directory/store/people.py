"""Agents: changed, found by their address, and by the words of their names."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx
from parvis_kit.text import words_of

from parvis_directory.rules import Person
from parvis_directory.store import PERSON, agent, agent_word, lockable, ministry

FOUND_BY = {"given_name", "family_name", "ministry_id"}
ADD_WORD = sa.insert(agent_word)
FORGET_WORDS = sa.delete(agent_word).where(agent_word.c.agent_id.in_(sa.bindparam("some", expanding=True)))
CHANGE = sa.update(agent).where(agent.c.id == sa.bindparam("one")).returning(*PERSON)
"""Sets the columns that are sent with it."""
BY_EMAIL = sa.select(*PERSON).where(agent.c.email == sa.bindparam("address")).with_for_update()
WITH_PASSWORD = lockable(sa.select(*PERSON, agent.c.password).where(agent.c.email == sa.bindparam("address")))
WORDS_SOUGHT_MAX = 4


async def change_agent(tx: Tx, person: Person, **values: Any) -> Person:
    """Its row is locked already."""
    changed = values | {"one": person.id, "revision": person.revision + 1}
    after = Person(*(await tx.execute(CHANGE, changed)).one())
    if FOUND_BY & values.keys():
        await renew_words(tx, [after])
    return after


async def find_by_email(tx: Tx, email: str) -> Person | None:
    """Its row is locked."""
    row = (await tx.execute(BY_EMAIL, {"address": email})).one_or_none()
    return Person(*row) if row else None


async def set_password(tx: Tx, agent_id: UUID, hashed: str) -> None:
    await tx.execute(sa.update(agent).where(agent.c.id == agent_id).values(password=hashed))


async def find_password(conn: Connection, email: str, *, lock: bool = False) -> tuple[Person, str | None] | None:
    row = (await conn.execute(WITH_PASSWORD[lock], {"address": email})).one_or_none()
    return (Person(*row[:-1]), row[-1]) if row else None


async def agents_expired(conn: Connection, now: datetime) -> list[UUID]:
    ended = sa.select(agent.c.id).where(agent.c.expires_at <= now, agent.c.state != "left")
    return list((await conn.execute(ended)).scalars())


EMAIL_BEGINS = (
    sa.select(*PERSON)
    .where(agent.c.email >= sa.bindparam("begins"), agent.c.email < sa.bindparam("ends"), agent.c.state != "left")
    .order_by(agent.c.email)
    .limit(sa.bindparam("limit"))
)
EMAIL_BEGINS_OF = EMAIL_BEGINS.where(agent.c.ministry_id == sa.bindparam("whose"))


async def agents_whose_email_begins(conn: Connection, begins: str, whose: UUID | None, limit: int) -> list[Any]:
    """A range of the unique index, which both databases keep in the order of the bytes."""
    asked: dict[str, Any] = {"begins": begins, "ends": f"{begins}{chr(0x10FFFF)}", "limit": limit}
    if whose is None:
        return list(await conn.execute(EMAIL_BEGINS, asked))
    return list(await conn.execute(EMAIL_BEGINS_OF, asked | {"whose": whose}))


# found by their names


async def add_words(tx: Tx, people: Sequence[Person]) -> None:
    """Of agents who are new."""
    rows = [
        {"ministry_id": one.ministry_id, "word": word, "agent_id": one.id}
        for one in people
        for word in words_of(f"{one.given_name} {one.family_name}")
    ]
    if rows:
        await tx.execute(ADD_WORD, rows)


async def renew_words(tx: Tx, people: Sequence[Person]) -> None:
    """Of agents whose names or ministries may have changed."""
    await tx.execute(FORGET_WORDS, {"some": [one.id for one in people]})
    await add_words(tx, people)


async def agents_called(conn: Connection, words: Sequence[str], whose: UUID | None, limit: int) -> list[Person]:
    """In whose names each of these begins a word; in the order of the words found, each agent once."""
    sought = words[:WORDS_SOUGHT_MAX]
    asked: dict[str, Any] = {"limit": limit * (len(sought) + 1)} | ({"whose": whose} if whose else {})
    for number, word in enumerate(sought):
        asked |= {f"from{number}": word, f"to{number}": f"{word}{chr(0x10FFFF)}"}
    found = [Person(*row) for row in await conn.execute(_called(len(sought), whose is not None), asked)]
    return list({one.id: one for one in found}.values())[:limit]


@cache
def _called(words: int, of_one: bool) -> sa.Select[Any]:
    """A range of the ministry's words, and of each ministry's where nobody is named: the index begins with it."""
    first = agent_word.c
    whose = first.ministry_id == sa.bindparam("whose") if of_one else first.ministry_id.in_(sa.select(ministry.c.id))
    found = sa.select(*PERSON).join_from(agent_word, agent, agent.c.id == first.agent_id)
    found = found.where(whose, first.word >= sa.bindparam("from0"), first.word < sa.bindparam("to0"), agent.c.state != "left")
    for number in range(1, words):
        other = agent_word.alias(f"word{number}")
        begins = other.c.word >= sa.bindparam(f"from{number}"), other.c.word < sa.bindparam(f"to{number}")
        found = found.where(sa.exists().where(other.c.agent_id == first.agent_id, *begins))
    return found.order_by(first.word, first.agent_id).limit(sa.bindparam("limit"))
