"""The SQL of onboarding: jobs, their lines, and agents by the hundred."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from parvis_kit.db import Connection, Tx

from parvis_directory.rules import Directorate, Person
from parvis_directory.rules.moves import today
from parvis_directory.rules.onboarding import Onboarding, Standing, Step
from parvis_directory.store import PERSON, agent, directorate, lockable, onboarding, onboarding_line
from parvis_directory.store.departures import departure
from parvis_directory.store.people import add_words, renew_words

JOB = tuple(onboarding.c[name] for name in Onboarding.__slots__)
STEP = tuple(onboarding_line.c[name] for name in Step.__slots__)
STANDING = (*PERSON, agent.c.external_id)
ONE_JOB = lockable(sa.select(*JOB).where(onboarding.c.id == sa.bindparam("one")))
JOBS = (
    sa.select(*JOB).where(onboarding.c.ministry_id == sa.bindparam("whose")).order_by(onboarding.c.id.desc()).limit(sa.bindparam("limit"))
)
JOBS_BEFORE = JOBS.where(onboarding.c.id < sa.bindparam("before"))
JOBS_IN = sa.select(onboarding.c.id, onboarding.c.digest).where(onboarding.c.state == sa.bindparam("state")).order_by(onboarding.c.id)
JOBS_OF_IN = JOBS_IN.where(onboarding.c.ministry_id == sa.bindparam("whose"))
STEPS = (
    sa.select(*STEP)
    .where(onboarding_line.c.onboarding_id == sa.bindparam("one"), onboarding_line.c.step > sa.bindparam("after"))
    .order_by(onboarding_line.c.step)
    .limit(sa.bindparam("limit"))
)
FINAL = sa.func.coalesce(onboarding_line.c.outcome, onboarding_line.c.verdict)
STEPS_OF_VERDICT = STEPS.where(FINAL == sa.bindparam("verdict"))
_left = sa.case((departure.c.settled_at.is_not(None), departure.c.left_at))
WANTED = (
    sa.select(*STANDING, _left)
    .outerjoin_from(agent, departure, departure.c.agent_id == agent.c.id)
    .where(
        agent.c.id.in_(
            sa.union_all(
                sa.select(agent.c.id).where(
                    agent.c.ministry_id == sa.bindparam("whose"), agent.c.external_id.in_(sa.bindparam("external_ids", expanding=True))
                ),
                sa.select(agent.c.id).where(agent.c.email.in_(sa.bindparam("emails", expanding=True))),
                sa.select(agent.c.id).where(agent.c.id.in_(sa.bindparam("agent_ids", expanding=True))),
            )
        )
    )
)
"""An index for each way; an OR of the three would read the whole table."""
WANTED_LOCKED = WANTED.order_by(agent.c.id).with_for_update(of=agent)
KNOWN = (
    sa.select(*STANDING)
    .where(
        agent.c.ministry_id == sa.bindparam("whose"), agent.c.id > sa.bindparam("after"), agent.c.external_id.is_not(None),
        agent.c.state != "left",
    )
    .order_by(agent.c.id)
    .limit(sa.bindparam("limit"))
)  # fmt: skip
ACTIVE = sa.select(sa.func.count()).select_from(agent).where(agent.c.ministry_id == sa.bindparam("whose"), agent.c.state != "left")
LAST_PEOPLE = (
    sa.select(onboarding.c.people)
    .where(onboarding.c.ministry_id == sa.bindparam("whose"), onboarding.c.state == "done", onboarding.c.complete)
    .order_by(onboarding.c.finished_at.desc())
    .limit(1)
)
PLAN_ANEW = sa.text("SET LOCAL plan_cache_mode = force_custom_plan")
CHANGED = ("email", "given_name", "family_name", "directorate_id", "kind", "expires_at", "external_id", "revision")
CHANGE_AGENT = sa.update(agent).where(agent.c.id == sa.bindparam("one")).values({name: sa.bindparam(f"new_{name}") for name in CHANGED})
SETTLE_STEP = (
    sa.update(onboarding_line)
    .where(onboarding_line.c.onboarding_id == sa.bindparam("job"), onboarding_line.c.step == sa.bindparam("at"))
    .values({name: sa.bindparam(f"new_{name}") for name in ("outcome", "code", "about", "agent_id")})
)
ADD_JOB, ADD_STEP, ADD_AGENT, ADD_DIRECTORATE = (sa.insert(one) for one in (onboarding, onboarding_line, agent, directorate))
CHANGE_JOB = sa.update(onboarding).where(onboarding.c.id == sa.bindparam("one"))
"""Sets the columns that are sent with it."""


async def add_job(tx: Tx, job: Onboarding, digest: str) -> None:
    values = {name: getattr(job, name) for name in Onboarding.__slots__}
    await tx.execute(ADD_JOB, values | {"digest": digest, "lease_owner": None, "lease_until": None})


async def add_steps(tx: Tx, onboarding_id: UUID, steps: Sequence[Step]) -> None:
    rows = [{"onboarding_id": onboarding_id} | {name: getattr(step, name) for name in Step.__slots__} for step in steps]
    await tx.execute(ADD_STEP, rows)


async def find_job(conn: Connection, onboarding_id: UUID, *, lock: bool = False) -> Onboarding | None:
    row = (await conn.execute(ONE_JOB[lock], {"one": onboarding_id})).one_or_none()
    return Onboarding(*row) if row else None


async def jobs_of(conn: Connection, ministry_id: UUID, before: UUID | None, limit: int) -> list[Onboarding]:
    """The newest first."""
    mine = {"whose": ministry_id, "limit": limit}
    rows = await (conn.execute(JOBS, mine) if before is None else conn.execute(JOBS_BEFORE, mine | {"before": before}))
    return [Onboarding(*row) for row in rows]


async def jobs_in(conn: Connection, state: str, ministry_id: UUID | None = None) -> list[tuple[UUID, str]]:
    """(id, digest of its file), the oldest first."""
    asked = {"state": state}
    rows = await (conn.execute(JOBS_IN, asked) if ministry_id is None else conn.execute(JOBS_OF_IN, asked | {"whose": ministry_id}))
    return [(row[0], row[1]) for row in rows]


IS_FREE = sa.or_(onboarding.c.lease_until.is_(None), onboarding.c.lease_until <= sa.bindparam("now"))
FREE = sa.select(onboarding.c.id).where(onboarding.c.state == "running", IS_FREE)
TAKE = (
    sa.update(onboarding)
    .where(
        onboarding.c.id == sa.bindparam("one"), onboarding.c.state == "running",
        sa.or_(onboarding.c.lease_owner == sa.bindparam("owner"), IS_FREE),
    )
    .values(lease_owner=sa.bindparam("owner"), lease_until=sa.bindparam("until"))
    .returning(*JOB)
)  # fmt: skip


async def jobs_free(conn: Connection, now: datetime) -> list[UUID]:
    """Those to be gone on with, that no runner holds."""
    return list((await conn.execute(FREE, {"now": now})).scalars())


async def jobs_to_forget(conn: Connection, drafted_before: datetime, finished_before: datetime) -> list[UUID]:
    """Whose lines have been kept for long enough, and are still there."""
    is_old = sa.or_(
        sa.and_(onboarding.c.state == "draft", onboarding.c.created_at < drafted_before),
        sa.and_(onboarding.c.state.in_(("done", "failed")), onboarding.c.finished_at < finished_before),
        onboarding.c.state == "discarded",
    )
    has_lines = sa.exists().where(onboarding_line.c.onboarding_id == onboarding.c.id)
    return list((await conn.execute(sa.select(onboarding.c.id).where(is_old, has_lines))).scalars())


async def plan_anew(tx: Tx) -> None:
    """For this transaction. A plan that PostgreSQL kept from when the ministry had ten agents reads the whole table for each piece."""
    if not tx.database.is_sqlite:
        await tx.execute(PLAN_ANEW)


async def take_lease(tx: Tx, onboarding_id: UUID, owner: str, now: datetime, until: datetime) -> Onboarding | None:
    """The job, locked and held until then; None when it does not run, or another holds it."""
    row = (await tx.execute(TAKE, {"one": onboarding_id, "owner": owner, "now": now, "until": until})).one_or_none()
    return Onboarding(*row) if row else None


async def change_job(tx: Tx, onboarding_id: UUID, **values: Any) -> None:
    """Its row is locked already."""
    await tx.execute(CHANGE_JOB, values | {"one": onboarding_id})


async def count_failure(tx: Tx, onboarding_id: UUID) -> int:
    """How many there are since the last piece that was done."""
    one_more = sa.func.coalesce(onboarding.c.failures, 0) + 1
    counted = sa.update(onboarding).where(onboarding.c.id == onboarding_id).values(failures=one_more).returning(onboarding.c.failures)
    return int((await tx.execute(counted)).scalar_one())


async def steps_after(conn: Connection, onboarding_id: UUID, after: int, limit: int, verdict: str | None = None) -> list[Step]:
    """In the file's order; of one verdict, what became of a line counts before what was planned for it."""
    wanted = {"one": onboarding_id, "after": after, "limit": limit}
    rows = await (conn.execute(STEPS, wanted) if verdict is None else conn.execute(STEPS_OF_VERDICT, wanted | {"verdict": verdict}))
    return [Step(*row) for row in rows]


