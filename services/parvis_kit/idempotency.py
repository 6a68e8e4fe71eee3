"""The same request asked twice is done once, by its key (draft-ietf-httpapi-idempotency-key-header)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Generic, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, TypeAdapter

from parvis_kit.db import Database, Moment, Tx, insert, metadata_for
from parvis_kit.db.driven import Driven
from parvis_kit.problems import KeyReused

T = TypeVar("T")
KEYS_KEPT = timedelta(hours=24)
"""A client that repeats itself does so within minutes; a phone that was off over night, in the morning."""
DELETE_MAX = 1_000


def idempotency_table(metadata: sa.MetaData) -> sa.Table:
    """Join the table of keys to a service's metadata."""
    return sa.Table(
        "idempotency",
        metadata,
        sa.Column("who", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("at", Moment, nullable=False, index=True),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as far as repeating it goes."""

    who: object
    """Keys are one caller's own: nobody meets another's."""
    key: str
    act: str
    """The route, as `POST /api/directory/v1/agents`."""
    body: BaseModel | None
    at: datetime

    @property
    def digest(self) -> str:
        said = self.body.model_dump_json() if self.body is not None else ""
        return sha256(f"{self.act}\n{said}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """How answers of one kind are kept until they are asked for again."""

    adapter: TypeAdapter[T]
    without_secrets: Callable[[T], T] = lambda answer: answer
    """What is shown once is not written down: the repeated answer lacks it."""


async def once(tx: Tx, asked: Asked, kept: Kept[T], act: Callable[[], Awaitable[T]]) -> T:
    """What `act` answers; what it answered before, when it was asked before. Raises KeyReused when the body is another.

    A twin that comes meanwhile waits on the key's row until this transaction ends, then finds the answer, or acts itself
    when this one was refused: a refusal leaves no trace, so what was refused may be asked again under the same key.
    """
    claim, find, settle = statements_for(tx)
    mine = {"who": str(asked.who), "key": asked.key, "digest": asked.digest, "at": asked.at}
    if (await tx.execute(claim, mine)).one_or_none() is None:
        digest, answer = (await tx.execute(find, {"of": str(asked.who), "named": asked.key})).one()
        if digest != asked.digest:
            raise KeyReused("This Idempotency-Key came before with another request: take a new key for a new request.")
        return kept.adapter.validate_json(answer)
    answered = await act()
    answer = kept.adapter.dump_json(kept.without_secrets(answered))
    await settle.run_last(tx, {"of": str(asked.who), "named": asked.key, "answer": answer})
    return answered


def statements_for(tx: Tx) -> tuple[sa.Insert, sa.Select[str, bytes], Driven]:
    return _statements(tx.database.service, tx.database.is_sqlite)


@cache
def _statements(service: str, is_sqlite: bool) -> tuple[sa.Insert, sa.Select[str, bytes], Driven]:
    table = idempotency_table(metadata_for(service))
    which = sa.and_(table.c.who == sa.bindparam("of"), table.c.key == sa.bindparam("named"))
    claim = insert(table, is_sqlite=is_sqlite).on_conflict_do_nothing(index_elements=["who", "key"]).returning(table.c.key)
    return (
        claim,
        sa.select(table.c.digest, table.c.answer).where(which),
        Driven(lambda _: sa.update(table).where(which).values(answer=sa.bindparam("answer"))),
    )


async def forget_old_keys(database: Database, now: datetime) -> int:
    """Forget what nobody will ask again; how many there were. In pieces, so that locks stay short."""
    table = idempotency_table(metadata_for(database.service))
    old = sa.select(table.c.who, table.c.key).where(table.c.at < now - KEYS_KEPT).limit(DELETE_MAX)
    gone = 0
    while True:
        async with database.transaction() as tx:
            deleted = (await tx.execute(sa.delete(table).where(sa.tuple_(table.c.who, table.c.key).in_(old)))).rowcount
        gone += deleted
        if deleted < DELETE_MAX:
            return gone
