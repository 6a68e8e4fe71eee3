"""Uploads: where each stands, and which of them wait for somebody to drive them on."""

from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx
from parvis_kit.db.driven import Driven

from parvis_files.rules.uploads import OPEN, Upload
from parvis_files.store import upload

UPLOAD = tuple(upload.c[name] for name in Upload.__slots__)
ONE_UPLOAD = sa.select(*UPLOAD).where(upload.c.id == sa.bindparam("one"))
LOCKED_UPLOAD = ONE_UPLOAD.with_for_update()
ADD = Driven(lambda _: sa.insert(upload), list(Upload.__slots__))
DUE_MAX = 20
"""Claimed at once by one process; the next look takes more."""
FORGOTTEN_MAX = 1_000


async def add_upload(tx: Tx, one: Upload) -> None:
    await ADD.run(tx, {name: getattr(one, name) for name in Upload.__slots__})


async def find_upload(conn: Connection, upload_id: UUID, *, lock: bool = False) -> Upload | None:
    row = (await conn.execute(LOCKED_UPLOAD if lock else ONE_UPLOAD, {"one": upload_id})).one_or_none()
    return Upload(*row) if row else None


async def change_upload(tx: Tx, one: Upload, now: datetime, **values: Any) -> Upload:
    """Its row is locked."""
    values["changed_at"] = now
    return Upload(*(await tx.execute(_change(tuple(values)), {"one": one.id, **values})).one())


@cache
def _change(names: tuple[str, ...]) -> sa.Executable:
    changed = sa.update(upload).where(upload.c.id == sa.bindparam("one")).values({name: sa.bindparam(name) for name in names})
    return changed.returning(*UPLOAD)


OPENED = (
    sa.update(upload)
    .where(upload.c.id == sa.bindparam("one"), upload.c.state == "intent")
    .values(
        state="uploading", reference=sa.bindparam("named"), deadline=sa.bindparam("until", type_=upload.c.deadline.type),
        changed_at=sa.bindparam("now", type_=upload.c.changed_at.type),
    )
    .returning(*UPLOAD)
)  # fmt: skip


async def mark_uploading(tx: Tx, upload_id: UUID, reference: str | None, deadline: datetime, now: datetime) -> Upload | None:
    """None when it is an intent no more."""
    asked = {"one": upload_id, "named": reference, "until": deadline, "now": now}
    row = (await tx.execute(OPENED, asked)).one_or_none()
    return Upload(*row) if row else None


CHANGED_BY_COMMIT = ("state", "file_id", "version_id", "changed_at")
COMMITTED = Driven(
    lambda _: sa.update(upload).where(upload.c.id == sa.bindparam("one")).values({name: sa.bindparam(name) for name in CHANGED_BY_COMMIT})
)


async def mark_committed(tx: Tx, one: Upload, file_id: UUID, version_id: UUID, now: datetime) -> Upload:
    """Its row is locked."""
    done = replace(one, state="committed", file_id=file_id, version_id=version_id, changed_at=now)
    await COMMITTED.run(tx, {"one": done.id} | {name: getattr(done, name) for name in CHANGED_BY_COMMIT})
    return done


KEEP = sa.update(upload).where(upload.c.id == sa.bindparam("one"), upload.c.state.in_(OPEN)).values(deadline=sa.bindparam("until"))


async def keep(tx: Tx, upload_id: UUID, deadline: datetime) -> bool:
    """Give it more time; False when it is open no more."""
    return bool((await tx.execute(KEEP, {"one": upload_id, "until": deadline})).rowcount)


DUE = (
    sa.select(upload.c.id)
    .where(upload.c.deadline <= sa.bindparam("now"), upload.c.state.in_(OPEN))
    .order_by(upload.c.deadline)
    .limit(DUE_MAX)
)
CLAIM = (
    sa.update(upload)
    .where(upload.c.id.in_(DUE.with_for_update(skip_locked=True)))
    .values(deadline=sa.bindparam("until"))
    .returning(*UPLOAD)
)


async def is_any_due(conn: Connection, now: datetime) -> bool:
    """Asked every second: it takes no lock."""
    return (await conn.execute(DUE, {"now": now})).first() is not None


async def claim_due(tx: Tx, now: datetime, until: datetime) -> list[Upload]:
    """Those whose time is over, and nobody else's until then."""
    return [Upload(*row) for row in await tx.execute(CLAIM, {"now": now, "until": until})]


MINE = sa.select(*UPLOAD).where(upload.c.agent_id == sa.bindparam("agent")).order_by(upload.c.id.desc()).limit(sa.bindparam("limit"))
MINE_BEFORE = MINE.where(upload.c.id < sa.bindparam("before"))


async def uploads_of(conn: Connection, agent_id: UUID, before: UUID | None, limit: int) -> list[Upload]:
    """The newest first."""
    asked: dict[str, Any] = {"agent": agent_id, "limit": limit}
    rows = await (conn.execute(MINE, asked) if before is None else conn.execute(MINE_BEFORE, asked | {"before": before}))
    return [Upload(*row) for row in rows]


async def lock_open_uploads_of(tx: Tx, agent_id: UUID) -> list[Upload]:
    """All of them before anything else is locked."""
    mine = sa.select(*UPLOAD).where(upload.c.agent_id == agent_id, upload.c.state.in_(OPEN)).order_by(upload.c.id)
    return [Upload(*row) for row in await tx.execute(mine.with_for_update())]


async def forget_done(tx: Tx, before: datetime) -> int:
    old = sa.select(upload.c.id).where(upload.c.state.not_in(OPEN), upload.c.changed_at < before).limit(FORGOTTEN_MAX)
    return int((await tx.execute(sa.delete(upload).where(upload.c.id.in_(old)))).rowcount)


STATES = sa.select(upload.c.state, sa.func.count()).where(upload.c.state.in_(OPEN)).group_by(upload.c.state)


async def states(conn: Connection) -> dict[str, int]:
    """How many stand in each state that is not the end."""
    return {state: count for state, count in await conn.execute(STATES)}