async def settle_steps(tx: Tx, onboarding_id: UUID, steps: Sequence[Step]) -> None:
    rows = [
        {"job": onboarding_id, "at": one.step, "new_outcome": one.outcome, "new_code": one.code, "new_about": one.about,
         "new_agent_id": one.agent_id}
        for one in steps
    ]  # fmt: skip
    await tx.execute(SETTLE_STEP, rows)


async def forget_steps(tx: Tx, onboarding_id: UUID, limit: int) -> int:
    some = sa.select(onboarding_line.c.step).where(onboarding_line.c.onboarding_id == onboarding_id).limit(limit)
    gone = sa.delete(onboarding_line).where(onboarding_line.c.onboarding_id == onboarding_id, onboarding_line.c.step.in_(some))
    return int((await tx.execute(gone)).rowcount)


async def standings(
    conn: Connection, ministry_id: UUID, external_ids: Collection[str], emails: Collection[str], agent_ids: Collection[UUID] = (),
    *, zone: ZoneInfo, lock: bool = False,
) -> list[Standing]:  # fmt: skip
    """Whoever has one of these identifiers in this ministry, one of these e-mails anywhere, or one of these ids."""
    wanted = {"whose": ministry_id, "external_ids": list(external_ids), "emails": list(emails), "agent_ids": list(agent_ids)}
    rows = await conn.execute(WANTED_LOCKED if lock else WANTED, wanted)
    return [Standing(Person(*row[:-2]), row[-2], today(row[-1], zone) if row[-1] else None) for row in rows]


