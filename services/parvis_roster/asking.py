"""Who is asking: a signed token or an app password, and one question to the tables that know their agent."""

import asyncio
import base64
import binascii
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from aiohttp import web
from joserfc.jwk import RSAKey
from parvis_kit.access import Claims, UnknownKey, check_app_password, issuer_of, public_key, read_app_password, verify
from parvis_kit.clock import Clock
from parvis_kit.context import acting_as
from parvis_kit.db import Connection
from parvis_kit.db.driven import Question
from parvis_kit.http import DB, LATE, Limiter, Rate, Request, client_key
from parvis_kit.problems import Forbidden, TooManyRequests, Unauthorized

from parvis_roster.freshness import Freshness
from parvis_roster.tables import tables_of

CHALLENGE = 'Bearer, Basic realm="Parvis", charset="UTF-8"'
KEYS_LOOK = timedelta(seconds=1)
"""At most one look a second for keys that tokens name and nobody knows: made-up names cost no more than that."""
ADDRESS_RATE = Rate(burst=30, every_seconds=2)
"""A ministry's agents share few addresses on the RIE."""
ACCOUNT_RATE = Rate(burst=5, every_seconds=60)
REFUSED_STATES = frozenset({"suspended", "left"})
"""Not `pending`: directory lets them in first, and the copy may not have heard of it yet."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Who is asking, and what they came with."""

    id: UUID
    ministry_id: UUID
    roles: frozenset[str]
    scopes: frozenset[str]
    credential_id: UUID
    """The session or the app password."""


AGENT = web.RequestKey("agent", Agent)


