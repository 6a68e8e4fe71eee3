"""AWS Signature Version 4, as S3 asks for it: in the query of a URL for others, in a header for ourselves.

Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API reference; its examples are the tests.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
"""The body is vouched for by a checksum header of its own, which is signed."""
EMPTY_SHA256 = sha256(b"").hexdigest()
LIFE_MAX = timedelta(days=7)
"""S3's own limit."""


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    access_key: str
    secret: str
    region: str

    def query(
        self, method: str, host: str, path: str, *, now: datetime, life: timedelta, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        """The query string, signature included, of a request that has to bring these headers. `path` is encoded already.

        Raises ValueError for a life that S3 would refuse.
        """
        if not timedelta(seconds=1) <= life <= LIFE_MAX:
            raise ValueError(f"a signed URL lives between a second and {LIFE_MAX.days} days, not {life}")
        stamp = _stamp(now)
        signed = {"host": host, **{name.lower(): value for name, value in headers.items()}}
        asked = {
            **query,
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{self._scope(stamp)}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(int(life.total_seconds())),
            "X-Amz-SignedHeaders": ";".join(sorted(signed)),
        }
        text = canonical_query(asked)
        return f"{text}&X-Amz-Signature={self._sign(stamp, canonical(method, path, text, signed, UNSIGNED))}"

    def headers(
        self, method: str, host: str, path: str, *, now: datetime, query: str, headers: Mapping[str, str], payload_sha256: str
    ) -> dict[str, str]:
        """The headers of a request that we make ourselves, with those given. `query` is canonical already."""
        stamp = _stamp(now)
        sent = {name.lower(): value for name, value in headers.items()} | {"x-amz-content-sha256": payload_sha256, "x-amz-date": stamp}
        signed = {"host": host, **sent}
        signature = self._sign(stamp, canonical(method, path, query, signed, payload_sha256))
        credential = f"Credential={self.access_key}/{self._scope(stamp)}"
        return {**sent, "authorization": f"{ALGORITHM} {credential},SignedHeaders={';'.join(sorted(signed))},Signature={signature}"}

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/s3/aws4_request"

    def _sign(self, stamp: str, request: str) -> str:
        text = f"{ALGORITHM}\n{stamp}\n{self._scope(stamp)}\n{sha256(request.encode()).hexdigest()}"
        return hmac.digest(_key_of(self.secret, stamp[:8], self.region), text.encode(), "sha256").hex()


@lru_cache(maxsize=4)
def _key_of(secret: str, day: str, region: str) -> bytes:
    """Of one day, in one region."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _stamp(now: datetime) -> str:
    return now.strftime("%Y%m%dT%H%M%SZ")


def canonical(method: str, path: str, query: str, headers: Mapping[str, str], payload_sha256: str) -> str:
    """`headers` have lower-case names."""
    names = sorted(headers)
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload_sha256}"


def canonical_query(query: Mapping[str, str]) -> str:
    """Sorted after encoding, as the standard has it."""
    return "&".join(f"{name}={value}" for name, value in sorted((encoded(name), encoded(value)) for name, value in query.items()))


def encoded(text: str) -> str:
    """RFC 3986: all but letters, digits and `-._~`."""
    return quote(text, safe="-._~")


def encoded_path(key: str) -> str:
    """A key keeps its slashes."""
    return quote(key, safe="-._~/")
