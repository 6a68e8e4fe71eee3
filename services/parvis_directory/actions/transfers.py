"""Directorates, or all of a ministry, go over to another one: in pieces, each a transaction, to be gone on with wherever it stopped."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from parvis_contracts.directory import DirectorateTransferred, DomainClaimed, MinistryMerged, TeamState
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict, Invalid, NotFound

from parvis_directory import rules, store
from parvis_directory.actions.agents import relocate
from parvis_directory.actions.ministries import say_ministry
from parvis_directory.rules import Asker, Directorate, Ministry
from parvis_directory.rules.domains import Domain
from parvis_directory.rules.moves import DIRECTORATES_MAX, Transfer, check_open, free_name
from parvis_directory.store import domains, moves
from parvis_directory.store import onboardings as jobs

PIECE_AGENTS = 100
"""Some 200 ms, during which other writers wait on SQLite."""
PIECE_TEAMS = 10
"""A team's state may hold 5,000 members."""


async def plan_transfer(
    tx: Tx, asker: Asker, from_id: UUID, to_id: UUID, directorate_ids: Sequence[UUID] | None, day: date, reason: str, *, now: datetime
) -> Transfer:
    """Of these directorates; of all, and then the ministry is closed. Raises Forbidden, NotFound, Invalid, Conflict."""
    rules.check_operator(asker)
    source, target = await _both(tx, from_id, to_id)
    check_open(source.closed_at)
    check_open(target.closed_at)
    units = {one.id for one in await store.directorates_of(tx, from_id) if one.succeeded_by is None}
    asked = None if directorate_ids is None else set(directorate_ids)
    if asked is not None and not (asked and asked <= units and len(asked) <= DIRECTORATES_MAX):
        raise Invalid(f"Name 1 to {DIRECTORATES_MAX} directorates that the ministry has, or none for all of them.")
    whole = [one for one in await moves.transfers_of(tx, from_id) if one.from_ministry_id == from_id and one.directorate_ids is None]
    if any(one.state in ("planned", "running") for one in whole):
        raise Conflict("This ministry is merging already: cancel that first, or wait for its end.")
    names = None if asked is None else sorted(map(str, asked))
    one = Transfer(new_id(), from_id, to_id, names, day, reason, asker.id, now, "planned", 0, None, None)
    await moves.add_transfer(tx, one)
    await _record(tx, one, "transfer.plan", now)
    return one


async def cancel_transfer(tx: Tx, asker: Asker, transfer_id: UUID, *, now: datetime) -> None:
    """Before it begins. Raises Forbidden, NotFound, Conflict."""
    rules.check_operator(asker)
    one = await moves.find_transfer(tx, transfer_id, lock=True)
    if one is None:
        raise NotFound(f"There is no transfer {transfer_id}.")
    if one.state != "planned":
        raise Conflict(f"This transfer is {one.state}: it can be cancelled before it begins.")
    await moves.change_transfer(tx, transfer_id, state="cancelled", done_at=now)
    await _record(tx, one, "transfer.cancel", now)


async def begin_transfer(tx: Tx, transfer_id: UUID, *, day: date, now: datetime) -> None:
    """When its day has come, every directorate gets its successor; done twice, it is done once."""
    one = await moves.find_transfer(tx, transfer_id, lock=True)
    if one is None or one.state != "planned" or one.on > day:
        return
    source, target = await _both(tx, one.from_ministry_id, one.to_ministry_id)
    if await jobs.jobs_in(tx, "running", source.id):
        return  # its file of agents is worked through first: the next look begins
    if source.closed_at or target.closed_at:
        await moves.change_transfer(tx, one.id, state="refused", refused="One of the two ministries has merged meanwhile.", done_at=now)
        await _record(tx, one, "transfer.begin", now, decision="refused")
        return
    taken = {unit.name for unit in await store.directorates_of(tx, target.id)}
    for unit in await store.directorates_of(tx, source.id):
        if unit.succeeded_by is None and (one.directorate_ids is None or str(unit.id) in one.directorate_ids):
            name = free_name(unit.name, source.name, taken)
            taken.add(name)
            await _succeed(tx, unit, Directorate(new_id(), target.id, name, unit.siret), now)
    await moves.change_transfer(tx, one.id, state="running")
    await _record(tx, one, "transfer.begin", now)
    for ministry in (source, target):
        await say_ministry(tx, ministry, now)


