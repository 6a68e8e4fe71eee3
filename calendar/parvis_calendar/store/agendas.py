"""Homes and agendas, and the number that each change in a home takes."""

from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert_by
from parvis_kit.db.driven import Driven

from parvis_calendar.rules.agendas import Agenda, Home, Person
from parvis_calendar.store import agenda, home, instance, object_, tombstone
from parvis_calendar.store.people import PERSON, agent

HOME = (home.c.owner_id, home.c.ministry_id, home.c.kind, home.c.seq, home.c.epoch, home.c.frozen_at, home.c.properties, home.c.created_at)
AGENDA = (
    agenda.c.id, agenda.c.owner_id, agenda.c.kind, agenda.c.name, agenda.c.display_name, agenda.c.description, agenda.c.color,
    agenda.c.position, agenda.c.zone, agenda.c.timezone, agenda.c.components, agenda.c.is_transparent, agenda.c.is_default,
    agenda.c.properties, agenda.c.seq, agenda.c.forgotten_seq, agenda.c.objects, agenda.c.created_at, home.c.epoch, home.c.frozen_at,
    home.c.ministry_id,
)  # fmt: skip
OWNER = sa.bindparam("owner", type_=sa.Uuid)
_AGENDAS = sa.select(*AGENDA).join_from(agenda, home, home.c.owner_id == agenda.c.owner_id)
FIND_HOME = sa.select(*HOME).where(home.c.owner_id == OWNER)
NEXT_SEQ = sa.update(home).where(home.c.owner_id == OWNER).values(seq=home.c.seq + 1).returning(*HOME)
AGENDAS_OF = _AGENDAS.where(agenda.c.owner_id == OWNER).order_by(agenda.c.is_default.desc(), agenda.c.created_at, agenda.c.name)
WHOLE_HOME = (
    sa.select(*AGENDA, *HOME, *PERSON)
    .join_from(agenda, home, home.c.owner_id == agenda.c.owner_id)
    .outerjoin(agent, agent.c.id == home.c.owner_id)
    .where(agenda.c.owner_id == OWNER)
    .order_by(agenda.c.is_default.desc(), agenda.c.created_at, agenda.c.name)
)
FIND_NAMED = _AGENDAS.where(agenda.c.owner_id == OWNER, agenda.c.name == sa.bindparam("named"))
FIND_DEFAULT = _AGENDAS.where(agenda.c.owner_id == OWNER, agenda.c.is_default)
FIND_AGENDA = _AGENDAS.where(agenda.c.id == sa.bindparam("one", type_=sa.Uuid))
ADD_AGENDA = sa.insert(agenda)
TOUCH = Driven(
    lambda _: (
        sa.update(agenda)
        .where(agenda.c.id == sa.bindparam("one", type_=sa.Uuid))
        .values(seq=sa.bindparam("now_seq", type_=sa.BigInteger), objects=agenda.c.objects + sa.bindparam("more", type_=sa.Integer))
    )
)


async def add_home(tx: Tx, one: Home) -> bool:
    """False when it is there already: a twin was quicker."""
    row = {name: getattr(one, name) for name in Home.__slots__}
    return (await tx.execute(upsert_by(tx, home, ("owner_id",)), row)).rowcount == 1


async def find_home(conn: Connection, owner_id: UUID) -> Home | None:
    row = (await conn.execute(FIND_HOME, {"owner": owner_id})).one_or_none()
    return None if row is None else Home(*row)


async def next_seq(tx: Tx, owner_id: UUID) -> Home | None:
    """The home with the number of this change, locked until the transaction ends: that makes the numbers commit order."""
    row = (await tx.execute(NEXT_SEQ, {"owner": owner_id})).one_or_none()
    return None if row is None else Home(*row)


@cache
def _change_home(names: tuple[str, ...]) -> sa.Update:
    return sa.update(home).where(home.c.owner_id == OWNER).values({name: sa.bindparam(f"new_{name}") for name in names})


async def change_home(tx: Tx, owner_id: UUID, **values: Any) -> None:
    await tx.execute(_change_home(tuple(values)), {"owner": owner_id, **{f"new_{name}": value for name, value in values.items()}})


