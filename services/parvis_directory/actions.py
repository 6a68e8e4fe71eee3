"""What changes the directory: each act writes, is audited, and says what happened, in the transaction it is given."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import TypeVar
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from parvis_contracts.directory import (
    AgentJoined,
    AgentLeft,
    AgentMoved,
    AgentReinstated,
    AgentState,
    AgentSuspended,
    CredentialIssued,
    CredentialRevoked,
    CredentialState,
    MinistryOnboarded,
    MinistryState,
    SigningKeyState,
    TeamChanged,
    TeamState,
)
from parvis_contracts.directory import Directorate as SaidDirectorate
from parvis_kit import access, audit
from parvis_kit.db import Database, Tx, unique_violation
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Unauthorized
from sqlalchemy.exc import IntegrityError

from parvis_directory import queries, rules, store
from parvis_directory.rules import (
    Asker,
    Directorate,
    KeptAppPassword,
    Kind,
    Language,
    Ministry,
    Person,
    Role,
    Session,
    State,
    Team,
)

T = TypeVar("T")
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""Argon2id as OWASP asks for at the least: 19 MiB, two passes."""
NOBODYS_HASH = HASHER.hash("nobody")
"""Checked where no account is found, so that the time tells nothing."""
NOT_KNOWN = "This e-mail and password do not belong together."
OVERLAP = timedelta(hours=24)
"""A key is known this long before it signs, and counts this long after the next one has taken over; a demonstration's tokens live 12 h."""


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


@dataclass(frozen=True, slots=True)
class SignedIn:
    session: Session
    secret: str = field(repr=False)
    """Goes into the cookie; only its digest is kept."""
    agent: Person


async def unless_taken(work: Awaitable[T], taken: str, missing: str) -> T:
    """Raises Conflict when a unique value is taken, Invalid when what is referred to is not there."""
    try:
        return await work
    except IntegrityError as error:
        raise (Conflict(taken) if unique_violation(error) else Invalid(missing)) from None


def check_revision(revision: int, if_match: str) -> None:
    """Raises PreconditionFailed when the thing has changed since it was read."""
    if if_match != f'"{revision}"':
        raise PreconditionFailed("It has changed since you read it: read it again, then send its new ETag.")


# agents


async def create_agent(tx: Tx, asker: Asker, new: NewPerson, *, now: datetime) -> Person:
    """An account, active at once. Raises Forbidden, Invalid, Conflict when the e-mail has one."""
    rules.check_may_change(asker, new.ministry_id)
    rules.check_roles(asker, ["agent"], new.roles)
    rules.check_expiry(new.kind, new.expires_at, now)
    person = Person(
        new_id(), new.ministry_id, new.directorate_id, new.kind, "active", rules.folded_email(new.email), new.given_name, new.family_name,
        new.language, sorted({*new.roles, "agent"}), new.expires_at, 1,
    )  # fmt: skip
    taken, missing = "This e-mail has an account already.", "There is no such ministry, or no such directorate in it."
    await unless_taken(store.add_agent(tx, person), taken, missing)
    await audit.record(tx, who=asker.id, what="agent.create", on=person.id, at=now)
    publish(tx, AgentJoined(at=now, about=str(person.id), agent_id=person.id, ministry_id=person.ministry_id, kind=person.kind))
    publish(tx, agent_state(person, now))
    return person


async def change_agent(tx: Tx, asker: Asker, agent_id: UUID, changes: Changes, *, if_match: str, now: datetime) -> Person:
    """Raises NotFound, Forbidden, PreconditionFailed, Conflict, Invalid."""
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    rules.check_may_change(asker, person.ministry_id)
    check_revision(person.revision, if_match)
    values = {name: value for name in Changes.__slots__ if (value := getattr(changes, name)) is not None}
    if "roles" in values:
        values["roles"] = sorted({*values["roles"], "agent"})
        rules.check_roles(asker, person.roles, values["roles"])
    rules.check_expiry(person.kind, values.get("expires_at", person.expires_at), now)
    state: State = values.pop("state", person.state)
    if state != person.state:
        person = await _change_state(tx, asker, person, state, now)
    if values:
        person = await store.change_agent(tx, person, **values)
        await audit.record(tx, who=asker.id, what=f"agent.change {' '.join(sorted(values))}", on=person.id, at=now)
    publish(tx, agent_state(person, now))
    return person