async def _succeed(tx: Tx, unit: Directorate, successor: Directorate, now: datetime) -> None:
    await store.add_directorate(tx, successor)
    await moves.succeed(tx, unit.id, successor.id)
    publish(
        tx,
        DirectorateTransferred(
            at=now, about=str(unit.id), directorate_id=unit.id, successor_id=successor.id, from_ministry_id=unit.ministry_id,
            to_ministry_id=successor.ministry_id,
        ),
    )  # fmt: skip


async def continue_transfer(tx: Tx, transfer_id: UUID, *, now: datetime) -> bool:
    """A piece of it; whether there may be more. Who works at the same one waits for this piece's end."""
    one = await moves.find_transfer(tx, transfer_id, lock=True)
    if one is None or one.state not in ("running", "done"):
        return False
    successors = await moves.successors_in(tx, one.from_ministry_id, one.to_ministry_id)
    which = None if one.directorate_ids is None else {UUID(unit) for unit in one.directorate_ids}
    people = await moves.people_to_move(tx, one.from_ministry_id, which, PIECE_AGENTS)
    for person in people:
        unit = successors.get(person.directorate_id) if person.directorate_id else None
        await relocate(tx, person, one.to_ministry_id, unit, who=one.asked_by, now=now)
    if people:
        await moves.change_transfer(tx, one.id, agents=one.agents + len(people))
        return True
    if one.state == "done":
        return False
    if one.directorate_ids is None and await _move_teams(tx, one, now):
        return True
    return await _finish(tx, one, now)


async def _move_teams(tx: Tx, one: Transfer, now: datetime) -> bool:
    teams = await moves.teams_to_move(tx, one.from_ministry_id, PIECE_TEAMS)
    for team in teams:
        moved = await moves.move_team(tx, team, one.to_ministry_id)
        members = tuple(await store.members_of(tx, team.id))
        publish(tx, TeamState(at=now, about=str(team.id), team_id=team.id, ministry_id=moved.ministry_id, name=moved.name, members=members))
    return bool(teams)


async def _finish(tx: Tx, one: Transfer, now: datetime) -> bool:
    """A merged ministry is closed while its row is locked: nobody joins it between the last look and the end."""
    if one.directorate_ids is None:
        source, target = await _both(tx, one.from_ministry_id, one.to_ministry_id)
        if await moves.people_to_move(tx, source.id, None, 1) or await moves.teams_to_move(tx, source.id, 1):
            return True
        for domain in await domains.domains_of(tx, source.id):
            await _hand_over_domain(tx, domain, target.id, now)
        closed = await store.change_ministry(tx, source, closed_at=now, succeeded_by=target.id)
        publish(tx, MinistryMerged(at=now, about=str(source.id), ministry_id=source.id, into_ministry_id=target.id))
        await say_ministry(tx, closed, now)
    await moves.change_transfer(tx, one.id, state="done", done_at=now)
    await _record(tx, one, "transfer.done", now)
    return False


async def _hand_over_domain(tx: Tx, domain: Domain, to_id: UUID, now: datetime) -> None:
    """With its proof; a claim that was never proven is not worth keeping, nor one that the other ministry has begun."""
    await domains.forget_domain(tx, domain)
    if domain.claimed_at is None:
        return
    if begun := await domains.find_domain(tx, to_id, domain.name, lock=True):
        await domains.forget_domain(tx, begun)
    await domains.add_domain(tx, Domain(to_id, *(getattr(domain, name) for name in Domain.__slots__[1:])))
    publish(tx, DomainClaimed(at=now, about=domain.name, name=domain.name, ministry_id=to_id))


async def _both(tx: Tx, from_id: UUID, to_id: UUID) -> tuple[Ministry, Ministry]:
    """Locked, in one order for all. Raises NotFound, Invalid."""
    if from_id == to_id:
        raise Invalid("A ministry does not go over to itself.")
    found = {one: await store.find_ministry(tx, one, lock=True) for one in sorted((from_id, to_id))}
    source, target = found[from_id], found[to_id]
    if source is None or target is None:
        raise NotFound(f"There is no ministry {to_id if source else from_id}.")
    return source, target


async def _record(tx: Tx, one: Transfer, what: str, now: datetime, decision: str = "done") -> None:
    for concerned in (one.from_ministry_id, one.to_ministry_id):
        await audit.record(tx, who=one.asked_by, what=what, on=one.id, ministry=concerned, at=now, decision=decision, why=one.reason)
