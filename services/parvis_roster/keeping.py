"""How a service's copy of the directory follows the facts: each state replaces what was known of its thing."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from parvis_contracts.directory import AgentState, CredentialState, MinistryState, SigningKeyState, TeamState
from parvis_kit.access import public_key
from parvis_kit.db import Tx, upsert_by
from parvis_kit.events import Erased, Projection, Refuse, batch

from parvis_roster.freshness import Freshness
from parvis_roster.tables import tables_of

VERSION = 1
"""Raise it when the tables or their meaning change: every copy is then computed anew."""


def projection(service: str, freshness: Freshness) -> Projection:
    """The copy that `service` keeps, to be listed among its projections."""
    tables = tables_of(service)
    return Projection(
        name=f"{service}.roster",
        version=VERSION,
        tables=tuple(tables.values()),
        on={
            MinistryState: batch(keep_ministries),
            Erased(MinistryState): batch(partial(forget, "ministry", "id", UUID)),
            AgentState: batch(keep_agents),
            Erased(AgentState): batch(partial(forget, "agent", "id", UUID)),
            TeamState: batch(keep_teams),
            Erased(TeamState): batch(forget_teams),
            CredentialState: batch(keep_credentials),
            Erased(CredentialState): batch(partial(forget, "credential", "id", UUID)),
            SigningKeyState: batch(keep_signing_keys),
            Erased(SigningKeyState): batch(partial(forget, "signing_key", "kid", str)),
        },
        reached_end=freshness.reached_end,
    )


async def keep_ministries(tx: Tx, states: Sequence[MinistryState]) -> None:
    await replace(
        tx,
        "ministry",
        {
            state.ministry_id: {
                "id": state.ministry_id,
                "siren": state.siren,
                "name": state.name,
                "directorates": [directorate.model_dump(mode="json") for directorate in state.directorates],
            }
            for state in states
        },
    )


async def keep_agents(tx: Tx, states: Sequence[AgentState]) -> None:
    await replace(
        tx,
        "agent",
        {
            state.agent_id: {
                "id": state.agent_id,
                "ministry_id": state.ministry_id,
                "directorate_id": state.directorate_id,
                "kind": state.kind,
                "state": state.state,
                "email": state.email,
                "given_name": state.given_name,
                "family_name": state.family_name,
                "language": state.language,
                "roles": list(state.roles),
                "expires_at": state.expires_at,
            }
            for state in states
        },
    )


async def keep_teams(tx: Tx, states: Sequence[TeamState]) -> None:
    last = {state.team_id: state for state in states}
    await replace(tx, "team", {one: {"id": one, "ministry_id": state.ministry_id, "name": state.name} for one, state in last.items()})
    await tx.execute(_delete(tx.database.service, "team_member", "team_id"), {"some": list(last)})
    members = [{"team_id": one, "agent_id": agent_id} for one, state in last.items() for agent_id in state.members]
    if members:
        member = tables_of(tx.database.service)["team_member"]
        await tx.execute(upsert_by(tx, member, ("team_id", "agent_id")), members)


async def forget_teams(tx: Tx, erased: Sequence[Erased]) -> None:
    await forget("team_member", "team_id", UUID, tx, erased)
    await forget("team", "id", UUID, tx, erased)


async def keep_credentials(tx: Tx, states: Sequence[CredentialState]) -> None:
    await replace(
        tx,
        "credential",
        {
            state.credential_id: {
                "id": state.credential_id,
                "agent_id": state.agent_id,
                "kind": state.kind,
                "state": state.state,
                "prefix": state.prefix,
                "digest": state.digest,
                "scopes": list(state.scopes),
                "expires_at": state.expires_at,
            }
            for state in states
        },
    )


async def keep_signing_keys(tx: Tx, states: Sequence[SigningKeyState]) -> None:
    for state in states:
        try:
            public_key(state.jwk)
        except ValueError as error:
            raise Refuse(f"signing key {state.kid}: {error}") from None
    await replace(tx, "signing_key", {state.kid: {"kid": state.kid, "jwk": state.jwk, "not_after": state.not_after} for state in states})


async def replace(tx: Tx, name: str, rows: Mapping[Any, dict[str, Any]]) -> None:
    """By id, the last one of each: no state needs another to have come first."""
    table = tables_of(tx.database.service)[name]
    keys = tuple(column.name for column in table.primary_key)
    changed = tuple(column.name for column in table.c if column.name not in keys)
    await tx.execute(upsert_by(tx, table, keys, changed), list(rows.values()))


async def forget(name: str, column: str, kind: type[UUID] | type[str], tx: Tx, erased: Sequence[Erased]) -> None:
    await tx.execute(_delete(tx.database.service, name, column), {"some": [kind(one.about) for one in erased]})


@cache
def _delete(service: str, name: str, column: str) -> sa.Delete:
    table = tables_of(service)[name]
    return sa.delete(table).where(table.c[column].in_(sa.bindparam("some", expanding=True, type_=table.c[column].type)))
