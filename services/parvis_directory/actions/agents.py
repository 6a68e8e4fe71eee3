"""Agents and guests: they come, change, move and leave."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parvis_contracts.directory import AgentJoined, AgentLeft, AgentMoved, AgentReinstated, AgentState, AgentSuspended
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict, Invalid

from parvis_directory import queries, rules, store
from parvis_directory.actions.app_passwords import revoke_all, say_revoked
from parvis_directory.actions.common import check_revision, unless_taken
from parvis_directory.actions.sessions import end_sessions
from parvis_directory.rules import Asker, Kind, Language, Person, Role, State
from parvis_directory.rules.domains import domain_of
from parvis_directory.rules.moves import check_place, roles_elsewhere
from parvis_directory.store import departures, moves, people


@dataclass(frozen=True, slots=True)
class NewPerson:
    ministry_id: UUID
    directorate_id: UUID | None
    kind: Kind
    email: str
    given_name: str
    family_name: str
    language: Language
    roles: list[Role]
    expires_at: datetime | None


@dataclass(slots=True)
class Changes:
    """What to change; None leaves it."""

    given_name: str | None = None
    family_name: str | None = None
    language: Language | None = None
    roles: list[Role] | None = None
    expires_at: datetime | None = None
    state: State | None = None


async def create_agent(tx: Tx, asker: Asker, new: NewPerson, *, now: datetime) -> Person:
    """An account, active at once. Raises Forbidden, Invalid, Conflict when the e-mail has one, or its domain is another ministry's."""
    rules.check_may_change(asker, new.ministry_id)
    rules.check_roles(asker, ["agent"], new.roles)
    rules.check_expiry(new.kind, new.expires_at, now)
    person = Person(
        new_id(), new.ministry_id, new.directorate_id, new.kind, "active", rules.folded_email(new.email), new.given_name, new.family_name,
        new.language, sorted({*new.roles, "agent"}), new.expires_at, 1,
    )  # fmt: skip
    await _add(tx, asker, person, now)
    await audit.record(tx, who=asker.who, what="agent.create", on=person.id, ministry=person.ministry_id, at=now)
    publish(tx, AgentJoined(at=now, about=str(person.id), agent_id=person.id, ministry_id=person.ministry_id, kind=person.kind))
    publish(tx, agent_state(person, now))
    return person


async def _add(tx: Tx, asker: Asker, person: Person, now: datetime) -> None:
    """Asks nothing beside, unless it is refused."""
    taken, missing = "This e-mail has an account already.", "There is no such ministry, or no such directorate in it."
    domain = domain_of(person.email)
    if await unless_taken(moves.add_agent(tx, person, domain), taken, missing):
        return
    place = await moves.find_place(tx, person.ministry_id, person.directorate_id, domain)
    check_place(place, person.ministry_id)
    if place is None:
        raise Invalid(missing)
    await _free_email(tx, asker, person.email, now)
    if not await moves.add_agent(tx, person, domain):
        raise Conflict(taken)


async def _free_email(tx: Tx, asker: Asker, email: str, now: datetime) -> None:
    """Of somebody whose departure is over. Raises Conflict while it is not, for those who may see whose it is."""
    holder = await people.find_by_email(tx, email)
    if holder is None or holder.state != "left":
        return
    departure = await departures.find_departure(tx, holder.id)
    if departure is not None and departure.settled_at is not None:
        await give_up(tx, holder, who=asker.who, now=now)
    elif rules.may_see(asker, holder.ministry_id):
        raise Conflict("Who had this e-mail has left, and some service has not done its part yet: wait until it has, or call it off.")


async def give_up(tx: Tx, leaver: Person, *, who: UUID | str | None, now: datetime) -> None:
    """E-mail and identifier go to whoever has them now. The row is locked; all that hangs on the account stays the account's."""
    kept = await people.change_agent(tx, leaver, email=rules.given_up_email(leaver), external_id=None)
    await audit.record(tx, who=who, what="agent.give-up e-mail", on=leaver.id, ministry=leaver.ministry_id, at=now)
    publish(tx, agent_state(kept, now))


async def change_agent(tx: Tx, asker: Asker, agent_id: UUID, changes: Changes, *, if_match: str, now: datetime) -> Person:
    """Raises NotFound, Forbidden, PreconditionFailed, Conflict, Invalid."""
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    values = {name: value for name in Changes.__slots__ if (value := getattr(changes, name)) is not None}
    rules.check_may_change_agent(asker, agent_id, person.ministry_id, values)
    check_revision(person.revision, if_match)
    if "roles" in values:
        values["roles"] = sorted({*values["roles"], "agent"})
        rules.check_roles(asker, person.roles, values["roles"])
    if "expires_at" in values:
        rules.check_expiry(person.kind, values["expires_at"], now)
    state: State = values.pop("state", person.state)
    if state != person.state:
        person = await _change_state(tx, asker, person, state, now)
    if values:
        person = await people.change_agent(tx, person, **values)
        what = f"agent.change {' '.join(sorted(values))}"
        await audit.record(tx, who=asker.who, what=what, on=person.id, ministry=person.ministry_id, at=now)
    publish(tx, agent_state(person, now))
    return person


