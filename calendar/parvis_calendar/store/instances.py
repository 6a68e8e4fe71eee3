"""When objects take place, and when owners are busy."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, insert
from parvis_kit.db.driven import Driven

from parvis_calendar.rules.agendas import Stored
from parvis_calendar.rules.budgets import within
from parvis_calendar.rules.windows import FLOATING_SECONDS, LONG_SECONDS, Taking, Window
from parvis_calendar.store import agenda, busy_week, instance, object_
from parvis_calendar.store.objects import WHOLE

AGENDA = sa.bindparam("agenda", type_=sa.Uuid)
AFTER, BEFORE = sa.bindparam("after", type_=sa.BigInteger), sa.bindparam("before", type_=sa.BigInteger)
EARLIEST = sa.bindparam("earliest", type_=sa.BigInteger)
TAKING = (instance.c.recurrence_at, instance.c.starts_at, instance.c.ends_at, instance.c.is_floating, instance.c.busy)
TAKINGS = sa.select(*TAKING).where(instance.c.object_id == sa.bindparam("one", type_=sa.Uuid))
FORGET = sa.delete(instance).where(instance.c.object_id == sa.bindparam("one", type_=sa.Uuid))


def _overlapping(columns: Sequence[sa.ColumnElement[object]], where: sa.ColumnElement[bool]) -> sa.CompoundSelect[tuple[object, ...]]:
    """Two scans of one index: short ones that begin shortly before, and long ones."""
    short = sa.select(*columns).where(
        where, sa.not_(instance.c.is_long), instance.c.starts_at >= EARLIEST, instance.c.starts_at < BEFORE, instance.c.ends_at >= AFTER
    )
    return sa.union_all(
        short, sa.select(*columns).where(where, instance.c.is_long, instance.c.starts_at < BEFORE, instance.c.ends_at >= AFTER)
    )


MET = _overlapping((instance.c.object_id, *TAKING), instance.c.agenda_id == AGENDA)
OWN = instance.c.agenda_id.in_(
    sa.select(agenda.c.id).where(agenda.c.owner_id == sa.bindparam("owner", type_=sa.Uuid), sa.not_(agenda.c.is_transparent))
)
MET_BUSY = _overlapping((instance.c.agenda_id, *TAKING), sa.and_(OWN, instance.c.busy > 0))
PARTLY = (
    sa.select(object_.c.id, object_.c.size_bytes)
    .where(
        object_.c.agenda_id == AGENDA,
        object_.c.expanded_until.is_not(None),
        sa.or_(object_.c.expanded_until < BEFORE, object_.c.expanded_from > AFTER),
    )
    .order_by(object_.c.size_bytes)
    .limit(sa.bindparam("at_most"))
)
WEEKS = sa.select(busy_week.c.owner_id, busy_week.c.week, busy_week.c.spans).where(
    busy_week.c.owner_id.in_(sa.bindparam("owners", expanding=True)),
    busy_week.c.week.between(sa.bindparam("first"), sa.bindparam("last")),
)
OWN_WEEKS = sa.select(busy_week.c.week, busy_week.c.spans).where(
    busy_week.c.owner_id == sa.bindparam("owner", type_=sa.Uuid), busy_week.c.week.between(sa.bindparam("first"), sa.bindparam("last"))
)
PUT = sa.insert(instance)
PUT_ONE = Driven(lambda _: PUT, [column.name for column in instance.c])
DUE = (
    sa.select(object_.c.id, object_.c.agenda_id, agenda.c.owner_id)
    .join_from(object_, agenda, agenda.c.id == object_.c.agenda_id)
    .where(object_.c.expanded_until < BEFORE)
    .order_by(object_.c.expanded_until)
    .limit(sa.bindparam("at_most"))
)


def _asked(window: Window) -> dict[str, int]:
    """Wide enough for both clocks; whoever asks looks closely."""
    after, before = min(window.start, window.wall_start), max(window.end, window.wall_end)
    return {"after": after, "before": before, "earliest": after - LONG_SECONDS}


async def put(tx: Tx, agenda_id: UUID, object_id: UUID, takings: Sequence[Taking]) -> None:
    if takings:
        rows = [
            {
                "object_id": object_id, "recurrence_at": one.recurrence_at, "agenda_id": agenda_id, "is_long": one.is_long,
                "starts_at": one.starts_at, "ends_at": one.ends_at, "is_floating": one.is_floating, "busy": one.busy,
            }
            for one in takings
        ]  # fmt: skip
        if len(rows) == 1:
            await PUT_ONE.run(tx, rows[0])
        else:
            await tx.execute(PUT, rows)


async def of_object(conn: Connection, object_id: UUID) -> list[Taking]:
    return [Taking(*row) for row in await conn.execute(TAKINGS, {"one": object_id})]


async def forget(tx: Tx, object_id: UUID) -> None:
    await tx.execute(FORGET, {"one": object_id})


async def met(conn: Connection, agenda_id: UUID, window: Window) -> dict[UUID, list[Taking]]:
    """Object → what of it lies in the window."""
    found: dict[UUID, list[Taking]] = {}
    for object_id, *rest in await conn.execute(MET, {"agenda": agenda_id, **_asked(window)}):
        if window.meets(rest[1], rest[2], is_floating=rest[3]):
            found.setdefault(object_id, []).append(Taking(*rest))
    return found


async def partly_expanded(conn: Connection, agenda_id: UUID, window: Window, limit: int, room: int) -> list[Stored]:
    """Objects that may take place in the window beyond what is written down of them: the smallest first, as many as `room` bytes hold."""
    asked = _asked(window)
    rows = list(await conn.execute(PARTLY, {"agenda": agenda_id, "after": asked["after"], "before": asked["before"], "at_most": limit}))
    ids = [row[0] for row in rows[: within([row[1] for row in rows], room)]]
    return [Stored(*row) for row in await conn.execute(WHOLE, {"ids": ids})] if ids else []


async def met_busy(conn: Connection, owner_id: UUID, start: int, end: int) -> list[tuple[UUID, Taking]]:
    """(agenda, instance) of all that may make the owner busy then."""
    asked = {"owner": owner_id, "after": start - FLOATING_SECONDS, "before": end + FLOATING_SECONDS}
    asked["earliest"] = start - FLOATING_SECONDS - LONG_SECONDS
    return [(agenda_id, Taking(*rest)) for agenda_id, *rest in await conn.execute(MET_BUSY, asked)]


async def busy_weeks(conn: Connection, owners: Iterable[UUID], first: int, last: int) -> dict[UUID, dict[int, bytes]]:
    """Owner → week → packed spans."""
    found: dict[UUID, dict[int, bytes]] = {}
    for owner_id, week, spans in await conn.execute(WEEKS, {"owners": list(owners), "first": first, "last": last}):
        found.setdefault(owner_id, {})[week] = spans
    return found


async def put_busy_weeks(tx: Tx, owner_id: UUID, weeks: Mapping[int, bytes]) -> None:
    rows = [{"owner_id": owner_id, "week": week, "spans": spans} for week, spans in weeks.items()]
    if len(rows) == 1:
        await PUT_WEEK.run(tx, rows[0])
    elif rows:
        await tx.execute(_put_week(tx.database.is_sqlite), rows)


@cache
def _put_week(is_sqlite: bool) -> sa.Insert:
    row = insert(busy_week, is_sqlite=is_sqlite)
    return row.on_conflict_do_update(index_elements=["owner_id", "week"], set_={"spans": row.excluded.spans})


PUT_WEEK = Driven(_put_week, [column.name for column in busy_week.c])


@cache
def _append_weeks(is_sqlite: bool) -> sa.Insert:
    return _append_week(is_sqlite)


def _append_week(is_sqlite: bool) -> sa.Insert:
    """Joined to what is there, not merged: whoever reads them merges. Bytes and bytes are text to SQLite, until they are told apart."""
    row = insert(busy_week, is_sqlite=is_sqlite)
    joined = sa.cast(busy_week.c.spans.op("||")(row.excluded.spans), sa.LargeBinary)
    return row.on_conflict_do_update(index_elements=["owner_id", "week"], set_={"spans": joined})


APPEND_WEEK = Driven(_append_week, [column.name for column in busy_week.c])


async def append_busy_weeks(tx: Tx, owner_id: UUID, weeks: Mapping[int, bytes]) -> None:
    """More spans, beside those that are there."""
    rows = [{"owner_id": owner_id, "week": week, "spans": spans} for week, spans in weeks.items()]
    if len(rows) == 1:
        await APPEND_WEEK.run(tx, rows[0])
    elif rows:
        await tx.execute(_append_weeks(tx.database.is_sqlite), rows)


async def own_weeks(conn: Connection, owner_id: UUID, first: int, last: int) -> dict[int, bytes]:
    """Of one owner: week → packed spans."""
    return {row[0]: row[1] for row in await conn.execute(OWN_WEEKS, {"owner": owner_id, "first": first, "last": last})}


async def due_for_expansion(conn: Connection, before: int, limit: int) -> list[tuple[UUID, UUID, UUID]]:
    """(object, agenda, owner) of those whose horizon comes near."""
    return [(row[0], row[1], row[2]) for row in await conn.execute(DUE, {"before": before, "at_most": limit})]


async def set_expanded(tx: Tx, object_id: UUID, first: int | None, until: int | None) -> None:
    await tx.execute(sa.update(object_).where(object_.c.id == object_id).values(expanded_from=first, expanded_until=until))


async def weeks_of(conn: Connection, owner_id: UUID) -> list[int]:
    """Those in which the owner has ever been busy."""
    return [row[0] for row in await conn.execute(sa.select(busy_week.c.week).where(busy_week.c.owner_id == owner_id))]


async def forget_weeks(tx: Tx, owner_id: UUID) -> None:
    await tx.execute(sa.delete(busy_week).where(busy_week.c.owner_id == owner_id))
