"""When many people are busy, and how much of it somebody may know: one query for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx, upsert

from parvis_calendar.rules.availability import DEFAULT, Opened, Privacy
from parvis_calendar.rules.windows import FLOATING_SECONDS, LONG_SECONDS
from parvis_calendar.store import agenda, busy_week, home, instance, privacy
from parvis_calendar.store.people import HERE, agent

MANY = (
    sa.select(agent.c.id, agent.c.ministry_id, privacy.c.level, busy_week.c.week, busy_week.c.spans)
    .select_from(
        agent.outerjoin(
            privacy, sa.and_(privacy.c.owner_id == agent.c.id, privacy.c.grantee_id == sa.bindparam("asker", type_=sa.Uuid))
        ).outerjoin(
            busy_week,
            sa.and_(busy_week.c.owner_id == agent.c.id, busy_week.c.week.between(sa.bindparam("first"), sa.bindparam("last"))),
        )
    )
    .where(agent.c.id.in_(sa.bindparam("asked", expanding=True)), HERE)
)
SHOWN = (
    sa.select(
        agenda.c.owner_id, instance.c.starts_at, instance.c.ends_at, instance.c.is_floating, agenda.c.zone, instance.c.busy,
        instance.c.object_id,
    )
    .join_from(instance, agenda, agenda.c.id == instance.c.agenda_id)
    .where(
        agenda.c.owner_id.in_(sa.bindparam("owners", expanding=True)), agenda.c.kind == "agenda", sa.not_(agenda.c.is_transparent),
        instance.c.busy > 0, instance.c.starts_at < sa.bindparam("before", type_=sa.BigInteger),
        instance.c.ends_at > sa.bindparam("after", type_=sa.BigInteger),
        sa.or_(instance.c.is_long, instance.c.starts_at > sa.bindparam("earliest", type_=sa.BigInteger)),
    )
    .order_by(agenda.c.owner_id)
    .limit(sa.bindparam("at_most"))
)  # fmt: skip
LEVEL = sa.select(privacy.c.level).where(
    privacy.c.owner_id == sa.bindparam("owner", type_=sa.Uuid), privacy.c.grantee_id == sa.bindparam("grantee", type_=sa.Uuid)
)
GIVEN = (
    sa.select(privacy.c.grantee_id, privacy.c.level)
    .where(privacy.c.owner_id == sa.bindparam("owner", type_=sa.Uuid), privacy.c.grantee_id > sa.bindparam("after", type_=sa.Uuid))
    .order_by(privacy.c.grantee_id)
    .limit(sa.bindparam("at_most"))
)
RECEIVED = (
    sa.select(privacy.c.owner_id, privacy.c.level)
    .join_from(privacy, home, home.c.owner_id == privacy.c.owner_id)
    .where(
        privacy.c.grantee_id == sa.bindparam("grantee", type_=sa.Uuid), privacy.c.owner_id > sa.bindparam("after", type_=sa.Uuid),
        home.c.ministry_id == sa.bindparam("ministry", type_=sa.Uuid), home.c.frozen_at.is_(None),
        privacy.c.level.in_(sa.bindparam("levels", expanding=True)),
    )
    .order_by(privacy.c.owner_id)
    .limit(sa.bindparam("at_most"))
)  # fmt: skip


class Shown(NamedTuple):
    """An occurrence of whom the asker may know what they do."""

    owner_id: UUID
    starts_at: int
    ends_at: int
    is_floating: bool
    zone: str
    busy: int
    object_id: UUID


@dataclass(slots=True)
class Seen:
    ministry_id: UUID
    level: str | None
    weeks: dict[int, bytes] = field(default_factory=dict)


async def busy_of(conn: Connection, asker_id: UUID, asked: Sequence[UUID], first: int, last: int) -> dict[UUID, Seen]:
    """Who is here, and their weeks."""
    found: dict[UUID, Seen] = {}
    for one, ministry_id, level, week, spans in await conn.execute(MANY, {"asker": asker_id, "asked": asked, "first": first, "last": last}):
        seen = found.get(one)
        if seen is None:
            seen = found[one] = Seen(ministry_id, level)
        if week is not None:
            seen.weeks[week] = spans
    return found


async def shown(conn: Connection, owners: Sequence[UUID], start: int, end: int, limit: int) -> list[Shown]:
    """Owner by owner."""
    asked = {"owners": owners, "before": end + FLOATING_SECONDS, "after": start - FLOATING_SECONDS, "at_most": limit}
    asked["earliest"] = start - FLOATING_SECONDS - LONG_SECONDS
    return [Shown(*row) for row in await conn.execute(SHOWN, asked)]


async def level_given(conn: Connection, owner_id: UUID, grantee_id: UUID) -> str | None:
    found: str | None = (await conn.execute(LEVEL, {"owner": owner_id, "grantee": grantee_id})).scalar_one_or_none()
    return found


async def given_by(conn: Connection, owner_id: UUID, after: UUID, limit: int) -> list[tuple[UUID, Privacy]]:
    """To whom, and what, by id."""
    return [(row[0], row[1]) for row in await conn.execute(GIVEN, {"owner": owner_id, "after": after, "at_most": limit})]


async def received_by(
    conn: Connection, grantee_id: UUID, ministry_id: UUID, levels: Sequence[Opened], after: UUID, limit: int
) -> list[tuple[UUID, Opened]]:
    """From which agents of this ministry who are here, and which of these levels, by id."""
    asked = {"grantee": grantee_id, "ministry": ministry_id, "levels": levels, "after": after, "at_most": limit}
    return [(row[0], row[1]) for row in await conn.execute(RECEIVED, asked)]


async def set_privacy(tx: Tx, owner_id: UUID, grantee_id: UUID, level: str) -> None:
    """What holds for whom nothing is said is not kept."""
    if level == DEFAULT:
        await tx.execute(sa.delete(privacy).where(privacy.c.owner_id == owner_id, privacy.c.grantee_id == grantee_id))
        return
    row = upsert(tx, privacy).values(owner_id=owner_id, grantee_id=grantee_id, level=level)
    await tx.execute(row.on_conflict_do_update(index_elements=["owner_id", "grantee_id"], set_={"level": level}))
