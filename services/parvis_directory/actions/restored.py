"""Said again after a restore: how things stand, where the log tells of what came after the moment that was restored."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from parvis_contracts.directory import AgentState, CredentialState, MinistryState, SigningKeyState, TeamState
from parvis_kit.db import Tx
from parvis_kit.events import Erased, StateFact, publish

from parvis_directory import store
from parvis_directory.actions.agents import agent_state
from parvis_directory.actions.ministries import say_ministry

Say = Callable[[Tx, str, datetime], Awaitable[bool]]
"""Whether there is such a thing."""


async def say_again(tx: Tx, topic: str, keys: Sequence[str], now: datetime) -> None:
    """Of a state topic; what is not there is said to be erased."""
    kind, say = STATES[topic]
    for key in keys:
        if not await say(tx, key, now):
            publish(tx, Erased(kind, key, now))


async def _agent(tx: Tx, key: str, now: datetime) -> bool:
    person = await store.find_agent(tx, UUID(key), lock=True)
    if person is not None:
        publish(tx, agent_state(person, now))
    return person is not None


async def _team(tx: Tx, key: str, now: datetime) -> bool:
    one = await store.find_team(tx, UUID(key), lock=True)
    if one is not None:
        members = tuple(await store.members_of(tx, one.id))
        publish(tx, TeamState(at=now, about=key, team_id=one.id, ministry_id=one.ministry_id, name=one.name, members=members))
    return one is not None


async def _ministry(tx: Tx, key: str, now: datetime) -> bool:
    one = await store.find_ministry(tx, UUID(key), lock=True)
    if one is not None:
        await say_ministry(tx, one, now)
    return one is not None


async def _credential(tx: Tx, key: str, now: datetime) -> bool:
    """App passwords. A session's state is said when it ends, so one that goes on is not on the log."""
    found = await store.find_app_password(tx, UUID(key))
    if found is None:
        return False
    kept, digest = found
    publish(
        tx,
        CredentialState(
            at=now, about=key, credential_id=kept.id, agent_id=kept.agent_id, kind="app_password",
            state="revoked" if kept.revoked_at else "active", prefix=kept.prefix, digest="" if kept.revoked_at else digest,
            scopes=tuple(kept.scopes), expires_at=kept.expires_at,
        ),
    )  # fmt: skip
    return True


async def _signing_key(tx: Tx, key: str, now: datetime) -> bool:
    found = [one for one in await store.signing_keys(tx, now) if one.kid == key]
    for one in found:
        publish(tx, SigningKeyState(at=now, about=key, kid=key, jwk=one.jwk, not_after=one.not_after))
    return bool(found)


STATES: Mapping[str, tuple[type[StateFact], Say]] = {
    AgentState.topic(): (AgentState, _agent),
    TeamState.topic(): (TeamState, _team),
    MinistryState.topic(): (MinistryState, _ministry),
    CredentialState.topic(): (CredentialState, _credential),
    SigningKeyState.topic(): (SigningKeyState, _signing_key),
}