async def _change_state(tx: Tx, asker: Asker, person: Person, state: State, now: datetime) -> Person:
    """Whoever may not act any more loses every session and app password, in the same transaction."""
    rules.check_next_state(person.state, state)
    changed = await people.change_agent(tx, person, state=state)
    await audit.record(tx, who=asker.who, what=f"agent.{state}", on=person.id, ministry=person.ministry_id, at=now)
    about = str(person.id)
    match state:
        case "suspended":
            publish(tx, AgentSuspended(at=now, about=about, agent_id=person.id))
        case "active":
            publish(tx, AgentReinstated(at=now, about=about, agent_id=person.id))
        case "left":
            publish(tx, AgentLeft(at=now, about=about, agent_id=person.id, ministry_id=person.ministry_id))
            await departures.begin_departure(tx, person.id, now)
    if state in ("suspended", "left"):
        await end_sessions(tx, person.id, now=now)
    if state == "left":
        for kept in await store.revoke_app_passwords(tx, person.id, now):
            say_revoked(tx, kept, now)
    return changed


async def move_agent(
    tx: Tx, asker: Asker, agent_id: UUID, ministry_id: UUID, directorate_id: UUID | None, *, if_match: str, now: datetime
) -> Person:
    """Identity and files stay. Raises Forbidden, NotFound, PreconditionFailed, Conflict for who has left, Invalid."""
    rules.check_operator(asker)
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    check_revision(person.revision, if_match)
    rules.check_may_move(person)
    check_place(await moves.find_place(tx, ministry_id, directorate_id), ministry_id)
    await moves.forget_move(tx, agent_id)
    return await relocate(tx, person, ministry_id, directorate_id, who=asker.who, now=now)


async def relocate(tx: Tx, person: Person, ministry_id: UUID, directorate_id: UUID | None, *, who: UUID | str, now: datetime) -> Person:
    """Somebody whose row is locked, to a place that is open; roles and identifier are a ministry's, and stay there. Raises Invalid."""
    elsewhere = ministry_id != person.ministry_id
    left_behind = {"roles": roles_elsewhere(person.roles), "external_id": None} if elsewhere else {}
    moving = people.change_agent(tx, person, ministry_id=ministry_id, directorate_id=directorate_id, **left_behind)
    moved = await unless_taken(moving, "", "There is no such ministry, or no such directorate in it.")
    for concerned in {person.ministry_id, ministry_id}:
        await audit.record(tx, who=who, what="agent.move", on=person.id, ministry=concerned, at=now)
    if elsewhere and (target := await store.find_ministry(tx, ministry_id)) and not target.app_passwords:
        await revoke_all(tx, person.id, ministry_id, who=who, now=now)
    publish(
        tx,
        AgentMoved(
            at=now, about=str(person.id), agent_id=person.id, from_ministry_id=person.ministry_id, to_ministry_id=ministry_id,
            from_directorate_id=person.directorate_id, to_directorate_id=directorate_id,
        ),
        agent_state(moved, now),
    )  # fmt: skip
    return moved


async def let_go(tx: Tx, asker: Asker, person: Person, *, now: datetime) -> None:
    """Somebody whose row is locked leaves for good, with all that they could sign in by."""
    publish(tx, agent_state(await _change_state(tx, asker, person, "left", now), now))


async def end_guest(tx: Tx, agent_id: UUID, *, now: datetime) -> None:
    """A guest whose time is over leaves; done twice, it is done once."""
    person = await store.find_agent(tx, agent_id, lock=True)
    if person is not None and person.state != "left" and person.expires_at is not None and person.expires_at <= now:
        by_clock = Asker(UUID(int=0), person.ministry_id, frozenset({"operator"}))
        publish(tx, agent_state(await _change_state(tx, by_clock, person, "left", now), now))


def agent_state(person: Person, now: datetime) -> AgentState:
    return AgentState(
        at=now, about=str(person.id), agent_id=person.id, ministry_id=person.ministry_id, directorate_id=person.directorate_id,
        kind=person.kind, state=person.state, email=person.email, given_name=person.given_name, family_name=person.family_name,
        language=person.language, roles=tuple(person.roles), expires_at=person.expires_at,
    )  # fmt: skip
