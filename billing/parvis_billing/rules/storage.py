"""Bytes over time: what is stored is an integral, in byte-seconds, of sizes that come and go."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

DAY_SECONDS = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS_KEPT = 1_000


class SizeChange(NamedTuple):
    """A version that begins to take its bytes, or (below zero) gives them back."""

    holder_id: UUID
    """The agent whose personal space it is in, or the shared space."""
    is_personal: bool
    ministry_id: UUID
    at: datetime
    delta_bytes: int


class StorageDay(NamedTuple):
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
    """Sums, so that order and batches never matter; seconds are whole. Every fact pays for this loop."""
    sums: dict[tuple[int, int], list[int]] = {}
    last: dict[tuple[int, int], SizeChange] = {}
    for one in changes:
        since, delta = one.at - EPOCH, one.delta_bytes
        place = one.holder_id.int, since.days  # a UUID hashes in Python, its number does not
        mine = sums.get(place)
        if mine is None:
            sums[place], last[place] = [delta, delta * (DAY_SECONDS - since.seconds)], one
            continue
        mine[0] += delta
        mine[1] += delta * (DAY_SECONDS - since.seconds)
        before = last[place]
        if (before.at, before.ministry_id) < (one.at, one.ministry_id):
            last[place] = one
    return [StorageDay(one[0], date_of(place[1]), one[1], one[2], one[3], *sums[place]) for place, one in last.items()]


@lru_cache(DAYS_KEPT)
def date_of(days_since: int) -> date:
    """Of a number of days since 1970, in UTC."""
    return EPOCH.date() + timedelta(days=days_since)


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
    if len(moves) == 1:
        yield moves[0][1], sum(quantity for _, quantity in stretches)
        return
    pieces = list(stretches)
    for place, (day, quantity) in enumerate(pieces):
        until = pieces[place + 1][0] if place + 1 < len(pieces) else end
        length = (until - day).days
        for number in range(length):
            on = day + timedelta(days=number)
            mine = [ministry for since, ministry in moves if since <= on]
            yield (mine[-1] if mine else moves[0][1]), quantity // length  # a stretch without a change is the same on each of its days
