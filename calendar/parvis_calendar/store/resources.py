"""Rooms and equipment, and when they are taken."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx

from parvis_calendar.rules.meetings import AXIS, Resource
from parvis_calendar.store import booking, resource

RESOURCE = tuple(resource.c[name] for name in Resource.__slots__)
EVENT = sa.bindparam("event", type_=sa.Uuid)
OF_MINISTRY = (
    sa.select(*RESOURCE).where(resource.c.ministry_id == sa.bindparam("ministry", type_=sa.Uuid)).order_by(resource.c.name, resource.c.id)
)
BY_ID = sa.select(*RESOURCE).where(resource.c.id.in_(sa.bindparam("ids", expanding=True)))
LOCK = BY_ID.order_by(resource.c.id).with_for_update()
TAKEN = (
    sa.select(booking.c.resource_id, booking.c.starts_at, booking.c.ends_at, booking.c.event_id)
    .where(
        booking.c.resource_id.in_(sa.bindparam("ids", expanding=True)),
        booking.c.starts_at < sa.bindparam("before", type_=sa.BigInteger),
        booking.c.ends_at > sa.bindparam("after", type_=sa.BigInteger),
    )
    .order_by(booking.c.starts_at)
)
BOOK = sa.insert(booking)
HELD = sa.select(booking.c.resource_id).where(booking.c.event_id == EVENT).distinct()
RELEASE = sa.delete(booking).where(booking.c.event_id == EVENT)
SPANS = sa.select(booking.c.resource_id, booking.c.starts_at, booking.c.ends_at).where(booking.c.event_id == EVENT)


async def add(tx: Tx, one: Resource) -> None:
    await tx.execute(sa.insert(resource).values(**asdict(one)))


async def next_number(tx: Tx) -> int:
    return int((await tx.execute(sa.select(sa.func.coalesce(sa.func.max(resource.c.number), 0)))).scalar_one()) + 1


async def of_ministry(conn: Connection, ministry_id: UUID) -> list[Resource]:
    return [Resource(*row) for row in await conn.execute(OF_MINISTRY, {"ministry": ministry_id})]


async def find(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, Resource]:
    return {row[0]: Resource(*row) for row in await conn.execute(BY_ID, {"ids": ids})}


async def lock(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, Resource]:
    """Always in the same order."""
    return {row[0]: Resource(*row) for row in await tx.execute(LOCK, {"ids": ids})}


async def taken(conn: Connection, ids: Sequence[UUID], start: int, end: int) -> dict[UUID, list[tuple[int, int, UUID]]]:
    """Resource → from, to, for which event."""
    found: dict[UUID, list[tuple[int, int, UUID]]] = {}
    for resource_id, first, last, event_id in await conn.execute(TAKEN, {"ids": ids, "before": end, "after": start}):
        found.setdefault(resource_id, []).append((first, last, event_id))
    return found


async def book(tx: Tx, one: Resource, event_id: UUID, booked_by: UUID, spans: Sequence[tuple[int, int]]) -> None:
    """The resource is locked, and free."""
    rows = [
        {
            "resource_id": one.id, "starts_at": first, "ends_at": last, "event_id": event_id, "booked_by": booked_by,
            "axis_start": one.number * AXIS + first, "axis_end": one.number * AXIS + last,
        }
        for first, last in spans
    ]  # fmt: skip
    if rows:
        await tx.execute(BOOK, rows)


async def release(tx: Tx, event_id: UUID) -> list[UUID]:
    """Of all that was taken for this event; which resources."""
    found = sorted((await tx.execute(HELD, {"event": event_id})).scalars())
    if found:
        await tx.execute(RELEASE, {"event": event_id})
    return found


async def booked_spans(conn: Connection, event_id: UUID) -> dict[UUID, list[tuple[int, int]]]:
    found: dict[UUID, list[tuple[int, int]]] = {}
    for resource_id, first, last in await conn.execute(SPANS, {"event": event_id}):
        found.setdefault(resource_id, []).append((first, last))
    return found
