"""A confirmed file worked through in pieces, each a transaction that also says how far it came: interrupted anywhere, it goes on there."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_contracts.directory import AgentJoined, AgentMoved, OnboardingCompleted
from parvis_kit import audit
from parvis_kit.background import FAILURES
from parvis_kit.clock import Clock
from parvis_kit.context import acting_as
from parvis_kit.db import Database, Tx, unique_violation
from parvis_kit.events import publish
from parvis_kit.failpoints import reach
from parvis_kit.ids import new_id
from parvis_kit.problems import Unavailable
from parvis_kit.text import fold
from sqlalchemy.exc import IntegrityError

from parvis_directory import store
from parvis_directory.actions.agents import agent_state, give_up, let_go
from parvis_directory.actions.onboarding_plans import elsewhere_of
from parvis_directory.rules import Asker, Person
from parvis_directory.rules import onboarding as policy
from parvis_directory.rules import roster as reader
from parvis_directory.rules.columns import places_of
from parvis_directory.rules.moves import today
from parvis_directory.rules.onboarding import Judged, Onboarding, Standing, Step
from parvis_directory.store import onboardings as jobs

PIECE = 100
"""Steps of one transaction: 30 ms, for which others wait at the most."""
ATTEMPTS_MAX = 3
"""Somebody who takes a line's e-mail at the same moment is met at the next look."""

log = logging.getLogger(__name__)


async def run_onboardings(database: Database, clock: Clock, zone: ZoneInfo) -> None:
    """Go on with every confirmed file that nobody works at, to its end."""
    async with database.read() as conn:
        free = await jobs.jobs_free(conn, clock())
    owner = str(new_id())
    for onboarding_id in free:
        while await advance_onboarding(database, onboarding_id, owner, clock, zone):
            pass


async def advance_onboarding(database: Database, onboarding_id: UUID, owner: str, clock: Clock, zone: ZoneInfo) -> bool:
    """One piece; whether there is more to do for this owner. Two who try at once do no piece twice: the job's row is theirs in turn.

    A piece that fails is tried again a lease later, and other files go on meanwhile. Raises Unavailable.
    """
    try:
        return await _next_piece(database, onboarding_id, owner, clock, zone)
    except Unavailable:  # a database that is away is no fault of this file
        raise
    except Exception as error:  # whatever this file trips over, it is no other ministry's
        log.exception("onboarding %s: a piece failed", onboarding_id)
        FAILURES.labels("directory.onboardings").inc()
        async with database.transaction() as tx:
            await note_failure(tx, onboarding_id, error, clock())
        return False


async def _next_piece(database: Database, onboarding_id: UUID, owner: str, clock: Clock, zone: ZoneInfo) -> bool:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            async with database.transaction() as tx:
                now = clock()
                job = await jobs.take_lease(tx, onboarding_id, owner, now, now + policy.LEASE)
                return job is not None and await do_piece(tx, job, zone, now)
        except IntegrityError as error:
            if attempt == ATTEMPTS_MAX or not unique_violation(error):
                raise
            log.info("onboarding %s: an e-mail was taken meanwhile; its piece is judged again", onboarding_id)
    return False


async def note_failure(tx: Tx, onboarding_id: UUID, error: Exception, now: datetime) -> None:
    """Nobody takes it up for a lease; after too many in a row, nobody at all."""
    job = await jobs.find_job(tx, onboarding_id, lock=True)
    if job is None or job.state != "running":
        return
    if await jobs.count_failure(tx, job.id) < policy.FAILURES_MAX:
        await jobs.change_job(tx, job.id, lease_owner=None, lease_until=now + policy.LEASE)
        return
    why = policy.why_failed(job, error)
    await jobs.change_job(tx, job.id, state="failed", finished_at=now, failed_why=why, lease_owner=None, lease_until=None)
    await audit.record(
        tx, who=job.confirmed_by, what="onboarding.fail", on=job.id, ministry=job.ministry_id, at=now, decision="failed", why=why
    )


async def do_piece(tx: Tx, job: Onboarding, zone: ZoneInfo, now: datetime) -> bool:
    """Whether more steps wait. The job's row is locked."""
    acting_as(str(job.confirmed_by))
    steps = await jobs.steps_after(tx, job.id, job.done_steps, PIECE)
    if not steps:
        await complete(tx, job, now)
        return False
    work = await judge_again(tx, job, steps, zone, now)
    await reach("onboarding.judged")
    await write(tx, job, work, now)
    await jobs.settle_steps(tx, job.id, steps)
    done = policy.counted((step.outcome or step.verdict for step in steps), job.done)
    await jobs.change_job(tx, job.id, done_steps=steps[-1].step, done=done, failures=None)
    return True


@dataclass(slots=True)
class Work:
    """What a piece comes to."""

    joining: list[tuple[Person, str]] = field(default_factory=list)
    changing: list[tuple[Person, Standing]] = field(default_factory=list)
    """As they were, and as they shall be."""
    leaving: list[Person] = field(default_factory=list)
    giving_up: list[Person] = field(default_factory=list)
    """Whose departure is over, and whose e-mail or identifier somebody of this piece gets."""


