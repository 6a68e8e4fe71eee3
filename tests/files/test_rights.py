"""Effective rights: the one statement says what a slow oracle in plain Python says, for every tree that can be thought of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest_asyncio
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parvis_files.rules import Asker
from parvis_files.rules.rights import MANAGER, ROLES
from parvis_files.store import METADATA, access, item, share, space
from parvis_kit.db import Database
from parvis_kit.testing.databases import queries
from parvis_kit.testing.plugin import OpenDatabase
from parvis_roster.tables import tables_of

NAMES = UUID(int=7)
AGENTS, TEAMS, MINISTRIES = ("ada", "bob", "eve"), ("crise", "projet"), ("interieur", "ecologie")
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def named(name: object) -> UUID:
    return uuid5(NAMES, str(name))


@dataclass
class World:
    """A space of a ministry: its tree, as parents by number, and what is shared."""

    ministry: str
    owner: str | None
    parents: list[int]
    restricted: list[bool]
    trashed: list[bool]
    shares: dict[tuple[int, str], str]
    homes: Mapping[str, str] = field(default_factory=dict)
    """Agents' and teams' ministries."""
    members: frozenset[tuple[str, str]] = frozenset()
    """Of teams."""

    def above(self, number: int) -> list[int]:
        return [] if number == 0 else [self.parents[number - 1], *self.above(self.parents[number - 1])]

    def allowed(self, agent: str, number: int) -> frozenset[str]:
        """The oracle: climb, one item after the other, until a wall."""
        if agent == self.owner:
            return frozenset(MANAGER)
        found: set[str] = set()
        for place in (number, *self.above(number)):
            for (shared, grantee), role in self.shares.items():
                if shared == place and self.holds(agent, grantee) and (role != "depositor" or place == number):
                    found |= ROLES[role]
            if self.restricted[place]:
                break
        return frozenset(found)

    def sees_parent(self, agent: str, number: int) -> bool:
        return number > 0 and "see" in self.allowed(agent, self.parents[number - 1])

    def holds(self, agent: str, grantee: str) -> bool:
        return self.homes[grantee] == self.ministry and (grantee == agent or (agent, grantee) in self.members)

    def holds_walls(self, agent: str, top: int, need: str) -> bool:
        """Whether a restricted folder below is closed to the agent; what is in the trash by itself is not trashed once more."""
        below = (number for number in range(len(self.restricted)) if top in self.above(number) and self.restricted[number])
        if need == "trash":
            below = (
                number for number in below if not any(self.trashed[one] for one in (number, *self.above(number)) if top in self.above(one))
            )
        return any(need not in self.allowed(agent, number) for number in below)

    def in_trash(self, number: int) -> bool:
        return any(self.trashed[place] for place in (number, *self.above(number)))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    size = draw(st.integers(1, 8))
    numbers = st.integers(0, size - 1)
    return World(
        ministry=draw(st.sampled_from(MINISTRIES)),
        owner=draw(st.sampled_from([None, None, *AGENTS])),
        parents=[draw(st.integers(0, number)) for number in range(size - 1)],
        restricted=[draw(st.booleans()) and number > 0 for number in range(size)],
        trashed=[draw(st.integers(0, 4)) == 0 and number > 0 for number in range(size)],
        shares=draw(st.dictionaries(st.tuples(numbers, st.sampled_from(AGENTS + TEAMS)), st.sampled_from(sorted(ROLES)), max_size=8)),
        homes={one: draw(st.sampled_from(MINISTRIES)) for one in AGENTS + TEAMS},
        members=draw(st.frozensets(st.tuples(st.sampled_from(AGENTS), st.sampled_from(TEAMS)))),
    )


async def build(database: Database, world: World) -> None:
    tables = tables_of("files")
    async with database.transaction() as tx:
        for table in (share, item, space, tables["team"], tables["team_member"]):
            await tx.execute(sa.delete(table))
        values: dict[str, Any] = {
            "name": "space",
            "root_id": named(0),
            "used_bytes": 0,
            "reserved_bytes": 0,
            "threshold": 0,
            "change_id": 1,
        }
        owner = named(world.owner) if world.owner else None
        values |= {"id": named("space"), "kind": "shared", "ministry_id": named(world.ministry), "owner_id": owner, "created_at": NOW}
        await tx.execute(sa.insert(space), values)
        for number, restricted in enumerate(world.restricted):
            parent = named(world.parents[number - 1]) if number else None
            row = {"id": named(number), "space_id": named("space"), "parent_id": parent, "is_file": False, "name": str(number)}
            row |= {"sort_key": str(number), "restricted": restricted, "revision": 1, "change_id": 1, "created_at": NOW, "modified_at": NOW}
            await tx.execute(sa.insert(item), row | {"trashed_at": NOW if world.trashed[number] else None})
        for (number, grantee), role in world.shares.items():
            row = {"id": named((number, grantee)), "item_id": named(number), "grantee_kind": "agent" if grantee in AGENTS else "team"}
            row |= {"grantee_id": named(grantee), "role": role, "created_at": NOW, "created_by": named("ada")}
            await tx.execute(sa.insert(share), row)
        for team in TEAMS:
            await tx.execute(sa.insert(tables["team"]), {"id": named(team), "ministry_id": named(world.homes[team]), "name": team})
        for agent, team in world.members:
            await tx.execute(sa.insert(tables["team_member"]), {"team_id": named(team), "agent_id": named(agent)})


@pytest_asyncio.fixture
async def database(open_database: OpenDatabase) -> Database:
    return await open_database("files", METADATA)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds())
async def test_what_the_statement_allows_is_what_the_oracle_allows(database: Database, world: World) -> None:
    await build(database, world)
    async with database.read() as conn:
        for agent in AGENTS:
            asker = Asker(named(agent), named(world.homes[agent]))
            everything = [named(number) for number in range(len(world.restricted))]
            seen_at_once = await access.visible(conn, asker, everything, in_trash=False)
            for number in range(len(world.restricted)):
                with queries(database) as sent:
                    seen = await access.see(conn, asker, named(number))
                assert seen is not None and len(sent) == 1
                allowed = world.allowed(agent, number)
                assert (seen.actions, seen.in_trash) == (allowed, world.in_trash(number)), (agent, number)
                assert (seen.depth, seen.sees_parent) == (len(world.above(number)), world.sees_parent(agent, number)), (agent, number)
                for need in ("trash", "purge"):
                    walls = await access.holds_walls(conn, asker, seen, need)
                    assert walls == world.holds_walls(agent, number, need), (agent, number, need)
                assert (named(number) in seen_at_once) == ("see" in allowed and not world.in_trash(number)), (agent, number)
