"""What Matrix' doors share: who asks by which token, bodies read and answered as Matrix has it, refusals as errcodes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from parvis_kit.context import acting_as
from parvis_kit.http import CLOCK, DB, Request, Routes
from parvis_kit.http.answers import GUARD
from parvis_kit.problems import Forbidden, Problem, TooLarge, TooManyRequests, Unauthorized, Unavailable
from parvis_roster import WhoAsks

from parvis_messaging.homeserver import Home
from parvis_messaging.queries import sessions
from parvis_messaging.rules import JsonObject, Session
from parvis_messaging.rules.matrix import BODY_BYTES_MAX, ID_CHARACTERS_MAX, Refused, check_text, read_object, too_large

HOME = web.RequestKey("HOME", Home)
WHO: web.RequestKey[WhoAsks] = web.RequestKey("WHO")
"""The one that knows app passwords."""
BODY_SECONDS_MAX = 15.0
VERSIONS = ("v3", "r0")
"""Clients of before 2021 say r0."""
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
}
"""As the specification asks, for clients in a browser: a token in a header is no cookie, and no site has it by itself."""
RETRY_MS = 2000
ERRCODES: dict[int, str] = {401: "M_UNKNOWN_TOKEN", 403: "M_FORBIDDEN", 404: "M_NOT_FOUND", 405: "M_UNRECOGNIZED", 408: "M_UNKNOWN"}


@dataclass(slots=True)
class Call:
    """A request of a Matrix client."""

    request: Request
    home: Home
    now: datetime
    _session: Session | None = None
    digest: str = ""

    @property
    def session(self) -> Session:
        assert self._session is not None  # noqa: S101 (a door that has it is one that asked for it)
        return self._session

    def path(self, name: str) -> str:
        """A part of the path, decoded. Raises Refused."""
        value = self.request.match_info.get(name, "")
        if len(value) > ID_CHARACTERS_MAX:
            raise Refused(400, "M_INVALID_PARAM", f"{name} has at most {ID_CHARACTERS_MAX} characters.")
        return check_text(value)

    def query(self, name: str) -> str | None:
        value = self.request.query.get(name)
        return check_text(value) if value is not None else None

    async def body(self) -> JsonObject:
        """Raises Refused."""
        return read_object(await read_bytes(self.request, BODY_BYTES_MAX))


Door = Callable[[Call], Awaitable[Any]]
"""Gives what is answered as JSON, or a response of its own."""


def answer(body: Any, status: int = 200) -> web.Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=text, status=status, headers={**GUARD, **CORS, "Content-Type": "application/json"})


def refusal(refused: Refused) -> web.Response:
    response = answer(refused.body(), refused.status)
    if "retry_after_ms" in refused.more:
        response.headers["Retry-After"] = str(-(-int(refused.more["retry_after_ms"]) // 1000))
    return response


def as_refused(problem: Problem) -> Refused:
    """A refusal of the kit, as a Matrix client understands it."""
    match problem:
        case TooManyRequests():
            seconds = int(problem.headers.get("Retry-After", "1"))
            return Refused(429, "M_LIMIT_EXCEEDED", problem.detail, retry_after_ms=seconds * 1000)
        case Unavailable():
            return Refused(503, "M_UNKNOWN", problem.detail, retry_after_ms=RETRY_MS)
        case Unauthorized() | Forbidden():
            return Refused(403, "M_FORBIDDEN", problem.detail)
        case TooLarge():
            return Refused(413, "M_TOO_LARGE", problem.detail)
        case _:
            return Refused(problem.status, ERRCODES.get(problem.status, "M_UNKNOWN"), problem.detail)


class Doors:
    """Doors of one module, each under every version of the API that it belongs to."""

    def __init__(self) -> None:
        self.routes = Routes("messaging", "1")

    def open(
        self, method: str, path: str, *, prefix: str = "/_matrix/client/{}", versions: tuple[str, ...] = VERSIONS, signed_in: bool = True,
        waits: bool = False,
    ) -> Callable[[Door], Door]:  # fmt: skip
        def keep(door: Door) -> Door:
            handler = around(door, signed_in=signed_in, waits=waits)
            for version in versions:
                self.routes.raw(method, f"{prefix.format(version)}{path}", waits=waits)(handler)
            return door

        return keep


def around(door: Door, *, signed_in: bool, waits: bool) -> Callable[[Request], Awaitable[web.StreamResponse]]:
    async def handle(request: Request) -> web.StreamResponse:
        call = Call(request, request[HOME], request[CLOCK]())
        try:
            if signed_in and waits:
                async with call.home.waiters.looking:
                    await sign_in(call)
            elif signed_in:
                await sign_in(call)
            said = await door(call)
        except Refused as refused:
            return refusal(refused)
        except Problem as problem:
            if problem.status >= 500 and not isinstance(problem, Unavailable):
                raise
            return refusal(as_refused(problem))
        return said if isinstance(said, web.StreamResponse) else answer(said)

    return handle


async def sign_in(call: Call) -> None:
    """Whose token it is, at this moment. Raises Refused."""
    token = token_of(call.request)
    freshness = call.request[WHO].freshness
    if freshness is not None:
        freshness.check()
    call.digest = sessions.digest_of(token)
    async with call.request[DB].read() as conn:
        call._session = await sessions.session_for(conn, call.digest, call.now)
    acting_as(str(call.session.agent_id))


def token_of(request: Request) -> str:
    """From the header, never from the query, which lands in logs. Raises Refused."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Refused(401, "M_MISSING_TOKEN", "Send your access token as `Authorization: Bearer …`.")
    return check_text(token.strip()[: sessions.TOKEN_CHARACTERS_MAX])


async def read_bytes(request: Request, bytes_max: int, seconds_max: float = BODY_SECONDS_MAX) -> bytes:
    """Raises Refused. What is left of a body that is refused is not read on: the connection closes."""
    if (request.content_length or 0) > bytes_max:
        raise too_large(f"At most {bytes_max} bytes.")
    came = bytearray()
    try:
        async with asyncio.timeout(seconds_max):
            async for chunk in request.content.iter_any():
                came += chunk
                if len(came) > bytes_max:
                    raise too_large(f"At most {bytes_max} bytes.")
    except TimeoutError:
        raise Refused(408, "M_UNKNOWN", "The body did not come in time.") from None
    except web.RequestPayloadError:
        raise Refused(400, "M_NOT_JSON", "The body's framing is broken.") from None
    return bytes(came)


def is_mine(call: Call, user_id: str) -> None:
    """Raises Refused: what an account keeps is its own."""
    if user_id != call.session.user_id:
        raise Refused(403, "M_FORBIDDEN", "This belongs to another account.")