async def _change_state(tx: Tx, asker: Asker, person: Person, state: State, now: datetime) -> Person:
    """Whoever may not act any more loses every session and app password, in the same transaction."""
    rules.check_next_state(person.state, state)
    changed = await store.change_agent(tx, person, state=state)
    await audit.record(tx, who=asker.id, what=f"agent.{state}", on=person.id, at=now)
    about = str(person.id)
    match state:
        case "suspended":
            publish(tx, AgentSuspended(at=now, about=about, agent_id=person.id))
        case "active":
            publish(tx, AgentReinstated(at=now, about=about, agent_id=person.id))
        case "left":
            publish(tx, AgentLeft(at=now, about=about, agent_id=person.id, ministry_id=person.ministry_id))
    if state in ("suspended", "left"):
        await end_sessions(tx, person.id, now=now)
    if state == "left":
        for kept in await store.revoke_app_passwords(tx, person.id, now):
            say_revoked(tx, kept, now)
    return changed


async def move_agent(
    tx: Tx, asker: Asker, agent_id: UUID, ministry_id: UUID, directorate_id: UUID | None, *, if_match: str, now: datetime
) -> Person:
    """Identity and files stay. Raises Forbidden, NotFound, PreconditionFailed, Invalid."""
    rules.check_operator(asker)
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    check_revision(person.revision, if_match)
    moving = store.change_agent(tx, person, ministry_id=ministry_id, directorate_id=directorate_id)
    moved = await unless_taken(moving, "", "There is no such ministry, or no such directorate in it.")
    await audit.record(tx, who=asker.id, what="agent.move", on=agent_id, at=now)
    publish(
        tx,
        AgentMoved(
            at=now, about=str(agent_id), agent_id=agent_id, from_ministry_id=person.ministry_id, to_ministry_id=ministry_id,
            from_directorate_id=person.directorate_id, to_directorate_id=directorate_id,
        ),
        agent_state(moved, now),
    )  # fmt: skip
    return moved


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


# ministries and directorates


async def create_ministry(tx: Tx, asker: Asker, siren: str, name: str, *, now: datetime) -> Ministry:
    """Raises Forbidden, Invalid, Conflict when the SIREN is aboard."""
    rules.check_operator(asker)
    rules.check_siren(siren)
    one = Ministry(new_id(), siren, name, True, 1)
    await unless_taken(store.add_ministry(tx, one), f"SIREN {siren} is aboard already.", "")
    await audit.record(tx, who=asker.id, what="ministry.create", on=one.id, at=now)
    publish(tx, MinistryOnboarded(at=now, about=str(one.id), ministry_id=one.id, siren=siren))
    await _say_ministry(tx, one, now)
    return one


async def change_ministry(
    tx: Tx, asker: Asker, ministry_id: UUID, *, name: str | None, app_passwords: bool | None, if_match: str, now: datetime
) -> Ministry:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    one = await queries.ministry_for(tx, asker, ministry_id, lock=True)
    rules.check_may_change(asker, one.id)
    check_revision(one.revision, if_match)
    one = await store.change_ministry(
        tx, one, name=one.name if name is None else name, app_passwords=one.app_passwords if app_passwords is None else app_passwords
    )
    await audit.record(tx, who=asker.id, what="ministry.change", on=one.id, at=now)
    await _say_ministry(tx, one, now)
    return one


async def create_directorate(tx: Tx, asker: Asker, ministry_id: UUID, name: str, siret: str | None, *, now: datetime) -> Directorate:
    """Raises NotFound, Forbidden, Invalid, Conflict when the name is taken."""
    ministry = await queries.ministry_for(tx, asker, ministry_id, lock=True)
    rules.check_may_change(asker, ministry_id)
    if siret is not None:
        rules.check_siret(siret)
    one = Directorate(new_id(), ministry_id, name, siret)
    await unless_taken(store.add_directorate(tx, one), f"The ministry has a directorate of the name {name}.", "")
    await audit.record(tx, who=asker.id, what="directorate.create", on=one.id, at=now)
    await _say_ministry(tx, ministry, now)
    return one


async def _say_ministry(tx: Tx, one: Ministry, now: datetime) -> None:
    units = tuple(SaidDirectorate(directorate_id=each.id, name=each.name) for each in await store.directorates_of(tx, one.id))
    publish(tx, MinistryState(at=now, about=str(one.id), ministry_id=one.id, siren=one.siren, name=one.name, directorates=units))


