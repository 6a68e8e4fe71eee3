"""Signing in, tokens, and the end of sessions."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from parvis_contracts.directory import CredentialIssued, CredentialRevoked, CredentialState
from parvis_kit import access, audit
from parvis_kit.db import Database, Tx
from parvis_kit.events import publish
from parvis_kit.ids import new_id
from parvis_kit.problems import Forbidden, Unauthorized

from parvis_directory import queries, rules, store
from parvis_directory.rules import Asker, Person, Session
from parvis_directory.store import people

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""Argon2id as OWASP asks for at the least: 19 MiB, two passes."""
NOBODYS_HASH = HASHER.hash("nobody")
"""Checked where no account is found, so that the time tells nothing."""
NOT_KNOWN = "This e-mail and password do not belong together."
CLOSED = "This account is closed or suspended: ask your ministry's administrator."


@dataclass(frozen=True, slots=True)
class SignedIn:
    session: Session
    secret: str = field(repr=False)
    """Goes into the cookie; only its digest is kept."""
    agent: Person


async def set_hashed_password(tx: Tx, asker: Asker, agent_id: UUID, hashed: str, *, now: datetime) -> int:
    """Hashed by HASHER, in a thread. Whoever was signed in by another one is so no more: how many sessions ended. Raises NotFound,
    Forbidden, Conflict."""
    person = await queries.agent_for(tx, asker, agent_id, lock=True)
    rules.check_operator(asker)
    rules.check_may_sign_in(person, now)
    await people.set_password(tx, agent_id, hashed)
    await audit.record(tx, who=asker.who, what="agent.password", on=agent_id, ministry=person.ministry_id, at=now)
    return await end_sessions(tx, agent_id, now=now)


async def sign_in(database: Database, email: str, password: str, *, hours_max: int, where: str, now: datetime) -> SignedIn:
    """A session for whoever knows the password. Raises Unauthorized, in the same words and time whatever was wrong."""
    async with database.read() as conn:
        found = await people.find_password(conn, email.strip().casefold())
    person, hashed = found if found else (None, None)
    if not await asyncio.to_thread(_fits, hashed or NOBODYS_HASH, password) or person is None or hashed is None:
        async with database.transaction() as tx:
            await _refused(tx, person, where, now)
        raise Unauthorized(NOT_KNOWN)
    async with database.transaction() as tx:
        found = await people.find_password(tx, person.email, lock=True)
        fits = found is not None and found[1] == hashed  # else another one was set meanwhile
        if found is not None and fits and rules.may_sign_in(found[0], now):
            secret = token_urlsafe(32)
            session = await open_session(tx, found[0], secret, life=timedelta(hours=hours_max), where=where, now=now)
            return SignedIn(session, secret, found[0])
        await _refused(tx, person, where, now)
    raise Unauthorized(CLOSED if fits else NOT_KNOWN)


async def _refused(tx: Tx, person: Person | None, where: str, now: datetime) -> None:
    """Beside the refusal, which would take the row back with it."""
    on, ministry = (person.id, person.ministry_id) if person else ("", None)
    await audit.record(tx, who="nobody", what="session.create", on=on, ministry=ministry, decision="refused", at=now, where=where)


async def open_session(tx: Tx, agent: Person, secret: str = "", *, life: timedelta, now: datetime, where: str = "") -> Session:
    """Without a secret no cookie can name it."""
    session = Session(new_id(), agent.id, token_urlsafe(32), now, now, now + life)
    await store.add_session(tx, session, digest_of(secret or token_urlsafe(32)))
    await audit.record(tx, who=agent.id, what="session.create", on=session.id, ministry=agent.ministry_id, at=now, where=where)
    publish(tx, CredentialIssued(at=now, about=str(session.id), credential_id=session.id, agent_id=agent.id, kind="session"))
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
    if not rules.may_sign_in(person, now):
        raise Unauthorized(CLOSED)
    return claims_for(person, session.id, issuer=issuer, now=now, life=life), session


def claims_for(person: Person, session_id: UUID, *, issuer: str, now: datetime, life: timedelta) -> access.Claims:
    return access.claims_of(
        agent_id=person.id, session_id=session_id, ministry_id=person.ministry_id, roles=tuple(person.roles),
        scopes=rules.SESSION_SCOPES, issuer=issuer, now=now, life=life,
    )  # fmt: skip


async def sign_out(tx: Tx, secret: str, csrf: str, *, idle: timedelta, where: str, now: datetime) -> None:
    """The session ends everywhere, as soon as the fact is there. Raises Unauthorized, Forbidden."""
    found = await store.touch_session(tx, digest_of(secret), now, now - idle)
    if found is None:
        raise Unauthorized("This session has ended already.")
    if found[0].csrf != csrf:
        raise Forbidden("Send the session's own token as X-CSRF-Token: sign-in gave it.")
    session, person = found
    await end_sessions(tx, person.id, now=now, session_id=session.id)
    await audit.record(tx, who=person.id, what="session.end", on=session.id, ministry=person.ministry_id, at=now, where=where)


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


async def forget_sessions(database: Database, *, now: datetime) -> int:
    """Rows of sessions that ended a day ago."""
    async with database.transaction() as tx:
        return await store.forget_sessions(tx, now - timedelta(days=1))
