"""Bytes over time: what is stored is an integral, in byte-seconds, of sizes that come and go."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class SizeChange:
    """A version that begins to take its bytes, or (below zero) gives them back."""

    holder_id: UUID
    """The agent whose personal space it is in, or the shared space."""
    is_personal: bool
    ministry_id: UUID
    at: datetime
    delta_bytes: int


@dataclass(frozen=True, slots=True)
class StorageDay:
    """All changes of a holder in a day: what stays of them afterwards, and what they make of that day."""

    holder_id: UUID
    day: date
    is_personal: bool
    ministry_id: UUID
    """As the last change of the day has it."""
    said_at: datetime
    delta_bytes: int
    byte_seconds: int
    """Until midnight."""


def by_day(changes: Iterable[SizeChange]) -> list[StorageDay]:
    """Sums, so that order and batches never matter; seconds are whole."""
    found: dict[tuple[UUID, date], list[int]] = {}
    last: dict[tuple[UUID, date], SizeChange] = {}
    for one in changes:
        at = one.at.astimezone(UTC)
        left = DAY_SECONDS - (at.hour * 3600 + at.minute * 60 + at.second)
        sums = found.setdefault((one.holder_id, at.date()), [0, 0])
        sums[0] += one.delta_bytes
        sums[1] += one.delta_bytes * left
        before = last.setdefault((one.holder_id, at.date()), one)
        if (before.at, before.ministry_id) < (one.at, one.ministry_id):
            last[one.holder_id, at.date()] = one
    return [_day(last[place], place[1], *sums) for place, sums in found.items()]


def _day(last: SizeChange, day: date, delta_bytes: int, byte_seconds: int) -> StorageDay:
    return StorageDay(last.holder_id, day, last.is_personal, last.ministry_id, last.at, delta_bytes, byte_seconds)


def integral(standing_bytes: int, days: Iterable[tuple[date, int, int]], start: date, end: date) -> Iterator[tuple[date, int]]:
    """(day from which on, byte-seconds) from the first day of a month to its end, in stretches without a change.

    `standing_bytes`: what was there at its start; `days`: (day, delta, byte-seconds until midnight), sorted. Of a month that is
    not over it says what it will be if nothing changes any more: so it does not change by the mere passing of time.
    """
    level, day = standing_bytes, start
    for changed, delta, byte_seconds in days:
        if changed > day:
            yield day, level * (changed - day).days * DAY_SECONDS
        yield changed, level * DAY_SECONDS + byte_seconds
        level, day = level + delta, changed + timedelta(days=1)
    if end > day:
        yield day, level * (end - day).days * DAY_SECONDS


def split(stretches: Iterable[tuple[date, int]], moves: Sequence[tuple[date, UUID]], end: date) -> Iterator[tuple[UUID, int]]:
    """By the ministry whose agent it was on each day; `moves` as a Seat has them."""
    pieces = list(stretches)
    if len(moves) == 1:
        for _, quantity in pieces:
            yield moves[0][1], quantity
        return
    for place, (day, quantity) in enumerate(pieces):
        until = pieces[place + 1][0] if place + 1 < len(pieces) else end
        length = (until - day).days
        for number in range(length):
            on = day + timedelta(days=number)
            mine = [ministry for since, ministry in moves if since <= on]
            yield (mine[-1] if mine else moves[0][1]), quantity // length  # a stretch without a change is the same on each of its days
