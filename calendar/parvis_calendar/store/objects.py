"""Objects in agendas: their octets as they came, under their names; and what was deleted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert_by
from parvis_kit.db.driven import Driven

from parvis_calendar.rules.agendas import Agenda, Change, Listed, Stored
from parvis_calendar.rules.budgets import within
from parvis_calendar.store import agenda, home, object_, tombstone
from parvis_calendar.store.agendas import AGENDA as AGENDA_COLUMNS

NAMES_AT_ONCE = 500
"""In one IN (…): each is a parameter."""
LISTED = (
    object_.c.id, object_.c.name, object_.c.etag, object_.c.size_bytes, object_.c.component, object_.c.schedule_tag, object_.c.seq,
    object_.c.created_at, object_.c.modified_at,
)  # fmt: skip
STORED = (*LISTED, object_.c.uid, object_.c.octets)
AGENDA = sa.bindparam("agenda", type_=sa.Uuid)
ONE = sa.bindparam("one", type_=sa.Uuid)
FIND = sa.select(*STORED).where(object_.c.agenda_id == AGENDA, object_.c.name == sa.bindparam("named"))
FIND_IN_NAMED = (
    sa.select(*AGENDA_COLUMNS, *STORED)
    .join_from(agenda, home, home.c.owner_id == agenda.c.owner_id)
    .outerjoin(object_, sa.and_(object_.c.agenda_id == agenda.c.id, object_.c.name == sa.bindparam("named")))
    .where(agenda.c.owner_id == sa.bindparam("owner", type_=sa.Uuid), agenda.c.name == sa.bindparam("of_agenda"))
)
FIND_UID = sa.select(*STORED).where(object_.c.agenda_id == AGENDA, object_.c.uid == sa.bindparam("of_uid"))
FIND_EITHER = sa.select(*STORED).where(
    object_.c.agenda_id == AGENDA, sa.or_(object_.c.name == sa.bindparam("named"), object_.c.uid == sa.bindparam("of_uid"))
)
IN_AGENDA = sa.select(*LISTED).where(object_.c.agenda_id == AGENDA).order_by(object_.c.seq).limit(sa.bindparam("at_most"))
SHARED = (*LISTED, object_.c.uid, sa.case((object_.c.size_bytes <= sa.bindparam("share", type_=sa.Integer), object_.c.octets)))
"""With the octets of those that are not larger than their share of the room: one question does for nearly all."""
NAMED = sa.select(*SHARED).where(object_.c.agenda_id == AGENDA, object_.c.name.in_(sa.bindparam("names", expanding=True)))
BY_ID = sa.select(*SHARED).where(object_.c.id.in_(sa.bindparam("ids", expanding=True)))
WHOLE = sa.select(*STORED).where(object_.c.id.in_(sa.bindparam("ids", expanding=True)))
SINCE = (
    sa.select(*LISTED)
    .where(object_.c.agenda_id == AGENDA, object_.c.seq > sa.bindparam("seq", type_=sa.BigInteger))
    .order_by(object_.c.seq)
    .limit(sa.bindparam("at_most"))
)
GONE_SINCE = (
    sa.select(tombstone.c.name, tombstone.c.seq)
    .where(
        tombstone.c.agenda_id == AGENDA,
        tombstone.c.seq > sa.bindparam("seq", type_=sa.BigInteger),
        ~sa.exists().where(object_.c.agenda_id == tombstone.c.agenda_id, object_.c.name == tombstone.c.name),
    )
    .order_by(tombstone.c.seq)
    .limit(sa.bindparam("at_most"))
)
ADD = Driven(lambda _: sa.insert(object_), [column.name for column in object_.c])
REPLACED = ("octets", "etag", "size_bytes", "schedule_tag", "seq", "modified_at", "starts_at", "ends_at", "recurs", "expanded_from")
REPLACE = (
    sa.update(object_)
    .where(object_.c.id == ONE)
    .values({name: sa.bindparam(f"new_{name}") for name in (*REPLACED, "expanded_until", "component")})
)
DELETE = sa.delete(object_).where(object_.c.id == ONE)
BYTES = (
    sa.select(sa.func.coalesce(sa.func.sum(object_.c.size_bytes), 0))
    .join_from(object_, agenda, agenda.c.id == object_.c.agenda_id)
    .where(agenda.c.owner_id == sa.bindparam("owner", type_=sa.Uuid))
)


async def find(conn: Connection, agenda_id: UUID, name: str) -> Stored | None:
    row = (await conn.execute(FIND, {"agenda": agenda_id, "named": name})).one_or_none()
    return None if row is None else Stored(*row)


async def find_in_named(conn: Connection, owner_id: UUID, agenda_name: str, name: str) -> tuple[Agenda, Stored | None] | None:
    """An agenda by its name, and in the same question what has a name in it."""
    row = (await conn.execute(FIND_IN_NAMED, {"owner": owner_id, "of_agenda": agenda_name, "named": name})).one_or_none()
    if row is None:
        return None
    split = len(AGENDA_COLUMNS)
    return Agenda(*row[:split]), Stored(*row[split:]) if row[split] is not None else None


async def find_uid(conn: Connection, agenda_id: UUID, uid: str) -> Stored | None:
    row = (await conn.execute(FIND_UID, {"agenda": agenda_id, "of_uid": uid})).one_or_none()
    return None if row is None else Stored(*row)


async def find_either(conn: Connection, agenda_id: UUID, name: str, uid: str) -> tuple[Stored | None, Stored | None]:
    """What has this name, and what has this UID; the same when all is well."""
    found = [Stored(*row) for row in await conn.execute(FIND_EITHER, {"agenda": agenda_id, "named": name, "of_uid": uid})]
    return next((one for one in found if one.name == name), None), next((one for one in found if one.uid == uid), None)


async def listed(conn: Connection, agenda_id: UUID, limit: int) -> list[Listed]:
    return [Listed(*row) for row in await conn.execute(IN_AGENDA, {"agenda": agenda_id, "at_most": limit})]


async def scheduled(conn: Connection, agenda_id: UUID, now: int, limit: int) -> list[UUID]:
    """Meetings that are not over: whoever sends or answers invitations keeps a schedule tag."""
    to_come = sa.or_(object_.c.recurs, object_.c.ends_at.is_(None), object_.c.ends_at > now)
    query = sa.select(object_.c.id).where(object_.c.agenda_id == agenda_id, object_.c.schedule_tag.is_not(None), to_come)
    return list((await conn.execute(query.order_by(object_.c.seq).limit(limit))).scalars())


async def named(conn: Connection, agenda_id: UUID, names: Sequence[str], room: int) -> tuple[list[Stored], list[Listed]]:
    """As `by_ids`."""
    rows: list[Any] = []
    for start in range(0, len(names), NAMES_AT_ONCE):
        some = list(names[start : start + NAMES_AT_ONCE])
        rows += await conn.execute(NAMED, {"agenda": agenda_id, "names": some, "share": room // len(names)})
    return await _with_octets(conn, rows, room)


async def by_ids(conn: Connection, ids: Sequence[UUID], room: int) -> tuple[list[Stored], list[Listed]]:
    """As many as `room` bytes hold, one in any case; and the others, without their octets."""
    rows: list[Any] = []
    for start in range(0, len(ids), NAMES_AT_ONCE):
        rows += await conn.execute(BY_ID, {"ids": list(ids[start : start + NAMES_AT_ONCE]), "share": room // len(ids)})
    return await _with_octets(conn, rows, room)


async def _with_octets(conn: Connection, rows: Sequence[Any], room: int) -> tuple[list[Stored], list[Listed]]:
    """Those that came without, as they are larger than their share, are read again, as far as there is room."""
    count = within([row[3] for row in rows], room)
    found = [Stored(*row) for row in rows[:count] if row[-1] is not None]
    large = [row[0] for row in rows[:count] if row[-1] is None]
    for start in range(0, len(large), NAMES_AT_ONCE):
        found += [Stored(*row) for row in await conn.execute(WHOLE, {"ids": large[start : start + NAMES_AT_ONCE]})]
    return found, [Listed(*row[: len(LISTED)]) for row in rows[count:]]


async def changes(conn: Connection, agenda_id: UUID, after: int, limit: int, *, with_gone: bool) -> list[Change]:
    """In the order in which they were made."""
    asked = {"agenda": agenda_id, "seq": after, "at_most": limit}
    found = [Change(row[1], row[6], Listed(*row)) for row in await conn.execute(SINCE, asked)]
    if with_gone:
        found += [Change(name, seq, None) for name, seq in await conn.execute(GONE_SINCE, asked)]
        found.sort(key=lambda one: one.seq)
    return found[:limit]


async def bytes_in_home(conn: Connection, owner_id: UUID) -> int:
    """Of all objects in it."""
    return int((await conn.execute(BYTES, {"owner": owner_id})).scalar_one())


async def add(tx: Tx, one: dict[str, Any]) -> None:
    """The home is locked. A name that was deleted lives again: its tombstone is passed over as long as it does."""
    await ADD.run(tx, one)


async def replace(tx: Tx, object_id: UUID, values: dict[str, Any]) -> None:
    await tx.execute(REPLACE, {"one": object_id, **{f"new_{name}": value for name, value in values.items()}})


async def delete(tx: Tx, agenda_id: UUID, object_id: UUID, name: str, seq: int, at: datetime) -> None:
    await tx.execute(DELETE, {"one": object_id})
    died = {"agenda_id": agenda_id, "name": name, "seq": seq, "at": at}
    await tx.execute(upsert_by(tx, tombstone, ("agenda_id", "name"), ("seq", "at")), died)


_of_component = object_.c.agenda_id == AGENDA, object_.c.component == sa.bindparam("of_component")
OF_COMPONENT = sa.select(*SHARED).where(*_of_component).order_by(object_.c.seq).limit(sa.bindparam("at_most"))
LISTED_OF_COMPONENT = sa.select(*LISTED).where(*_of_component).order_by(object_.c.seq).limit(sa.bindparam("at_most"))
IDS_OF_COMPONENT = sa.select(object_.c.id).where(*_of_component).order_by(object_.c.seq).limit(sa.bindparam("at_most"))
IDS_IN = sa.select(object_.c.id).where(object_.c.agenda_id == AGENDA).order_by(object_.c.seq).limit(sa.bindparam("at_most"))
LISTED_BY_ID = sa.select(*LISTED).where(object_.c.id.in_(sa.bindparam("ids", expanding=True)))
ID_OF_UID = sa.select(object_.c.id).where(object_.c.agenda_id == AGENDA, object_.c.uid == sa.bindparam("of_uid"))
IDS_HOLDING = (
    sa.select(object_.c.id)
    .where(object_.c.agenda_id == AGENDA, sa.func.lower(object_.c.uid).contains(sa.bindparam("text"), escape="/"))
    .limit(sa.bindparam("at_most"))
)


async def of_component(conn: Connection, agenda_id: UUID, component: str, limit: int, room: int) -> tuple[list[Stored], list[Listed]]:
    """As `by_ids`."""
    asked = {"agenda": agenda_id, "of_component": component, "at_most": limit, "share": room // limit}
    return await _with_octets(conn, list(await conn.execute(OF_COMPONENT, asked)), room)


async def listed_of_component(conn: Connection, agenda_id: UUID, component: str, limit: int) -> list[Listed]:
    asked = {"agenda": agenda_id, "of_component": component, "at_most": limit}
    return [Listed(*row) for row in await conn.execute(LISTED_OF_COMPONENT, asked)]


async def listed_by_ids(conn: Connection, ids: Sequence[UUID]) -> list[Listed]:
    found: list[Listed] = []
    for start in range(0, len(ids), NAMES_AT_ONCE):
        found += [Listed(*row) for row in await conn.execute(LISTED_BY_ID, {"ids": ids[start : start + NAMES_AT_ONCE]})]
    return found


async def ids_in(conn: Connection, agenda_id: UUID, limit: int, component: str | None = None) -> list[UUID]:
    asked = {"agenda": agenda_id, "at_most": limit}
    read = conn.execute(IDS_IN, asked) if component is None else conn.execute(IDS_OF_COMPONENT, asked | {"of_component": component})
    return [row[0] for row in await read]


async def ids_with_uid(conn: Connection, agenda_id: UUID, text: str, limit: int) -> list[UUID]:
    """Whose UID holds the text, whatever its capitals: whoever asks looks closely."""
    exact = [row[0] for row in await conn.execute(ID_OF_UID, {"agenda": agenda_id, "of_uid": text})]
    literally = text.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    holding = await conn.execute(IDS_HOLDING, {"agenda": agenda_id, "text": literally, "at_most": limit})
    return list(dict.fromkeys([*exact, *(row[0] for row in holding)]))
