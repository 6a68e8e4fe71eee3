"""Refusals that have a name: a status, a code and a sentence that says what to do (RFC 9457). Imports nothing of the kit."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class Problem(Exception):
    """What a caller may be told. `detail` is shown; `errors` point into the input; `headers` go with the answer."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail, self.errors, self.headers = detail, errors, dict(headers or {})


class BadRequest(Problem):
    """The request cannot be read."""

    status, code = 400, "bad-request"


class Unauthorized(Problem):
    """Nobody known is asking: sign in, or renew the token."""

    status, code = 401, "unauthorized"


class Forbidden(Problem):
    """The caller is known and may not do this."""

    status, code = 403, "forbidden"


class NotFound(Problem):
    """There is no such thing, or it is not yours: both get this answer, so absence is not an oracle."""

    status, code = 404, "not-found"


class RequestTimeout(Problem):
    """The request did not come whole in time: send it again."""

    status, code = 408, "request-timeout"


class Conflict(Problem):
    """What is asked contradicts what is there."""

    status, code = 409, "conflict"


class KeyReused(Conflict):
    """The Idempotency-Key was used with another body."""

    code = "key-reused"


class Outdated(Problem):
    """What the caller remembers is of before a restore, and some of it never happened: begin again from nothing."""

    status, code = 410, "outdated"


class LengthRequired(Problem):
    """The length of the body has to be said first."""

    status, code = 411, "length-required"


class PreconditionFailed(Problem):
    """The thing has changed since it was read: read it again, then ask with its new ETag."""

    status, code = 412, "precondition-failed"


class TooLarge(Problem):
    """The body is larger than this door takes."""

    status, code = 413, "too-large"


class UnsupportedMediaType(Problem):
    """The body is of a kind that this door does not read."""

    status, code = 415, "unsupported-media-type"


class Invalid(Problem):
    """The request was read and a value in it is not acceptable; `errors` says which."""

    status, code = 422, "invalid"


class PreconditionRequired(Problem):
    """Say which version you change: send If-Match with the ETag that you read."""

    status, code = 428, "precondition-required"


class TooManyRequests(Problem):
    """Too many in too short a time: Retry-After says when to come back."""

    status, code = 429, "too-many-requests"


class Unavailable(Problem):
    """Not now: the service is full, draining, or its database is away. Retry-After says when to come back."""

    status, code = 503, "unavailable"

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})
