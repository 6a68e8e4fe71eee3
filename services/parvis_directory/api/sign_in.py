"""Signing in, tokens, signing out, and the keys by which tokens are checked."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from aiohttp import web
from parvis_kit import access
from parvis_kit.http import (
    CLOCK,
    DB,
    Body,
    Header,
    Limiter,
    Reply,
    Request,
    Routes,
    client_address,
    limit_account,
    limit_client,
)
from parvis_kit.problems import Forbidden, NotFound, TooManyRequests, Unauthorized, Unavailable
from pydantic import Field

from parvis_directory import actions, queries
from parvis_directory.api.common import Email
from parvis_directory.rules import PASSWORD_CHARACTERS_MAX

ROUTES = Routes("directory", "1")
Csrf = Annotated[str, Header("X-CSRF-Token"), Field(max_length=128, description="Sign-in gave it.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """What signing in goes by in this installation."""

    is_open: bool
    idle: timedelta
    hours_max: int
    issuer: str
    public_url: str
    by_address: Limiter
    by_account: Limiter

    @property
    def is_secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        """`__Host-` binds it to this host and to TLS (RFC 6265bis §4.1.3.2); over plain http browsers would drop it."""
        return "__Host-parvis_session" if self.is_secure else "parvis_session"


DESK = web.RequestKey("desk", Desk)


class SignIn(Body):
    email: Email
    password: Annotated[str, Field(min_length=1, max_length=PASSWORD_CHARACTERS_MAX, repr=False)]


@dataclass(slots=True)
class Session:
    agent_id: UUID
    csrf_token: str = field(repr=False)


@dataclass(slots=True)
class Token:
    access_token: str = field(repr=False)
    token_type: str
    expires_in: int
    """Seconds."""


@dataclass(slots=True)
class Keys:
    keys: list[dict[str, str]]


def refuse_other_sites(request: Request) -> None:
    """Browsers say where a request comes from (Fetch Metadata, Origin); whoever says nothing is no browser."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin", "none") or (origin is not None and origin != request[DESK].public_url):
        raise Forbidden("This request comes from another site.")


def secret_of(request: Request) -> str:
    """Raises Unauthorized."""
    secret = request.cookies.get(request[DESK].cookie, "")
    if not secret or len(secret) > 128:
        raise Unauthorized("There is no session: sign in first.")
    return secret


@ROUTES.post("/auth/sign-in", status=200, problems=(Unauthorized, Forbidden, NotFound, TooManyRequests))
async def sign_in(request: Request, body: SignIn) -> web.StreamResponse:
    """Begin a session, with an e-mail and a password, where local sign-in is on; the cookie is for /auth alone."""
    desk = request[DESK]
    refuse_other_sites(request)
    if not desk.is_open:
        raise NotFound("Passwords are not used here: sign in with your ministry's provider.")
    address = limit_client(desk.by_address, request)
    key = limit_account(desk.by_account, body.email)
    signed = await actions.sign_in(
        request[DB], body.email, body.password, hours_max=desk.hours_max, where=client_address(request), now=request[CLOCK]()
    )
    desk.by_address.give_back(address)
    desk.by_account.give_back(key)
    answer = web.json_response({"agent_id": str(signed.agent.id), "csrf_token": signed.session.csrf})
    answer.set_cookie(
        desk.cookie, signed.secret, max_age=desk.hours_max * 3600, httponly=True, secure=desk.is_secure, samesite="Strict", path="/"
    )
    return answer


@ROUTES.post("/auth/token", status=200, problems=(Unauthorized, Forbidden, Unavailable))
async def exchange_token(request: Request, csrf: Csrf) -> Token:
    """A signed token for ten minutes in exchange for the session's cookie; this is also the session's touch."""
    refuse_other_sites(request)
    desk, now = request[DESK], request[CLOCK]()
    async with request[DB].transaction() as tx:
        claims, _ = await actions.renew_token(tx, secret_of(request), csrf, idle=desk.idle, issuer=desk.issuer, now=now)
        kid, pem = await queries.key_that_signs(tx, now)
    token = await asyncio.to_thread(lambda: access.sign(claims, access.private_key(pem, kid)))
    return Token(token, "Bearer", int(access.TOKEN_LIFE.total_seconds()))


@ROUTES.post("/auth/sign-out", status=204, problems=(Unauthorized, Forbidden))
async def sign_out(request: Request, csrf: Csrf) -> None:
    """End the session here and everywhere."""
    refuse_other_sites(request)
    async with request[DB].transaction() as tx:
        await actions.sign_out(tx, secret_of(request), csrf, idle=request[DESK].idle, where=client_address(request), now=request[CLOCK]())


@ROUTES.get("/auth/keys")
async def list_keys(request: Request) -> Reply[Keys]:
    """The public keys by which tokens are checked (RFC 7517)."""
    async with request[DB].read() as conn:
        return Reply(Keys([dict(key) for key in await queries.public_keys(conn, request[CLOCK]())]))
