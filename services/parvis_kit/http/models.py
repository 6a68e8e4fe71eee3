"""What a door's signature is written with: inputs, replies, pages, and the headers that recur."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Generic, Protocol, TypeVar

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from parvis_kit.clock import Clock
from parvis_kit.db import Database
from parvis_kit.problems import Invalid, KeyReused, PreconditionRequired, Problem

T = TypeVar("T")

DB = web.RequestKey("DB", Database)
"""The database of the service that owns the route."""
CLOCK: web.RequestKey[Clock] = web.RequestKey("CLOCK")
"""The service's clock."""


MOMENT_FIRST, MOMENT_LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Beyond, it is a slip; and in the last hours of 9999 a moment west of Greenwich has none in UTC."""


def _in_our_times(moment: datetime) -> datetime:
    if not MOMENT_FIRST <= moment <= MOMENT_LAST:
        raise ValueError(f"must lie between {MOMENT_FIRST.year} and {MOMENT_LAST.year}")
    return moment


SentMoment = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_in_our_times)]
"""A moment that a client sends: every door takes this one."""


class Query(BaseModel):
    """What may stand after the question mark. Lax, since all of it is text; an unknown name is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Body(BaseModel):
    """A JSON object that is sent. Strict (`false` is no 0), and an unknown name is refused; models inside it are Body too."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Header:
    """Marks a parameter that comes as a header: `Annotated[str, Header("X-Name")]`."""

    name: str
    missing: type[Problem] = Invalid
    """What a request is told that leaves out a mandatory one."""
    refused: tuple[type[Problem], ...] = ()
    """What else it may be told because of it."""


class Incoming(Protocol):
    """A body that has not been read yet, so that its door may first look who asks."""

    async def read(self) -> bytes:
        """All of it. Raises TooLarge, RequestTimeout, BadRequest."""


@dataclass(frozen=True, slots=True)
class Content:
    """Marks a parameter that is the body as it comes: `Annotated[Incoming, Content(("text/csv",), bytes_max=…, seconds_max=…)]`."""

    media_types: tuple[str, ...]
    bytes_max: int
    seconds_max: float
    """Within which all of it must have come; the door's own time begins after."""


@dataclass(slots=True)
class Reply(Generic[T]):
    """A body with headers (ETag, Location) or with another success status that its route declares."""

    body: T
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None


@dataclass(slots=True)
class Page(Generic[T]):
    """A page of a list; `next` is the cursor of the page after it, null on the last."""

    items: list[T]
    next: str | None = None


IfMatch = Annotated[
    str,
    Header("If-Match", missing=PreconditionRequired),
    Field(pattern=r'^"[!#-~]{1,64}"$', description="The ETag, with its quotes, of the version that you read and now change."),
]
"""Compare it with `etag(revision)`."""

IdempotencyKey = Annotated[
    str,
    Header("Idempotency-Key", refused=(KeyReused,)),
    Field(pattern=r"^[!-~]{1,64}$", description="Chosen by the caller: the same key with the same body does the thing once."),
]

ETAG = {"ETag": "The version of the thing, for If-Match."}
LOCATION = {"Location": "Where the new thing is."}
"""For a route's `headers=`: what its success answers carry, with words for the OpenAPI document."""


def etag(revision: object) -> str:
    """The strong entity tag of a revision."""
    return f'"{revision}"'