async def agendas_of(conn: Connection, owner_id: UUID) -> list[Agenda]:
    """The default one first, then by age."""
    return [Agenda(*row) for row in await conn.execute(AGENDAS_OF, {"owner": owner_id})]


async def whole_home(conn: Connection, owner_id: UUID) -> tuple[Home, Person | None, list[Agenda]] | None:
    """What a client asks for most often, in one question. A home is never without agendas."""
    rows = (await conn.execute(WHOLE_HOME, {"owner": owner_id})).all()
    if not rows:
        return None
    first, split, end = rows[0], len(AGENDA), len(AGENDA) + len(HOME)
    person = Person(*first[end:]) if first[end] is not None else None
    return Home(*first[split:end]), person, [Agenda(*row[:split]) for row in rows]


async def find_named(conn: Connection, owner_id: UUID, name: str) -> Agenda | None:
    row = (await conn.execute(FIND_NAMED, {"owner": owner_id, "named": name})).one_or_none()
    return None if row is None else Agenda(*row)


async def find_default(conn: Connection, owner_id: UUID) -> Agenda | None:
    """Where invitations to this owner arrive."""
    row = (await conn.execute(FIND_DEFAULT, {"owner": owner_id})).first()
    return None if row is None else Agenda(*row)


async def find_agenda(conn: Connection, agenda_id: UUID) -> Agenda | None:
    row = (await conn.execute(FIND_AGENDA, {"one": agenda_id})).one_or_none()
    return None if row is None else Agenda(*row)


async def add_agenda(tx: Tx, one: Agenda) -> None:
    """The home is locked."""
    await tx.execute(ADD_AGENDA, {column.name: getattr(one, column.name) for column in agenda.c})


async def change_agenda(tx: Tx, agenda_id: UUID, **values: Any) -> None:
    await tx.execute(sa.update(agenda).where(agenda.c.id == agenda_id).values(**values))


async def touch(tx: Tx, agenda_id: UUID, seq: int, more: int = 0) -> None:
    """Something in it has changed, and there are so many objects more in it."""
    await TOUCH.run(tx, {"one": agenda_id, "now_seq": seq, "more": more})


async def delete_agenda(tx: Tx, agenda_id: UUID) -> None:
    """With all that lies in it."""
    within = sa.select(object_.c.id).where(object_.c.agenda_id == agenda_id)
    await tx.execute(sa.delete(instance).where(instance.c.object_id.in_(within)))
    await tx.execute(sa.delete(object_).where(object_.c.agenda_id == agenda_id))
    await tx.execute(sa.delete(tombstone).where(tombstone.c.agenda_id == agenda_id))
    await tx.execute(sa.delete(agenda).where(agenda.c.id == agenda_id))


async def forget_tombstones(tx: Tx, before: datetime, limit: int) -> int:
    """The oldest, and with them the right to ask for what has changed since; how many."""
    old = sa.select(tombstone.c.agenda_id, tombstone.c.seq).where(tombstone.c.at < before).order_by(tombstone.c.at).limit(limit)
    newest: dict[UUID, int] = {}
    for agenda_id, seq in await tx.execute(old):
        newest[agenda_id] = max(seq, newest.get(agenda_id, 0))
    gone = 0
    for agenda_id, seq in newest.items():
        await tx.execute(sa.update(agenda).where(agenda.c.id == agenda_id, agenda.c.forgotten_seq < seq).values(forgotten_seq=seq))
        gone += (await tx.execute(sa.delete(tombstone).where(tombstone.c.agenda_id == agenda_id, tombstone.c.seq <= seq))).rowcount
    return gone


async def renew_epochs(tx: Tx, epoch: int) -> int:
    """After a restore: every client has to compare anew."""
    return (await tx.execute(sa.update(home).values(epoch=epoch))).rowcount


async def move_homes(tx: Tx, ministry_id: UUID, into_ministry_id: UUID) -> None:
    await tx.execute(sa.update(home).where(home.c.ministry_id == ministry_id).values(ministry_id=into_ministry_id))
