"""When an agent or a part of a ministry moves elsewhere, and what goes along."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from parvis_kit.problems import Conflict, Invalid

AHEAD_MAX = timedelta(days=2 * 366)
"""Later than this it is a wish, and ministries will have other names."""
SLIPPED = timedelta(days=1)
"""So long after its end a transfer takes along who slipped into a directorate that had gone."""
DIRECTORATES_MAX = 200
NAME_CHARACTERS_MAX = 120
OF_ONE_MINISTRY = frozenset({"ministry_administrator"})
"""Roles that a ministry gives: they do not reach into another one."""
TransferState = Literal["planned", "running", "done", "cancelled", "refused"]


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """An agent will move when the day comes."""

    agent_id: UUID
    ministry_id: UUID
    directorate_id: UUID | None
    on: date
    asked_by: UUID
    asked_at: datetime
    refused: str | None
    """Why it could not be done when the day came."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Directorates, or all of a ministry, go over to another one; kept as history."""

    id: UUID
    from_ministry_id: UUID
    to_ministry_id: UUID
    directorate_ids: list[str] | None
    """None: all, and the ministry is closed afterwards."""
    on: date
    reason: str
    asked_by: UUID
    asked_at: datetime
    state: TransferState
    agents: int
    """How many have moved so far."""
    done_at: datetime | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody would belong: what may stand against it."""

    closed_at: datetime | None
    successor_id: UUID | None
    """Of the directorate."""
    domain_of: UUID | None
    """Whose the domain of the e-mail is."""


def today(now: datetime, zone: ZoneInfo) -> date:
    """A ministry's day begins at its own midnight."""
    return now.astimezone(zone).date()


def check_day(day: date, now_day: date) -> None:
    """Raises Invalid."""
    if day < now_day:
        raise Invalid(f"{day} is over: it is {now_day}.")
    if day > now_day + AHEAD_MAX:
        raise Invalid(f"{day} is too far ahead: {now_day + AHEAD_MAX} at the latest.")


def check_place(place: Place | None, ministry_id: UUID) -> None:
    """Raises Conflict for a place that is no more; one that never was is for the tables to refuse."""
    if place is None:
        return
    if place.closed_at is not None:
        raise Conflict("This ministry has merged into another one: its agents go there.")
    if place.successor_id is not None:
        raise Conflict(f"This directorate has gone over to another ministry, as {place.successor_id}.")
    if place.domain_of not in (None, ministry_id):
        raise Conflict("The domain of this e-mail is another ministry's: its administrators open the account.")


def check_open(closed_at: datetime | None) -> None:
    """Raises Conflict."""
    if closed_at is not None:
        raise Conflict("This ministry has merged into another one, and nothing of it changes any more.")


def roles_elsewhere(roles: Sequence[str]) -> list[str]:
    return [role for role in roles if role not in OF_ONE_MINISTRY]


def free_name(name: str, of: str, taken: Collection[str]) -> str:
    """A directorate's name in its new ministry: its own, unless another one has it there."""
    if name not in taken:
        return name
    number, found = 1, f"{name} ({of})"
    while found in taken:
        number += 1
        found = f"{name} ({of}, {number})"
    return found