async def judge_again(tx: Tx, job: Onboarding, steps: list[Step], zone: ZoneInfo, now: datetime) -> Work:
    """The directory may have changed since the dry run: each line is asked again, with the rows that it is about locked."""
    header = reader.Header(job.titles, places_of(job.titles))
    lines = {one.step: reader.read_line(header, one.line, one.cells) for one in steps if one.line and one.cells and one.can_be_judged_again}
    entries = {step: line.entry for step, line in lines.items() if line.entry is not None}
    absent = [step.agent_id for step in steps if step.line is None and step.agent_id is not None]
    ids, emails = [one.external_id for one in entries.values()], [one.email for one in entries.values()]
    await jobs.plan_anew(tx)
    standings = await jobs.standings(tx, job.ministry_id, ids, emails, absent, zone=zone, lock=True)
    units = {fold(one.name): one.id for one in await store.directorates_of(tx, job.ministry_id)}
    elsewhere = await elsewhere_of(tx, job.ministry_id, entries.values())
    found_in_turn = policy.judge_all(entries.values(), standings, job.ministry_id, units, today(now, zone), elsewhere)
    judged = dict(zip(entries, found_in_turn, strict=True))
    by_agent = {one.person.id: one for one in standings}
    work = Work()
    for step in steps:
        if step.step in judged:
            found, standing = judged[step.step]
        elif step.line is None and step.agent_id is not None:
            standing = by_agent.get(step.agent_id)
            found = policy.judge_absent(standing, step.external_id or "", job.ministry_id)
        elif step.step in lines:
            found, standing = Judged("reject", lines[step.step].code, lines[step.step].about), None
        else:
            found, standing = Judged(step.verdict, step.code, step.about), None
        found = policy.spare_oneself(found, standing, [job.created_by, job.confirmed_by], step.line)
        if found.verdict == "create":
            made = policy.newcomer(entries[step.step], new_id(), job.ministry_id, units)
            work.joining.append((made, entries[step.step].external_id))
            step.agent_id = made.id
        elif standing is not None:
            plan_change(work, found, standing)
            step.agent_id = standing.person.id
        step.outcome, step.code, step.about = found.verdict, found.code, found.about
    work.giving_up = giving_up(work, standings, job.ministry_id)
    return work


def giving_up(work: Work, standings: list[Standing], ministry_id: UUID) -> list[Person]:
    emails = {one.email for one, _ in work.joining} | {one.person.email for _, one in work.changing}
    ids = {external_id for _, external_id in work.joining} | {one.external_id for _, one in work.changing}
    return [
        one.person
        for one in standings
        if one.left_on is not None
        and (
            one.person.email in emails or (one.person.ministry_id == ministry_id and one.external_id is not None and one.external_id in ids)
        )
    ]


def plan_change(work: Work, found: Judged, standing: Standing) -> None:
    person = standing.person
    if found.verdict == "deactivate":
        work.leaving.append(person)
    elif found.verdict in ("update", "adopt"):
        after = Person(*(found.changes.get(name, getattr(person, name)) for name in Person.__slots__))
        after.revision += 1
        work.changing.append((person, Standing(after, found.changes.get("external_id", standing.external_id))))


async def write(tx: Tx, job: Onboarding, work: Work, now: datetime) -> None:
    """Rows by the hundred; a fact and a line of audit for each agent."""
    who = job.confirmed_by
    for person in work.giving_up:
        await give_up(tx, person, who=who, now=now)
    if work.joining:
        await jobs.add_agents(tx, work.joining)
    if work.changing:
        await jobs.change_agents(tx, [after for _, after in work.changing])
    for person, _ in work.joining:
        publish(tx, AgentJoined(at=now, about=str(person.id), agent_id=person.id, ministry_id=person.ministry_id, kind=person.kind))
        publish(tx, agent_state(person, now))
        await audit.record(tx, who=who, what="agent.create", on=person.id, ministry=person.ministry_id, at=now)
    for before, standing in work.changing:
        after = standing.person
        if after.directorate_id != before.directorate_id:
            publish(tx, moved(before, after, now))
        publish(tx, agent_state(after, now))
        await audit.record(tx, who=who, what="agent.change", on=after.id, ministry=after.ministry_id, at=now)
    asker = Asker(who or UUID(int=0), job.ministry_id, frozenset({"ministry_administrator"}))
    for person in work.leaving:
        await let_go(tx, asker, person, now=now)


def moved(before: Person, after: Person, now: datetime) -> AgentMoved:
    return AgentMoved(
        at=now, about=str(after.id), agent_id=after.id, from_ministry_id=before.ministry_id, to_ministry_id=after.ministry_id,
        from_directorate_id=before.directorate_id, to_directorate_id=after.directorate_id,
    )  # fmt: skip


async def complete(tx: Tx, job: Onboarding, now: datetime) -> None:
    """Once: the job's row is locked, and runs no more after this."""
    await jobs.change_job(tx, job.id, state="done", finished_at=now, lease_owner=None, lease_until=None)
    await audit.record(tx, who=job.confirmed_by, what="onboarding.complete", on=job.id, ministry=job.ministry_id, at=now)
    done = job.done
    publish(
        tx,
        OnboardingCompleted(
            at=now, about=str(job.id), onboarding_id=job.id, ministry_id=job.ministry_id, created=done.get("create", 0),
            adopted=done.get("adopt", 0), updated=done.get("update", 0), deactivated=done.get("deactivate", 0),
            unchanged=done.get("unchanged", 0), rejected=done.get("reject", 0),
        ),
    )  # fmt: skip
