"""A ministry's file before its confirmation: judged line by line, kept as a draft, confirmed or discarded."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit import audit
from parvis_kit.db import Connection, Database, Tx
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict, Invalid
from parvis_kit.text import fold

from parvis_directory import queries, rules, store
from parvis_directory.actions.ministries import say_ministry
from parvis_directory.rules import Asker, Directorate
from parvis_directory.rules import onboarding as policy
from parvis_directory.rules import roster as reader
from parvis_directory.rules.domains import domain_of
from parvis_directory.rules.moves import check_open, today
from parvis_directory.rules.onboarding import Elsewhere, Judged, Onboarding, Step
from parvis_directory.rules.roster import Entry, Line, Roster
from parvis_directory.store import domains, moves
from parvis_directory.store import onboardings as jobs

PIECE = 500
"""Lines looked up by one query, and written by one statement."""


@dataclass(frozen=True, slots=True)
class Plan:
    job: Onboarding
    digest: str
    steps: list[Step]


def digest_of_file(raw: bytes, complete: bool) -> str:
    return sha256(raw + b"\n%d" % complete).hexdigest()


async def plan_onboarding(
    database: Database, asker: Asker, ministry_id: UUID, raw: bytes, *, complete: bool, zone: ZoneInfo, now: datetime
) -> Plan:
    """What the file would do; nothing is written. Raises NotFound, Forbidden, TooLarge, Invalid when it cannot be read."""
    async with database.read() as conn:
        await queries.ministry_for(conn, asker, ministry_id)
    rules.check_may_change(asker, ministry_id)
    read = await asyncio.to_thread(reader.read, raw)  # seconds, for a hundred thousand lines
    async with database.read() as conn:
        known = {fold(one.name): one.id for one in await store.directorates_of(conn, ministry_id)}
        new = new_directorates(read, known)
        units = known | dict.fromkeys(map(fold, new), policy.NOT_YET_MADE)
        steps: list[Step] = []
        ends_soon = 0
        for first in range(0, len(read.lines), PIECE):
            some, soon = await plan_lines(conn, read.lines[first : first + PIECE], read, ministry_id, units, asker, zone, now)
            steps += some
            ends_soon += soon
        if complete:
            steps += await plan_absent(conn, read, ministry_id, asker)
        previous, active = await jobs.previous_people(conn, ministry_id), await jobs.active_agents(conn, ministry_id)
    for number, step in enumerate(steps, 1):
        step.step = number
    job = Onboarding(
        new_id(), ministry_id, "draft", complete, asker.id, now, None, None, None, read.encoding, read.separator, read.header.titles,
        read.header.ignored, new, read.people, previous, active, len(steps), 0, policy.counted(step.verdict for step in steps), {}, None,
        ends_soon,
    )  # fmt: skip
    return Plan(job, digest_of_file(raw, complete), steps)


def new_directorates(read: Roster, known: dict[str, UUID]) -> list[str]:
    """As they are first written. Raises Invalid when a ministry would have too many."""
    named: dict[str, str] = {}
    for line in read.lines:
        if line.entry is not None and line.entry.directorate and fold(line.entry.directorate) not in known:
            named.setdefault(fold(line.entry.directorate), line.entry.directorate)
    if len(named) + len(known) > policy.DIRECTORATES_MAX:
        raise Invalid(
            f"The file names {len(named)} directorates that are not there yet; a ministry has at most {policy.DIRECTORATES_MAX}. "
            "Is that column something else?"
        )
    return list(named.values())


async def plan_lines(
    conn: Connection,
    lines: Sequence[Line],
    read: Roster,
    ministry_id: UUID,
    units: dict[str, UUID],
    asker: Asker,
    zone: ZoneInfo,
    now: datetime,
) -> tuple[list[Step], int]:
    """And of how many the end comes near."""
    entries = [line.entry for line in lines if line.entry is not None]
    standings = await jobs.standings(conn, ministry_id, [one.external_id for one in entries], [one.email for one in entries], zone=zone)
    elsewhere = await elsewhere_of(conn, ministry_id, entries)
    judged = iter(policy.judge_all(entries, standings, ministry_id, units, today(now, zone), elsewhere))
    steps, ends_soon = [], 0
    for line in lines:
        step = Step(0, line.number, "reject", line.code, line.about, read.header.cell("external_id", line.cells), None, line.cells, None)
        if line.code == "repeated":
            step.verdict = "repeated"
        elif line.entry is not None:
            found, standing = next(judged)
            found = policy.spare_oneself(found, standing, [asker.id], line.number)
            step.verdict, step.code, step.about = found.verdict, found.code, found.about
            step.agent_id = standing.person.id if standing and found.verdict != "reject" else None
            ends_soon += policy.brings_end_near(found, standing, now)
        steps.append(step)
    return steps, ends_soon


async def elsewhere_of(conn: Connection, ministry_id: UUID, entries: Collection[Entry]) -> Elsewhere:
    """What these lines may not name, since it is another ministry's."""
    gone = {fold(one.name) for one in await store.directorates_of(conn, ministry_id) if one.succeeded_by is not None}
    foreign = await domains.domains_of_others(conn, ministry_id, {domain_of(one.email) for one in entries})
    return Elsewhere(frozenset(foreign), frozenset(gone))


