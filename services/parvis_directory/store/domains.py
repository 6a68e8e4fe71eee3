"""Mail domains: who says they are theirs, and whose they have been proven to be."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Moment, Tx, partial_index, upsert

from parvis_directory.rules.domains import Domain
from parvis_directory.store import METADATA, ministry

domain = sa.Table(
    "domain",
    METADATA,
    sa.Column("ministry_id", sa.ForeignKey(ministry.c.id), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("claimed_at", Moment),
    sa.Column("checked_at", Moment),
    sa.Column("missed", sa.Integer, nullable=False),
)
_claimed = domain.c.claimed_at.is_not(None)
partial_index("uq_domain_claimed", domain.c.name, unique=True, where=_claimed)
RECHECKED_MAX = 100
"""Domains looked at in a sweep."""


async def domains_of(conn: Connection, ministry_id: UUID) -> list[Domain]:
    rows = await conn.execute(sa.select(*domain.c).where(domain.c.ministry_id == ministry_id).order_by(domain.c.name))
    return [Domain(*row) for row in rows]


async def find_domain(conn: Connection, ministry_id: UUID, name: str, *, lock: bool = False) -> Domain | None:
    one = sa.select(*domain.c).where(domain.c.ministry_id == ministry_id, domain.c.name == name)
    row = (await conn.execute(one.with_for_update() if lock else one)).one_or_none()
    return Domain(*row) if row else None


async def owner_of(conn: Connection, name: str) -> UUID | None:
    found: UUID | None = (await conn.execute(sa.select(domain.c.ministry_id).where(domain.c.name == name, _claimed))).scalar_one_or_none()
    return found


OF_OTHERS = sa.select(domain.c.name).where(
    domain.c.name.in_(sa.bindparam("names", expanding=True)), domain.c.ministry_id != sa.bindparam("whose"), _claimed
)


async def domains_of_others(conn: Connection, ministry_id: UUID, names: Collection[str]) -> set[str]:
    """Which of these are proven to be another ministry's."""
    return set((await conn.execute(OF_OTHERS, {"names": sorted(names), "whose": ministry_id})).scalars())


async def add_domain(tx: Tx, one: Domain) -> None:
    """Said twice, it is said once."""
    values = {name: getattr(one, name) for name in Domain.__slots__}
    await tx.execute(upsert(tx, domain).values(values).on_conflict_do_nothing())


async def change_domain(tx: Tx, one: Domain, **values: Any) -> Domain:
    mine = sa.and_(domain.c.ministry_id == one.ministry_id, domain.c.name == one.name)
    return Domain(*(await tx.execute(sa.update(domain).where(mine).values(values).returning(*domain.c))).one())


async def forget_domain(tx: Tx, one: Domain) -> None:
    await tx.execute(sa.delete(domain).where(domain.c.ministry_id == one.ministry_id, domain.c.name == one.name))


async def domains_to_recheck(conn: Connection, before: datetime) -> list[Domain]:
    due = sa.select(*domain.c).where(_claimed, domain.c.checked_at <= before).order_by(domain.c.checked_at).limit(RECHECKED_MAX)
    return [Domain(*row) for row in await conn.execute(due)]
