"""What a departure is, what it lacks, and when it can still be called off."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from parvis_kit.problems import Conflict, Invalid


@dataclass(frozen=True, slots=True)
class Departure:
    """An agent has left, and services have to do their part."""

    agent_id: UUID
    left_at: datetime
    settled_at: datetime | None
    """When all had."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one service has done."""

    service: str
    done_at: datetime
    what: list[str]


@dataclass(frozen=True, slots=True)
class DepartureSeen:
    """What is done and what is missing."""

    agent_id: UUID
    left_at: datetime
    settled_at: datetime | None
    done: list[Step]
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next page of departures begins: after this one, as it stood on the page before."""

    is_over: bool
    left_at: datetime
    agent_id: UUID

    def __str__(self) -> str:
        return f"{int(self.is_over)}{self.left_at.astimezone(UTC):%Y%m%dT%H%M%S%f}{self.agent_id.hex}"


@dataclass(frozen=True, slots=True)
class Leaver:
    """Whose departure it is, and how far."""

    given_name: str
    family_name: str
    email: str
    departure: DepartureSeen


@dataclass(frozen=True, slots=True)
class Leavers:
    """A page of those who have left: whose departure is open, then whose is over, of each the newest first."""

    items: list[Leaver]
    next: str | None
    """The cursor of the page after it, null on the last."""
    open: int
    """How many departures of the ministry are not over, on whichever page."""


def read_place(text: str) -> Place:
    """Raises Invalid."""
    try:
        left_at = datetime.strptime(text[1:22], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        return Place({"0": False, "1": True}[text[:1]], left_at, UUID(text[22:]))
    except (KeyError, ValueError):
        raise Invalid("`after` is the `next` of the page before, as it came.") from None


def missing(steps: Sequence[Step], services: Collection[str]) -> list[str]:
    """Who has not acknowledged yet."""
    return sorted(set(services) - {one.service for one in steps})


def check_may_return(departure: Departure | None, expires_at: datetime | None, now: datetime) -> None:
    """Raises Conflict."""
    if departure is None:
        raise Conflict("This agent has not left.")
    if departure.settled_at is not None:
        raise Conflict("This departure is over, and every service has closed its part: open a new account, which may have the same e-mail.")
    if expires_at is not None and expires_at <= now:
        raise Conflict("This guest's time is over: invite them anew.")
