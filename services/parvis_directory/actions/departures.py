"""Who has left: each service does its part and says so; when all have, the departure is over."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from parvis_contracts.directory import AgentReinstated, LeaverSettled
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_directory import queries, rules, store
from parvis_directory.actions.agents import agent_state
from parvis_directory.actions.common import check_revision
from parvis_directory.rules import Asker, Person
from parvis_directory.rules.departures import Step, check_may_return, missing
from parvis_directory.store import departures, people


async def acknowledge_departure(tx: Tx, agent_id: UUID, left_at: datetime, step: Step, *, services: Collection[str], now: datetime) -> None:
    """Done twice, it is done once; what answers another departure of the same agent counts for nothing."""
    departure = await departures.find_departure(tx, agent_id, lock=True)
    if departure is not None and departure.left_at == left_at:
        await departures.add_step(tx, agent_id, step)
        await settle_departure(tx, agent_id, services=services, now=now)


async def settle_departure(tx: Tx, agent_id: UUID, *, services: Collection[str], now: datetime) -> None:
    """Close it when nothing is missing; done twice, it is done once."""
    departure = await departures.find_departure(tx, agent_id, lock=True)
    if departure is None or departure.settled_at is not None or missing(await departures.steps_of(tx, agent_id), services):
        return
    await departures.settle_departure(tx, agent_id, now)
    person = await store.find_agent(tx, agent_id)
    ministry = person.ministry_id if person else None
    await audit.record(tx, who="directory", what="agent.settled", on=agent_id, ministry=ministry, at=now)
    publish(tx, LeaverSettled(at=now, about=str(agent_id), agent_id=agent_id, left_at=departure.left_at, services=tuple(sorted(services))))


async def return_agent(tx: Tx, asker: Asker, agent_id: UUID, *, if_match: str, now: datetime) -> Person:
    """The departure was a mistake: the account is active again, and its app passwords stay revoked.

    Raises NotFound, Forbidden, PreconditionFailed, Conflict when it is over.
    """
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    rules.check_may_change(asker, person.ministry_id)
    check_revision(person.revision, if_match)
    check_may_return(await departures.find_departure(tx, agent_id, lock=True), person.expires_at, now)
    await departures.forget_departure(tx, agent_id)
    back = await people.change_agent(tx, person, state="active")
    await audit.record(tx, who=asker.who, what="agent.return", on=agent_id, ministry=person.ministry_id, at=now)
    publish(tx, AgentReinstated(at=now, about=str(agent_id), agent_id=agent_id), agent_state(back, now))
    return back
