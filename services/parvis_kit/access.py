"""Signatures and digests of those who ask: it checks what it is handed, and opens no database."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from secrets import choice, token_bytes
from string import ascii_lowercase, digits
from typing import Annotated, Literal
from uuid import UUID

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parvis_kit.problems import Unauthorized

ALGORITHM = "RS256"
"""Ours, never the header's: a token that names another is refused before its signature is looked at."""
KEY_BITS = 3072
"""ANSSI asks for 3072 bits for use beyond 2030."""
TOKEN_LIFE = timedelta(minutes=10)
TOKEN_BYTES_MAX = 4096
"""Ours are about 1 kB; more is refused before any arithmetic."""
TOKENS_KEPT = 512
"""A client shows the same token for ten minutes: its signature is checked once, its time and who it is at each request. 4 MB at worst."""
CLOCK_SKEW = timedelta(seconds=5)
"""Two machines' clocks differ; a token may be a little young, never too old."""
AUDIENCE = "parvis"
TOKEN_TYPE = "at+jwt"  # noqa: S105 (RFC 9068, the media type of an access token)

PREFIX_CHARACTERS = 12
SECRET_BYTES = 32
APP_PASSWORD_MARK = "parvis"  # noqa: S105 (what secret scanners look for)
APP_PASSWORD_BYTES_MAX = 128

REGISTRY = JWSRegistry(algorithms=[ALGORITHM])
Scope = Annotated[str, Field(pattern=r"^[a-z]+(:[a-z-]+)+$", max_length=64)]


class Claims(BaseModel):
    """What a signed token says (RFC 9068). Scopes travel as one string, as RFC 8693 has it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    iss: str
    aud: Literal["parvis"]
    iat: int
    exp: int
    sub: UUID
    """The agent."""
    sid: UUID
    """The session: revoked, it takes its tokens along."""
    ministry: UUID
    roles: tuple[str, ...] = ()
    scope: str = ""

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.scope.split())


@dataclass(frozen=True, slots=True)
class AppPassword:
    """What an agent types into a client. `digest` is what is kept; the secret is shown once."""

    prefix: str
    secret: str

    def __str__(self) -> str:
        return f"{APP_PASSWORD_MARK}_{self.prefix}_{self.secret}"

    def __repr__(self) -> str:
        return f"AppPassword({self.prefix!r}, …)"

    @property
    def digest(self) -> str:
        return sha256(self.secret.encode()).hexdigest()


PRIVATE_KEYS_MAX = 4
"""The one that signs, the next one and the last; the text of each is in the database anyway."""


def issuer_of(public_url: str) -> str:
    """Who signs, as tokens say it: the installation's public URL, or a fixed name where none is set."""
    return public_url.rstrip("/") or "urn:parvis:installation"


def make_key() -> RSAKey:
    """A fresh private key, named by its thumbprint (RFC 7638). Takes about a second of CPU: call it in a thread."""
    return RSAKey.generate_key(KEY_BITS, parameters={"use": "sig", "alg": ALGORITHM}, auto_kid=True)


@lru_cache(maxsize=PRIVATE_KEYS_MAX)
def private_key(pem: str, kid: str) -> RSAKey:
    """The key of this text. Checking its primes takes a tenth of a second, so what was read is kept."""
    return RSAKey.import_key(pem, {"use": "sig", "alg": ALGORITHM, "kid": kid})


def public_key(jwk: Mapping[str, str]) -> RSAKey:
    """A key that others published. Private members are refused: where one travels, it is no longer private."""
    if jwk.get("kty") != "RSA" or "d" in jwk:
        raise ValueError("not the public half of an RSA key")
    return RSAKey.import_key(dict(jwk))


def public_jwk(key: RSAKey) -> dict[str, str]:
    """The public half as a JSON Web Key (RFC 7517)."""
    return {name: str(value) for name, value in key.as_dict(private=False).items() if isinstance(value, str)}