async def known_agents(conn: Connection, ministry_id: UUID, after: UUID, limit: int) -> list[Standing]:
    """Those whom a file has brought, and whose accounts are not closed."""
    rows = await conn.execute(KNOWN, {"whose": ministry_id, "after": after, "limit": limit})
    return [Standing(Person(*row[:-1]), row[-1]) for row in rows]


async def active_agents(conn: Connection, ministry_id: UUID) -> int:
    return int((await conn.execute(ACTIVE, {"whose": ministry_id})).scalar_one())


async def previous_people(conn: Connection, ministry_id: UUID) -> int | None:
    """How many the ministry's last complete file had."""
    return (await conn.execute(LAST_PEOPLE, {"whose": ministry_id})).scalar_one_or_none()


async def add_agents(tx: Tx, people: Sequence[tuple[Person, str]]) -> None:
    """(person, external id) each."""
    rows = [
        {name: getattr(person, name) for name in Person.__slots__} | {"external_id": external_id, "password": None}
        for person, external_id in people
    ]
    await tx.execute(ADD_AGENT, rows)
    await add_words(tx, [person for person, _ in people])


async def change_agents(tx: Tx, changed: Sequence[Standing]) -> None:
    """Their rows are locked already, and hold what they shall be."""
    rows = [
        {"one": one.person.id, "new_external_id": one.external_id}
        | {f"new_{name}": getattr(one.person, name) for name in CHANGED if name != "external_id"}
        for one in changed
    ]
    await tx.execute(CHANGE_AGENT, rows)
    await renew_words(tx, [one.person for one in changed])


async def add_directorates(tx: Tx, units: Sequence[Directorate]) -> None:
    await tx.execute(ADD_DIRECTORATE, [{name: getattr(one, name) for name in Directorate.__slots__} for one in units])
