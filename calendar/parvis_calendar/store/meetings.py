"""Who is invited to what and has answered what; homes locked together; what becomes of a leaver's meetings."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert, upsert_by

from parvis_calendar.rules.agendas import Agenda, Home, Stored
from parvis_calendar.rules.meetings import Departure, Invitation
from parvis_calendar.store import agenda, departure, home, invitation, object_
from parvis_calendar.store.agendas import AGENDA, HOME
from parvis_calendar.store.objects import STORED

INVITATION = tuple(invitation.c[name] for name in Invitation.__slots__)
MEETING, ATTENDEE = sa.bindparam("meeting", type_=sa.Uuid), sa.bindparam("attendee", type_=sa.Uuid)
FIND = sa.select(*INVITATION).where(invitation.c.meeting_id == MEETING, invitation.c.attendee_id == ATTENDEE)
OF_MEETING = sa.select(*INVITATION).where(invitation.c.meeting_id == MEETING)
FORGET = sa.delete(invitation).where(invitation.c.meeting_id == MEETING, invitation.c.attendee_id == ATTENDEE)
ANSWER = (
    sa.update(invitation)
    .where(invitation.c.meeting_id == MEETING, invitation.c.attendee_id == ATTENDEE)
    .values(answer=sa.bindparam("said"))
)
LOCK = sa.select(*HOME).where(home.c.owner_id.in_(sa.bindparam("owners", expanding=True))).order_by(home.c.owner_id).with_for_update()
BY_UID = (
    sa.select(*STORED, *AGENDA)
    .join_from(object_, agenda, agenda.c.id == object_.c.agenda_id)
    .join(home, home.c.owner_id == agenda.c.owner_id)
    .where(object_.c.uid == sa.bindparam("of_uid"), agenda.c.owner_id == sa.bindparam("owner", type_=sa.Uuid), agenda.c.kind == "agenda")
)
BY_ID = (
    sa.select(*STORED, *AGENDA)
    .join_from(object_, agenda, agenda.c.id == object_.c.agenda_id)
    .join(home, home.c.owner_id == agenda.c.owner_id)
    .where(object_.c.id == sa.bindparam("one", type_=sa.Uuid))
)
OF_AGENT = (
    sa.select(*INVITATION)
    .where(invitation.c.attendee_id == ATTENDEE, sa.or_(invitation.c.recurs, invitation.c.ends_at > sa.bindparam("now")))
    .order_by(invitation.c.starts_at, invitation.c.meeting_id)
    .limit(sa.bindparam("at_most"))
)


async def lock_homes(tx: Tx, owners: Iterable[UUID]) -> dict[UUID, Home]:
    """Always in the same order, so that two who answer at once wait for each other and not for ever."""
    rows = await tx.execute(LOCK, {"owners": sorted(set(owners))})
    return {row[0]: Home(*row) for row in rows}


async def find_by_uid(conn: Connection, owner_id: UUID, uid: str) -> tuple[Stored, Agenda] | None:
    """In whichever of the owner's agendas it lies."""
    return _placed((await conn.execute(BY_UID, {"owner": owner_id, "of_uid": uid})).first())


async def find_by_id(conn: Connection, object_id: UUID) -> tuple[Stored, Agenda] | None:
    return _placed((await conn.execute(BY_ID, {"one": object_id})).one_or_none())


def _placed(row: Any) -> tuple[Stored, Agenda] | None:
    return None if row is None else (Stored(*row[: len(STORED)]), Agenda(*row[len(STORED) :]))


OF_WHOM = ("meeting_id", "attendee_id")
TOLD = tuple(name for name in Invitation.__slots__ if name not in (*OF_WHOM, "invited_at"))


async def put(tx: Tx, one: Invitation) -> None:
    """In place of what was known of it."""
    await tx.execute(upsert_by(tx, invitation, OF_WHOM, TOLD), {name: getattr(one, name) for name in Invitation.__slots__})


async def find(conn: Connection, meeting_id: UUID, attendee_id: UUID) -> Invitation | None:
    row = (await conn.execute(FIND, {"meeting": meeting_id, "attendee": attendee_id})).one_or_none()
    return None if row is None else Invitation(*row)


async def of_meeting(conn: Connection, meeting_id: UUID) -> dict[UUID, Invitation]:
    """Attendee → invitation."""
    return {row[1]: Invitation(*row) for row in await conn.execute(OF_MEETING, {"meeting": meeting_id})}


async def of_agent(conn: Connection, attendee_id: UUID, now: int, limit: int) -> list[Invitation]:
    """To what is not over."""
    return [Invitation(*row) for row in await conn.execute(OF_AGENT, {"attendee": attendee_id, "now": now, "at_most": limit})]


async def forget(tx: Tx, meeting_id: UUID, attendee_id: UUID) -> None:
    await tx.execute(FORGET, {"meeting": meeting_id, "attendee": attendee_id})


async def answer(tx: Tx, meeting_id: UUID, attendee_id: UUID, said: str) -> None:
    await tx.execute(ANSWER, {"meeting": meeting_id, "attendee": attendee_id, "said": said})


async def organized_by(conn: Connection, agent_id: UUID, now: int) -> list[UUID]:
    """Meetings with somebody invited that are not over."""
    wanted = sa.select(invitation.c.meeting_id).where(
        invitation.c.organizer_id == agent_id, sa.or_(invitation.c.recurs, invitation.c.ends_at > now)
    )
    return sorted((await conn.execute(wanted.distinct())).scalars())


async def find_departure(conn: Connection, agent_id: UUID) -> Departure | None:
    columns = tuple(departure.c[name] for name in Departure.__slots__)
    row = (await conn.execute(sa.select(*columns).where(departure.c.agent_id == agent_id))).one_or_none()
    return None if row is None else Departure(*row)


async def put_departure(tx: Tx, agent_id: UUID, **values: Any) -> None:
    row = upsert(tx, departure).values(**{"agent_id": agent_id, "meetings": "keep", **values})
    await tx.execute(row.on_conflict_do_update(index_elements=["agent_id"], set_=values))