# teams


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
    await audit.record(tx, who=asker.id, what="team.change", on=one.id, at=now)
    about = str(one.id)
    publish(
        tx,
        TeamChanged(
            at=now, about=about, team_id=one.id, ministry_id=one.ministry_id, added=tuple(sorted(added)), removed=tuple(sorted(removed))
        ),
        TeamState(at=now, about=about, team_id=one.id, ministry_id=one.ministry_id, name=one.name, members=tuple(members)),
    )


# sessions


async def set_hashed_password(tx: Tx, agent_id: UUID, hashed: str) -> None:
    """For the demonstration's local sign-in; hashed by HASHER, in a thread."""
    await store.set_password(tx, agent_id, hashed)


async def sign_in(database: Database, email: str, password: str, *, hours_max: int, where: str, now: datetime) -> SignedIn:
    """A session for whoever knows the password. Raises Unauthorized, in the same words and time whatever was wrong."""
    async with database.read() as conn:
        found = await store.find_password(conn, email.strip().casefold())
    person, hashed = found if found else (None, None)
    if not await asyncio.to_thread(_fits, hashed or NOBODYS_HASH, password) or person is None or hashed is None:
        async with database.transaction() as tx:
            await audit.record(
                tx, who="nobody", what="session.create", on=person.id if person else "", decision="refused", at=now, where=where
            )
        raise Unauthorized(NOT_KNOWN)
    async with database.transaction() as tx:
        person = await store.find_agent(tx, person.id, lock=True)
        if person is None or person.state in ("suspended", "left") or (person.expires_at is not None and person.expires_at <= now):
            raise Unauthorized("This account is closed or suspended: ask your ministry's administrator.")
        secret = token_urlsafe(32)
        session = await open_session(tx, person.id, secret, life=timedelta(hours=hours_max), where=where, now=now)
    return SignedIn(session, secret, person)


async def open_session(tx: Tx, agent_id: UUID, secret: str = "", *, life: timedelta, now: datetime, where: str = "") -> Session:
    """Without a secret no cookie can name it."""
    session = Session(new_id(), agent_id, token_urlsafe(32), now, now, now + life)
    await store.add_session(tx, session, digest_of(secret or token_urlsafe(32)))
    await audit.record(tx, who=agent_id, what="session.create", on=session.id, at=now, where=where)
    publish(tx, CredentialIssued(at=now, about=str(session.id), credential_id=session.id, agent_id=agent_id, kind="session"))
    return session


