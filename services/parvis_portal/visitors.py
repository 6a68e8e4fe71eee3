"""Who visits: the session's cookie exchanged for a token at directory, kept for some minutes, and no request taken from another site."""

import hmac
import re
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, cast

from aiohttp import web
from parvis_kit.http import Request
from parvis_kit.problems import Forbidden
from pydantic_core import from_json

from parvis_portal.calling import Calling, Refused

Language = Literal["fr", "en"]
LANGUAGES: tuple[Language, ...] = ("fr", "en")
VISITORS_MAX = 5_000
"""Remembered at once, 2 kB each; whoever came longest ago is asked for anew."""
KEPT_SECONDS = 300.0
"""Half of a token's life. Each service judges the token anew, so an ended session is out at once all the same."""
NAMES_MAX = 500
"""Of colleagues, remembered for one visitor."""
COOKIE = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""As directory makes them: nothing else is handed on in a header."""


class SignedOut(Exception):
    """There is no session, or it has ended."""


@dataclass(slots=True)
class Visitor:
    """An agent, signed in."""

    id: str
    ministry_id: str
    name: str
    email: str
    language: Language
    roles: frozenset[str]
    token: str = field(repr=False)
    csrf: str = field(repr=False)
    names: dict[str, str] = field(default_factory=dict, repr=False)
    """Colleagues' names by id."""

    def __post_init__(self) -> None:
        self.names[self.id] = self.name

    @property
    def is_administrator(self) -> bool:
        return "ministry_administrator" in self.roles or self.is_operator

    @property
    def is_finance(self) -> bool:
        return "finance" in self.roles

    @property
    def is_operator(self) -> bool:
        return "operator" in self.roles


@dataclass(slots=True)
class Visitors:
    """Those who are at work, by the digest of their cookies."""

    calling: Calling
    public_url: str
    monotonic: Callable[[], float]
    kept: OrderedDict[bytes, tuple[float, Visitor]] = field(default_factory=OrderedDict)

    @property
    def is_secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """As directory names it."""
        return "__Host-parvis_session" if self.is_secure else "parvis_session"

    @property
    def csrf_cookie(self) -> str:
        """The session's own token against forged requests, out of scripts' reach; pages carry it in their forms."""
        return "__Host-parvis_portal" if self.is_secure else "parvis_portal"

    def cookies_of(self, request: Request) -> tuple[str, str]:
        """Raises SignedOut."""
        secret, csrf = request.cookies.get(self.session_cookie, ""), request.cookies.get(self.csrf_cookie, "")
        if not COOKIE.fullmatch(secret) or not COOKIE.fullmatch(csrf):
            raise SignedOut
        return secret, csrf

    async def of(self, request: Request) -> Visitor:
        """Raises SignedOut, Away."""
        secret, csrf = self.cookies_of(request)
        key, now = digest_of(secret, csrf), self.monotonic()
        until, visitor = self.kept.get(key, (0.0, None))
        if visitor is not None and now < until:
            self.kept.move_to_end(key)
            return visitor
        visitor = await self.ask(secret, csrf)
        self.kept[key] = now + KEPT_SECONDS, visitor
        if len(self.kept) > VISITORS_MAX:
            self.kept.popitem(last=False)
        return visitor

    async def ask(self, secret: str, csrf: str) -> Visitor:
        """Directory exchanges the session for a token, and says whose it is. Raises SignedOut, Away."""
        try:
            said = await self.calling.ask("directory", "POST", "/auth/token", headers=self.as_session(secret, csrf))
            token = said.json["access_token"]
            agent = claims_in(token)["sub"]
            person = (await self.calling.ask("directory", "GET", f"/api/directory/v1/agents/{agent}", token=token)).json
        except Refused as refused:
            if refused.status in (401, 403, 422):
                raise SignedOut from None
            raise
        return Visitor(
            person["id"], person["ministry_id"], f"{person['given_name']} {person['family_name']}", person["email"],
            person["language"], frozenset(person["roles"]), token, csrf,
        )  # fmt: skip

    def as_session(self, secret: str, csrf: str) -> Mapping[str, str]:
        return {"Cookie": f"{self.session_cookie}={secret}", "X-CSRF-Token": csrf}

    def forget(self, request: Request) -> None:
        """The next request asks directory anew."""
        self.kept.pop(digest_of(*self.cookies_of(request)), None)

    def check_site(self, request: Request) -> None:
        """What changes something comes from a page of ours: browsers say so. Raises Forbidden."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site is not None and site not in ("same-origin", "none"):
            raise Forbidden("This request comes from another site.")
        if site is None and origin is not None and origin != self.public_url:
            raise Forbidden("This request comes from another site.")

    def check_form(self, visitor: Visitor, said: str) -> None:
        """And the form carries the session's own token. Raises Forbidden."""
        if not hmac.compare_digest(said.encode(errors="replace"), visitor.csrf.encode()):
            raise Forbidden("This form is of another session.")

    def set_csrf(self, answer: web.StreamResponse, csrf: str, hours_max: int) -> None:
        answer.set_cookie(
            self.csrf_cookie, csrf, max_age=hours_max * 3600, httponly=True, secure=self.is_secure, samesite="Strict", path="/"
        )

    def clear(self, answer: web.StreamResponse) -> None:
        """Both cookies go."""
        for name in (self.session_cookie, self.csrf_cookie):
            answer.del_cookie(name, path="/", secure=self.is_secure, httponly=True, samesite="Strict")


def digest_of(secret: str, csrf: str) -> bytes:
    return sha256(f"{secret}\0{csrf}".encode()).digest()


def claims_in(token: str) -> dict[str, Any]:
    """What a token says that directory has just handed to us; its signature is for the services to check."""
    payload = token.split(".")[1]
    return cast(dict[str, Any], from_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def language_of(request: Request) -> Language:
    """What the browser prefers of the two; French when it says nothing (RFC 9110 §12.5.4)."""
    best: Language = "fr"
    weight = 0.0
    for part in request.headers.get("Accept-Language", "")[:200].split(","):
        name, _, quality = part.partition(";q=")
        tag = name.strip().partition("-")[0].lower()
        try:
            number = float(quality or 1)
        except ValueError:
            continue
        if tag in LANGUAGES and number > weight:
            best, weight = tag, number
    return best
