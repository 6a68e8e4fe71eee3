"""Teams and their members."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from parvis_contracts.directory import TeamChanged, TeamState
from parvis_kit import audit
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Invalid

from parvis_directory import queries, rules, store
from parvis_directory.actions.common import check_revision, unless_taken
from parvis_directory.rules import Asker, Team


async def create_team(tx: Tx, asker: Asker, name: str, members: Sequence[UUID], *, now: datetime) -> Team:
    """In the asker's ministry; members may come from any. Raises Forbidden, Invalid."""
    rules.check_may_change(asker, asker.ministry_id)
    one = Team(new_id(), asker.ministry_id, name, 1)
    await store.add_team(tx, one)
    await _set_members(tx, one, set(members), set())
    await _say_team(tx, asker, one, set(members), set(), now)
    return one


async def change_team(tx: Tx, asker: Asker, team_id: UUID, *, name: str, members: Sequence[UUID], if_match: str, now: datetime) -> Team:
    """Raises NotFound, Forbidden, PreconditionFailed, Invalid."""
    one = await queries.team_for(tx, asker, team_id, lock=True)
    rules.check_may_change(asker, one.ministry_id)
    check_revision(one.revision, if_match)
    before = set(await store.members_of(tx, team_id))
    added, removed = set(members) - before, before - set(members)
    one = await store.change_team(tx, one, name)
    await _set_members(tx, one, added, removed)
    await _say_team(tx, asker, one, added, removed, now)
    return one


async def _set_members(tx: Tx, one: Team, added: set[UUID], removed: set[UUID]) -> None:
    await unless_taken(store.set_members(tx, one.id, sorted(added), sorted(removed)), "", "One of the members is no agent.")


async def _say_team(tx: Tx, asker: Asker, one: Team, added: set[UUID], removed: set[UUID], now: datetime) -> None:
    members = await store.members_of(tx, one.id)
    if len(members) > rules.TEAM_MEMBERS_MAX:
        raise Invalid(f"A team has at most {rules.TEAM_MEMBERS_MAX} members.")
    await audit.record(tx, who=asker.who, what="team.change", on=one.id, ministry=one.ministry_id, at=now)
    about = str(one.id)
    publish(
        tx,
        TeamChanged(
            at=now, about=about, team_id=one.id, ministry_id=one.ministry_id, added=tuple(sorted(added)), removed=tuple(sorted(removed))
        ),
        TeamState(at=now, about=about, team_id=one.id, ministry_id=one.ministry_id, name=one.name, members=tuple(members)),
    )