async def plan_absent(conn: Connection, read: Roster, ministry_id: UUID, asker: Asker) -> list[Step]:
    """A step for each agent whom a file brought once, and whom this one does not mention in any way."""
    mentioned = policy.mentioned_in(read.header, read.lines)
    steps: list[Step] = []
    after = queries.START
    while page := await jobs.known_agents(conn, ministry_id, after, PIECE):
        for one in (one for one in page if not mentioned.holds(one)):
            found = policy.spare_oneself(Judged("deactivate", "missing"), one, [asker.id], None)
            steps.append(Step(0, None, found.verdict, found.code, "", one.external_id, one.person.id, None, None))
        after = page[-1].person.id
    return steps


async def keep_plan(tx: Tx, asker: Asker, plan: Plan, *, now: datetime) -> Onboarding:
    """As a draft, to be confirmed. Raises Conflict when the ministry has too many, or a file at work."""
    await queries.ministry_for(tx, asker, plan.job.ministry_id, lock=True)
    await refuse_beside_running(tx, plan.job.ministry_id)
    if len(await jobs.jobs_in(tx, "draft", plan.job.ministry_id)) >= policy.DRAFTS_MAX:
        raise Conflict(f"The ministry has {policy.DRAFTS_MAX} dry runs that wait: confirm or discard one first.")
    await jobs.add_job(tx, plan.job, plan.digest)
    for first in range(0, len(plan.steps), PIECE):
        await jobs.add_steps(tx, plan.job.id, plan.steps[first : first + PIECE])
    await audit.record(tx, who=asker.who, what="onboarding.draft", on=plan.job.id, ministry=plan.job.ministry_id, at=now)
    return plan.job


async def refuse_beside_running(tx: Tx, ministry_id: UUID) -> None:
    """Raises Conflict. The ministry's row is locked."""
    if running := await jobs.jobs_in(tx, "running", ministry_id):
        raise Conflict(f"A file of this ministry is being worked through: {running[0][0]}. Wait for its end, then send the file.")


async def confirm_onboarding(
    tx: Tx, asker: Asker, onboarding_id: UUID, *, accept_deactivations: bool, deactivations: int | None, now: datetime
) -> Onboarding:
    """From here on it is worked through. Raises NotFound, Forbidden, Conflict."""
    job = await queries.onboarding_for(tx, asker, onboarding_id)
    ministry = await queries.ministry_for(tx, asker, job.ministry_id, lock=True)
    job = await queries.onboarding_for(tx, asker, onboarding_id, lock=True)
    check_open(ministry.closed_at)
    if await moves.is_merging(tx, ministry.id):
        raise Conflict("This ministry is merging into another one: its agents go there first.")
    policy.check_confirmation(job, accept_deactivations, deactivations, now)
    await refuse_beside_running(tx, ministry.id)
    known = {fold(one.name) for one in await store.directorates_of(tx, ministry.id)}
    if made := [Directorate(new_id(), ministry.id, name, None) for name in job.new_directorates if fold(name) not in known]:
        await jobs.add_directorates(tx, made)
        for one in made:
            await audit.record(tx, who=asker.who, what="directorate.create", on=one.id, ministry=ministry.id, at=now)
        await say_ministry(tx, ministry, now)
    await jobs.change_job(tx, job.id, state="running", confirmed_by=asker.id, confirmed_at=now)
    await audit.record(tx, who=asker.who, what="onboarding.confirm", on=job.id, ministry=job.ministry_id, at=now)
    job.state, job.confirmed_by, job.confirmed_at = "running", asker.id, now
    return job


async def discard_onboarding(tx: Tx, asker: Asker, onboarding_id: UUID, *, now: datetime) -> None:
    """A draft that nobody wants, or a file that failed. Raises NotFound, Forbidden, Conflict."""
    job = await queries.onboarding_for(tx, asker, onboarding_id, lock=True)
    if job.state not in ("draft", "failed", "discarded"):
        raise Conflict(f"This file is {job.state}: a draft is discarded, or one that failed.")
    await jobs.change_job(tx, job.id, state="discarded")
    await audit.record(tx, who=asker.who, what="onboarding.discard", on=job.id, ministry=job.ministry_id, at=now)


async def forget_onboardings(database: Database, *, now: datetime) -> int:
    """Lines that have been kept for long enough go, in pieces; how many there were."""
    async with database.read() as conn:
        old = await jobs.jobs_to_forget(conn, now - policy.DRAFT_LIFE, now - policy.LINES_LIFE)
    gone = 0
    for onboarding_id in old:
        async with database.transaction() as tx:
            job = await jobs.find_job(tx, onboarding_id, lock=True)
            if job is not None and job.state == "draft":
                await jobs.change_job(tx, onboarding_id, state="discarded")
        while True:
            async with database.transaction() as tx:
                some = await jobs.forget_steps(tx, onboarding_id, PIECE)
            gone += some
            if some < PIECE:
                break
    return gone