@dataclass(frozen=True, slots=True)
class Questions:
    """Where the answers lie: in a roster's copy, or in directory's own tables."""

    by_token: Question
    """`:agent_id`, `:session_id`, `:kid` → one row: whether the session is revoked, until when the key counts, and Standing's fields."""
    by_prefix: Question
    """`:prefix` → one row or none: Kept's fields, then Standing's of its agent."""
    keys: sa.Select[Any]
    """`:now` → kid and jwk of each key that is still good."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an agent; all empty when nothing is."""

    state: str | None
    expires_at: datetime | None
    ministry_id: UUID | None
    roles: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an app password."""

    credential_id: UUID
    agent_id: UUID
    email: str
    digest: str
    scopes: Sequence[str]
    state: str
    expires_at: datetime | None


class Guard:
    """Counts failures by address and by account, so that nobody may guess for long; who succeeds is not slowed."""

    def __init__(self, by_address: Limiter, by_account: Limiter) -> None:
        self.by_address, self.by_account = by_address, by_account

    def admit(self, request: Request, account: str) -> None:
        """Raises TooManyRequests when this address or this account has failed too often."""
        wait = max(self.by_address.wait_seconds(client_key(request)), self.by_account.wait_seconds(account))
        if wait:
            raise TooManyRequests("Too many wrong app passwords: come back later.", headers={"Retry-After": str(math.ceil(wait))})

    def failed(self, request: Request, account: str) -> None:
        with suppress(TooManyRequests):  # it failed in any case: counting must not change the answer
            self.by_address.take(client_key(request))
            self.by_account.take(account)


class Keyring:
    """The public keys at hand, looked up again when a token names another one."""

    def __init__(self, select: sa.Select[Any], clock: Clock, issuer: str) -> None:
        self.select, self.clock, self.issuer = select, clock, issuer
        self.keys: dict[str, RSAKey] = {}
        self.looked_at: datetime | None = None
        self.looking = asyncio.Lock()

    async def verify(self, conn: Connection, token: str) -> tuple[Claims, str]:
        """Raises Unauthorized."""
        with suppress(UnknownKey):
            return verify(token, self.keys, issuer=self.issuer, now=self.clock())
        async with self.looking:  # those who come meanwhile wait for what is being looked up
            now = self.clock()
            try:
                return verify(token, self.keys, issuer=self.issuer, now=now)
            except UnknownKey:
                if self.looked_at is not None and now - self.looked_at < KEYS_LOOK:
                    raise
            rows = await conn.execute(self.select, {"now": now})
            self.keys, self.looked_at = {kid: public_key(jwk) for kid, jwk in rows}, now
            return verify(token, self.keys, issuer=self.issuer, now=now)


class WhoAsks:
    """Sets `request[AGENT]` from a Bearer token or a Basic app password; a cookie says nothing here."""

    def __init__(self, questions: Questions, *, clock: Clock, issuer: str, guard: Guard, freshness: Freshness | None = None) -> None:
        self.questions, self.clock, self.guard, self.freshness = questions, clock, guard, freshness
        self.keyring = Keyring(questions.keys, clock, issuer)

    async def __call__(self, request: Request, scope: str) -> None:
        """Raises Unauthorized, Forbidden without the scope, TooManyRequests, and Unavailable when the copy is too old to tell."""
        if self.freshness is not None:
            self.freshness.check()
            if late_seconds := self.freshness.late_seconds():
                request[LATE] = late_seconds
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        try:
            match kind.lower():
                case "bearer":
                    agent = await self.by_token(request, value.strip())
                case "basic":
                    agent = await self.by_app_password(request, value.strip())
                case _:
                    raise Unauthorized("Send a token (Bearer) or an app password (Basic); a cookie is for /auth alone.")
        except Unauthorized as refusal:
            refusal.headers.setdefault("WWW-Authenticate", CHALLENGE)
            raise
        if scope not in agent.scopes:
            raise Forbidden(
                f"This needs the scope {scope}, which what you came with does not carry.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )
        acting_as(str(agent.id))
        request[AGENT] = agent

    async def by_token(self, request: Request, token: str) -> Agent:
        async with request[DB].read() as conn:
            claims, kid = await self.keyring.verify(conn, token)
            [row] = await self.questions.by_token.rows(conn, {"agent_id": claims.sub, "session_id": claims.sid, "kid": kid})
        revoked, key_until, *rest = row
        now, standing = self.clock(), Standing(*rest)
        if key_until is None or key_until <= now:
            self.keyring.keys.pop(kid, None)
            raise Unauthorized("The key of this token has been withdrawn: sign in again.")
        if revoked:
            raise Unauthorized("This session has been ended: sign in again.")
        check_standing(standing, now)
        return Agent(
            claims.sub,
            standing.ministry_id or claims.ministry,  # an agent who is too new for the copy is who the token says
            frozenset(claims.roles if standing.roles is None else standing.roles),
            claims.scopes,
            claims.sid,
        )

    async def by_app_password(self, request: Request, encoded: str) -> Agent:
        name, text = read_basic(encoded)
        self.guard.admit(request, name)
        try:
            password = read_app_password(text)
            async with request[DB].read() as conn:
                row = await self.questions.by_prefix.one(conn, {"prefix": password.prefix})
            if row is None:
                raise Unauthorized(NOT_KNOWN)
            kept, standing = Kept(*row[:7]), Standing(*row[7:])
            now = self.clock()
            if not check_app_password(password, kept.digest) or name not in (kept.email, str(kept.agent_id)):
                raise Unauthorized(NOT_KNOWN)
            if kept.state != "active" or (kept.expires_at is not None and kept.expires_at <= now):
                raise Unauthorized("This app password was revoked or has expired: make a new one on your page of credentials.")
            check_standing(standing, now)
        except Unauthorized:
            self.guard.failed(request, name)
            raise
        if standing.ministry_id is None:
            raise Unauthorized(NOT_KNOWN)
        return Agent(kept.agent_id, standing.ministry_id, frozenset(standing.roles or ()), frozenset(kept.scopes), kept.credential_id)


NOT_KNOWN = "This name and app password do not belong together, or are not known here."


def check_standing(standing: Standing, now: datetime) -> None:
    """Raises Unauthorized for those who may not act any more."""
    if standing.state in REFUSED_STATES or (standing.expires_at is not None and standing.expires_at <= now):
        raise Unauthorized("This account is closed or suspended: ask your ministry's administrator.")


def read_basic(encoded: str) -> tuple[str, str]:
    """The name, folded as addresses are kept, and the password (RFC 7617). Raises Unauthorized when it cannot be read."""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthorized("These are no Basic credentials: send name:password in Base64, as RFC 7617 has it.") from None
    return name.strip().casefold(), password


def questions_of(service: str) -> Questions:
    """The questions to the copy that `service` keeps."""
    tables = tables_of(service)
    agent, credential, key = tables["agent"].c, tables["credential"].c, tables["signing_key"].c
    standing = (agent.state, agent.expires_at, agent.ministry_id, agent.roles)
    one = sa.select(sa.literal(1).label("one")).subquery()
    return Questions(
        by_token=Question(
            sa.select(credential.state == "revoked", key.not_after, *standing).select_from(
                one.outerjoin(tables["agent"], agent.id == sa.bindparam("agent_id", type_=sa.Uuid))
                .outerjoin(tables["credential"], credential.id == sa.bindparam("session_id", type_=sa.Uuid))
                .outerjoin(tables["signing_key"], key.kid == sa.bindparam("kid", type_=sa.Text))
            )
        ),
        by_prefix=Question(
            sa.select(
                credential.id, credential.agent_id, agent.email, credential.digest, credential.scopes, credential.state,
                credential.expires_at, *standing,
            )
            .join_from(tables["credential"], tables["agent"], agent.id == credential.agent_id)
            .where(credential.prefix == sa.bindparam("prefix"), credential.kind == "app_password")
        ),
        keys=sa.select(key.kid, key.jwk).where(key.not_after > sa.bindparam("now")),
    )  # fmt: skip


def who_asks(service: str, freshness: Freshness, *, public_url: str, guard: Guard | None = None) -> WhoAsks:
    """What `service` hands over as its `authenticate`."""
    issuer = issuer_of(public_url)
    by_address, by_account = (Limiter(rate, time.monotonic) for rate in (ADDRESS_RATE, ACCOUNT_RATE))
    usual = Guard(by_address, by_account)
    return WhoAsks(questions_of(service), clock=freshness.clock, issuer=issuer, guard=guard or usual, freshness=freshness)
