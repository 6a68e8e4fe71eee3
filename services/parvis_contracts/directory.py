"""What directory says: who belongs to which ministry, in which state, and by which credentials they are known."""

from typing import ClassVar, Literal
from uuid import UUID

from parvis_kit.events import Fact, StateFact
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

AccountState = Literal["pending", "active", "suspended", "left"]
AgentKind = Literal["agent", "guest"]
CredentialKind = Literal["session", "app_password"]
Role = Literal["agent", "ministry_administrator", "finance", "operator"]


class MinistryOnboarded(Fact):
    """A ministry has come aboard."""

    type: ClassVar = "directory.ministry.onboarded.v1"
    ministry_id: UUID
    siren: str = Field(pattern=r"^\d{9}$")


class AgentJoined(Fact):
    """A person has an account in a ministry, as an agent or as a guest."""

    type: ClassVar = "directory.agent.joined.v1"
    agent_id: UUID
    ministry_id: UUID
    kind: AgentKind


class AgentMoved(Fact):
    """An agent has changed ministry or directorate, and keeps identity and files."""

    type: ClassVar = "directory.agent.moved.v1"
    agent_id: UUID
    from_ministry_id: UUID
    to_ministry_id: UUID
    from_directorate_id: UUID | None = None
    to_directorate_id: UUID | None = None


class AgentSuspended(Fact):
    """An agent may not act until further notice."""

    type: ClassVar = "directory.agent.suspended.v1"
    agent_id: UUID


class AgentReinstated(Fact):
    """A suspended agent may act again."""

    type: ClassVar = "directory.agent.reinstated.v1"
    agent_id: UUID


class AgentLeft(Fact):
    """An agent has left for good: each service freezes, hands over, and acknowledges."""

    type: ClassVar = "directory.agent.left.v1"
    agent_id: UUID
    ministry_id: UUID


class LeaverSettled(Fact):
    """Every service that had to has acknowledged the departure of an agent: it is over."""

    type: ClassVar = "directory.leaver.settled.v1"
    agent_id: UUID
    left_at: AwareDatetime
    services: tuple[str, ...] = ()


class MinistryMerged(Fact):
    """All of a ministry has gone over to another one; it is closed, and its history stays."""

    type: ClassVar = "directory.ministry.merged.v1"
    ministry_id: UUID
    into_ministry_id: UUID


class DirectorateTransferred(Fact):
    """A directorate goes on in another ministry, under another id; its agents follow, each by an AgentMoved."""

    type: ClassVar = "directory.directorate.transferred.v1"
    directorate_id: UUID
    successor_id: UUID
    from_ministry_id: UUID
    to_ministry_id: UUID


class DomainClaimed(Fact):
    """A mail domain has been proven to be a ministry's."""

    type: ClassVar = "directory.domain.claimed.v1"
    name: str
    ministry_id: UUID


class DomainReleased(Fact):
    """A mail domain is no ministry's any more: given up, or its proof is gone."""

    type: ClassVar = "directory.domain.released.v1"
    name: str
    ministry_id: UUID


class TeamChanged(Fact):
    """A team was made, renamed, or its members have changed."""

    type: ClassVar = "directory.team.changed.v1"
    team_id: UUID
    ministry_id: UUID
    added: tuple[UUID, ...] = ()
    removed: tuple[UUID, ...] = ()


class CredentialIssued(Fact):
    """An agent can be known by a new credential."""

    type: ClassVar = "directory.credential.issued.v1"
    credential_id: UUID
    agent_id: UUID
    kind: CredentialKind


class CredentialRevoked(Fact):
    """A credential no longer says who is asking, from now on and everywhere."""

    type: ClassVar = "directory.credential.revoked.v1"
    credential_id: UUID
    agent_id: UUID
    kind: CredentialKind


class OnboardingCompleted(Fact):
    """A ministry's file has been worked through to its end: how many of its lines ended how."""

    type: ClassVar = "directory.onboarding.completed.v1"
    onboarding_id: UUID
    ministry_id: UUID
    created: int = Field(ge=0)
    adopted: int = Field(ge=0)
    """Accounts that were there already, and have the ministry's identifier now."""
    updated: int = Field(ge=0)
    deactivated: int = Field(ge=0)
    unchanged: int = Field(ge=0)
    rejected: int = Field(ge=0)


class Directorate(BaseModel):
    """A unit of a ministry."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    directorate_id: UUID
    name: str


class MinistryState(StateFact):
    """A ministry as it stands."""

    type: ClassVar = "directory.ministry.state.v1"
    ministry_id: UUID
    siren: str = Field(pattern=r"^\d{9}$")
    name: str
    directorates: tuple[Directorate, ...] = ()
    closed_at: AwareDatetime | None = None
    """It has merged into another one."""
    succeeded_by: UUID | None = None


class AgentState(StateFact):
    """An agent as they stand. Personal data: only in this compacted topic, which a tombstone erases."""

    type: ClassVar = "directory.agent.state.v1"
    agent_id: UUID
    ministry_id: UUID
    directorate_id: UUID | None = None
    kind: AgentKind
    state: AccountState
    email: str
    given_name: str
    family_name: str
    language: Literal["fr", "en"] = "fr"
    roles: tuple[Role, ...] = ()
    expires_at: AwareDatetime | None = None
    """Guests end; from then on they are refused."""


class TeamState(StateFact):
    """A team and its members as they stand."""

    type: ClassVar = "directory.team.state.v1"
    team_id: UUID
    ministry_id: UUID
    name: str
    members: tuple[UUID, ...] = ()


class CredentialState(StateFact):
    """What services need to know of a credential to check it. The secret itself is known to its owner alone."""

    type: ClassVar = "directory.credential.state.v1"
    credential_id: UUID
    agent_id: UUID
    kind: CredentialKind
    state: Literal["active", "revoked"]
    prefix: str = ""
    """The public part of an app password, by which it is found."""
    digest: str = ""
    """SHA-256 (hexadecimal) of an app password's secret, 256 random bits: nothing can be guessed from it."""
    scopes: tuple[str, ...] = ()
    expires_at: AwareDatetime | None = None


class SigningKeyState(StateFact):
    """The public half of a key that signs tokens."""

    type: ClassVar = "directory.signing_key.state.v1"
    kid: str
    jwk: dict[str, str]
    """Public JSON Web Key (RFC 7517); never a private member."""
    not_after: AwareDatetime
    """Tokens signed by it are refused from then on."""