def _fits(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except Argon2Error:
        return False


def digest_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


async def renew_token(
    tx: Tx, secret: str, csrf: str, *, idle: timedelta, issuer: str, now: datetime, life: timedelta = access.TOKEN_LIFE
) -> tuple[access.Claims, Session]:
    """What a token of this session may say; the exchange is the session's touch. Raises Unauthorized, Forbidden."""
    found = await store.touch_session(tx, digest_of(secret), now, now - idle)
    if found is None:
        raise Unauthorized("This session has ended: sign in again.")
    session, person = found
    if session.csrf != csrf:
        raise Forbidden("Send the session's own token as X-CSRF-Token: sign-in gave it.")
    if person.state in ("suspended", "left") or (person.expires_at is not None and person.expires_at <= now):
        raise Unauthorized("This account is closed or suspended: ask your ministry's administrator.")
    return claims_for(person, session.id, issuer=issuer, now=now, life=life), session


def claims_for(person: Person, session_id: UUID, *, issuer: str, now: datetime, life: timedelta) -> access.Claims:
    return access.claims_of(
        agent_id=person.id, session_id=session_id, ministry_id=person.ministry_id, roles=tuple(person.roles),
        scopes=rules.SESSION_SCOPES, issuer=issuer, now=now, life=life,
    )  # fmt: skip


async def sign_out(tx: Tx, secret: str, csrf: str, *, idle: timedelta, now: datetime) -> None:
    """The session ends everywhere, as soon as the fact is there. Raises Unauthorized, Forbidden."""
    found = await store.touch_session(tx, digest_of(secret), now, now - idle)
    if found is None:
        raise Unauthorized("This session has ended already.")
    if found[0].csrf != csrf:
        raise Forbidden("Send the session's own token as X-CSRF-Token: sign-in gave it.")
    await end_sessions(tx, found[1].id, now=now, session_id=found[0].id)


async def end_sessions(tx: Tx, agent_id: UUID, *, now: datetime, session_id: UUID | None = None) -> int:
    """All of an agent's sessions, or one; how many there were."""
    ended = await store.revoke_sessions(tx, agent_id, now, session_id)
    for session in ended:
        about = str(session.id)
        publish(
            tx,
            CredentialRevoked(at=now, about=about, credential_id=session.id, agent_id=agent_id, kind="session"),
            CredentialState(
                at=now,
                about=about,
                credential_id=session.id,
                agent_id=agent_id,
                kind="session",
                state="revoked",
                expires_at=session.expires_at,
            ),
        )
    return len(ended)


# app passwords


async def create_app_password(
    tx: Tx, asker: Asker, name: str, scopes: Sequence[str], expires_at: datetime, *, now: datetime
) -> tuple[KeptAppPassword, access.AppPassword]:
    """The secret is in the answer and nowhere else. Raises Forbidden when the ministry has none, Invalid, Conflict."""
    rules.check_app_password(scopes, expires_at, now)
    ministry = await store.find_ministry(tx, asker.ministry_id)
    if ministry is None or not ministry.app_passwords:
        raise Forbidden("Your ministry does not use app passwords.")
    if len(await store.app_passwords_of(tx, asker.id)) >= rules.APP_PASSWORDS_MAX:
        raise Conflict(f"You have {rules.APP_PASSWORDS_MAX} app passwords: revoke one first.")
    made = access.make_app_password()
    kept = KeptAppPassword(new_id(), asker.id, name, made.prefix, sorted(set(scopes)), now, expires_at, None)
    await store.add_app_password(tx, kept, made.digest)
    await audit.record(tx, who=asker.id, what="app_password.create", on=kept.id, at=now)
    about = str(kept.id)
    publish(
        tx,
        CredentialIssued(at=now, about=about, credential_id=kept.id, agent_id=asker.id, kind="app_password"),
        CredentialState(
            at=now, about=about, credential_id=kept.id, agent_id=asker.id, kind="app_password", state="active", prefix=made.prefix,
            digest=made.digest, scopes=tuple(kept.scopes), expires_at=expires_at,
        ),
    )  # fmt: skip
    return kept, made


async def revoke_app_password(tx: Tx, asker: Asker, password_id: UUID, *, now: datetime) -> None:
    """Raises NotFound: another's is answered like none."""
    revoked = await store.revoke_app_passwords(tx, asker.id, now, password_id)
    if not revoked:
        raise NotFound(f"There is no app password {password_id}.")
    await audit.record(tx, who=asker.id, what="app_password.revoke", on=password_id, at=now)
    for kept in revoked:
        say_revoked(tx, kept, now)


def say_revoked(tx: Tx, kept: KeptAppPassword, now: datetime) -> None:
    about = str(kept.id)
    publish(
        tx,
        CredentialRevoked(at=now, about=about, credential_id=kept.id, agent_id=kept.agent_id, kind="app_password"),
        CredentialState(
            at=now, about=about, credential_id=kept.id, agent_id=kept.agent_id, kind="app_password", state="revoked", prefix=kept.prefix,
            scopes=tuple(kept.scopes), expires_at=kept.expires_at,
        ),
    )  # fmt: skip


# signing keys


async def rotate_signing_keys(database: Database, *, days: int, now: datetime) -> bool:
    """Make the first key, or the next one a day before it is due; whether one was made. Others know it before it signs."""
    if not await _is_due(database, now):
        return False
    key = await asyncio.to_thread(access.make_key)
    async with database.transaction() as tx:
        await store.lock_signing_keys(tx)
        known = await store.signing_keys(tx, now)
        if known and not _key_is_due(known, now):
            return False
        signs_from = known[0].not_after - OVERLAP if known else now
        not_after = max(signs_from, now) + timedelta(days=days) + OVERLAP
        jwk = access.public_jwk(key)
        pem = key.as_pem(private=True).decode()
        await store.add_signing_key(
            tx, {"kid": key.kid, "pem": pem, "jwk": jwk, "signs_from": max(signs_from, now), "not_after": not_after}
        )
        await audit.record(tx, who="directory", what="signing_key.create", on=key.kid, at=now)
        publish(tx, SigningKeyState(at=now, about=str(key.kid), kid=str(key.kid), jwk=jwk, not_after=not_after))
    return True


async def _is_due(database: Database, now: datetime) -> bool:
    async with database.read() as conn:
        known = await store.signing_keys(conn, now)
    return not known or _key_is_due(known, now)


def _key_is_due(known: Sequence[store.SigningKeyRow], now: datetime) -> bool:
    return known[0].not_after - 2 * OVERLAP <= now


async def forget_sessions(database: Database, *, now: datetime) -> int:
    """Rows of sessions that ended a day ago."""
    async with database.transaction() as tx:
        return await store.forget_sessions(tx, now - timedelta(days=1))
