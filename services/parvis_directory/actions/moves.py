"""An agent moves to another ministry or directorate, at once or when the day comes."""

from datetime import date, datetime
from uuid import UUID

from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.problems import NotFound, Problem

from parvis_directory import queries, rules, store
from parvis_directory.actions.agents import relocate
from parvis_directory.actions.common import check_revision
from parvis_directory.rules import Asker, Person
from parvis_directory.rules.moves import PlannedMove, check_place
from parvis_directory.store import moves


async def plan_move(
    tx: Tx, asker: Asker, agent_id: UUID, ministry_id: UUID, directorate_id: UUID | None, day: date, *, if_match: str, now: datetime
) -> Person:
    """Instead of what was planned before. Raises Forbidden, NotFound, PreconditionFailed, Conflict."""
    rules.check_operator(asker)
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    check_revision(person.revision, if_match)
    rules.check_may_move(person)
    place = await moves.find_place(tx, ministry_id, directorate_id)
    if place is None:
        raise NotFound(f"There is no ministry {ministry_id}.")
    check_place(place, ministry_id)
    await moves.plan_move(tx, PlannedMove(agent_id, ministry_id, directorate_id, day, asker.id, now, None))
    await _record(tx, asker.id, person.ministry_id, ministry_id, agent_id, f"agent.move.plan {day}", now)
    return person


async def cancel_move(tx: Tx, asker: Asker, agent_id: UUID, *, now: datetime) -> None:
    """Raises Forbidden, NotFound."""
    rules.check_operator(asker)
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    planned = await moves.find_move(tx, agent_id)
    if planned is None:
        raise NotFound(f"No move of agent {agent_id} is planned.")
    await moves.forget_move(tx, agent_id)
    await _record(tx, asker.id, person.ministry_id, planned.ministry_id, agent_id, "agent.move.cancel", now)


async def carry_move_out(tx: Tx, agent_id: UUID, *, day: date, now: datetime) -> None:
    """The day has come; done twice, it is done once. What cannot be done is kept with its reason."""
    person = await store.find_agent(tx, agent_id, lock=True)
    planned = await moves.find_move(tx, agent_id)
    if person is None or planned is None or planned.on > day or planned.refused is not None:
        return
    try:
        rules.check_may_move(person)
        async with tx.savepoint():
            check_place(await moves.find_place(tx, planned.ministry_id, planned.directorate_id), planned.ministry_id)
            await relocate(tx, person, planned.ministry_id, planned.directorate_id, who=planned.asked_by, now=now)
    except Problem as problem:
        await moves.refuse_move(tx, agent_id, problem.detail)
        await _record(tx, planned.asked_by, person.ministry_id, planned.ministry_id, agent_id, "agent.move", now, problem.detail)
    else:
        await moves.forget_move(tx, agent_id)


async def _record(tx: Tx, who: UUID, before: UUID, after: UUID, agent_id: UUID, what: str, now: datetime, refused: str = "") -> None:
    decision = "refused" if refused else "done"
    for concerned in {before, after}:
        await audit.record(tx, who=who, what=what, on=agent_id, ministry=concerned, at=now, decision=decision, why=refused)