def sign(claims: Claims, key: RSAKey) -> str:
    """A token. Takes about 3 ms of CPU: call it in a thread."""
    header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": key.kid}
    return jws.serialize_compact(header, claims.model_dump_json(), key, registry=REGISTRY)


def verify(token: str, keys: Mapping[str, RSAKey], *, issuer: str, now: datetime) -> tuple[Claims, str]:
    """What the token says, and the key that signed it, if that is one of these and its time has not passed.

    Raises Unauthorized, whatever it is handed.
    """
    if len(token) > TOKEN_BYTES_MAX:
        raise Unauthorized("This token is too long to be one of ours.")
    try:
        seen = _seen(token)
        key = keys.get(seen.kid)
        if key is None:
            raise UnknownKey(seen.kid)
        if seen.claims is None or seen.signed_by is not key:
            claims = Claims.model_validate_json(jws.deserialize_compact(token, key, registry=REGISTRY).payload)
            seen.signed_by, seen.claims = key, claims
        claims = seen.claims
    except UnknownKey:
        raise
    except (JoseError, ValidationError, ValueError, TypeError, AttributeError):
        raise Unauthorized("This token is not one of ours, or has been damaged: sign in again.") from None
    seconds = now.timestamp()
    if claims.iss != issuer or claims.exp <= seconds or claims.iat > seconds + CLOCK_SKEW.total_seconds():
        raise Unauthorized("This token is not for this installation, or its time has passed: renew it.")
    return claims, seen.kid


@dataclass(slots=True)
class _Seen:
    """Of a token: the key that it names, and once that has been checked, which one did sign it, and what it says."""

    kid: str
    signed_by: RSAKey | None = None
    claims: Claims | None = None


@lru_cache(maxsize=TOKENS_KEPT)
def _seen(token: str) -> _Seen:
    header = jws.extract_compact(token.encode(), registry=REGISTRY).headers()
    if header.get("typ") != TOKEN_TYPE:
        raise UnknownKey(header.get("kid"))
    return _Seen(header.get("kid", ""))


class UnknownKey(Unauthorized):
    """The token names a key that is not among those at hand: it may be new, so look once more, at a throttled rate."""

    def __init__(self, kid: object) -> None:
        super().__init__("This token was signed by a key that is not known here: sign in again.")
        self.kid = kid if isinstance(kid, str) else ""


def claims_of(
    *,
    agent_id: UUID,
    session_id: UUID,
    ministry_id: UUID,
    roles: tuple[str, ...],
    scopes: frozenset[str],
    issuer: str,
    now: datetime,
    life: timedelta = TOKEN_LIFE,
) -> Claims:
    """Claims that begin now."""
    issued = int(now.astimezone(UTC).timestamp())
    return Claims(
        iss=issuer, aud="parvis", iat=issued, exp=issued + int(life.total_seconds()),
        sub=agent_id, sid=session_id, ministry=ministry_id, roles=roles, scope=" ".join(sorted(scopes)),
    )  # fmt: skip


def make_app_password() -> AppPassword:
    """256 random bits behind a public prefix. A fast digest is enough: there is nothing to guess."""
    prefix = "".join(choice(ascii_lowercase + digits) for _ in range(PREFIX_CHARACTERS))
    return AppPassword(prefix, urlsafe_b64encode(token_bytes(SECRET_BYTES)).rstrip(b"=").decode())


def read_app_password(text: str) -> AppPassword:
    """The two halves of what was typed. Raises Unauthorized when it cannot be one."""
    mark, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if mark != APP_PASSWORD_MARK or len(text) > APP_PASSWORD_BYTES_MAX or len(prefix) != PREFIX_CHARACTERS or not secret.isascii():
        raise Unauthorized("This is not an app password: it begins with parvis_ and is made on your page of credentials.")
    return AppPassword(prefix, secret)


def check_app_password(password: AppPassword, digest: str) -> bool:
    """Whether this is the secret whose digest is kept, in a time that tells nothing."""
    return hmac.compare_digest(password.digest, digest)
