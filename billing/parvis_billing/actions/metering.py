"""Use, counted from facts: sums that come out the same in whatever order and batches the facts come."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from parvis_contracts.billing import LeaverSettled
from parvis_kit.db import Tx
from parvis_kit.events import Refuse, publish

from parvis_billing.rules.months import month_of
from parvis_billing.rules.seats import SeatChange
from parvis_billing.rules.storage import EPOCH, SizeChange, by_day, date_of
from parvis_billing.store import ledger, metering, usage

AHEAD_MAX = timedelta(minutes=5)
"""What clocks of one installation differ by at the very most; use that is later than that is of no month yet."""


class Ahead(Refuse):
    """Use of a moment that has not come: parked for whoever looks after the clocks, and never paid for until then."""

    reason = "ahead"


def check_has_come(latest: datetime, now: datetime) -> None:
    """Raises Ahead."""
    if latest - now > AHEAD_MAX:
        raise Ahead(f"{latest.isoformat()} is more than {AHEAD_MAX.seconds // 60} minutes ahead: set the clock, wait for it, then replay")


async def meter_storage(tx: Tx, changes: Sequence[SizeChange], *, now: datetime) -> None:
    """Bytes that are taken, or given back, from a moment on. Raises Ahead."""
    check_has_come(max(one.at for one in changes), now)
    days = by_day(changes)
    await metering.add_storage(tx, days)
    await say_late(tx, min(one.day for one in days), now)


async def count(tx: Tx, acts: Sequence[tuple[UUID, datetime, str]], *, now: datetime) -> None:
    """Agents' acts, by meter. Raises Ahead."""
    check_has_come(max(at for _, at, _ in acts), now)
    sums = Counter([(agent.int, (at - EPOCH).days, meter) for agent, at, meter in acts])
    await metering.add_usage(tx, [(UUID(int=agent), date_of(day), meter, number) for (agent, day, meter), number in sums.items()])
    await say_late(tx, date_of(min(day for _, day, _ in sums)), now)


async def change_seats(tx: Tx, changes: Sequence[SeatChange], *, now: datetime) -> None:
    await usage.add_seat_changes(tx, changes)
    await say_late(tx, min(one.at for one in changes), now)


async def keep_seat_states(tx: Tx, states: Sequence[SeatChange], *, now: datetime) -> None:
    await usage.keep_seat_states(tx, states)
    await say_late(tx, min(one.at for one in states), now)


async def forget_seat_states(tx: Tx, agents: Sequence[UUID]) -> None:
    await usage.forget_seat_states(tx, agents)


async def settle_leavers(tx: Tx, leavers: Sequence[SeatChange], *, now: datetime) -> None:
    """Their seats end with the month; what they stored counts until it is purged."""
    await change_seats(tx, leavers, now=now)
    publish(tx, *(settled(one, now) for one in leavers))


def settled(one: SeatChange, now: datetime) -> LeaverSettled:
    return LeaverSettled(at=now, about=str(one.agent_id), agent_id=one.agent_id, left_at=one.at, done=("seat ends with the month",))


async def say_late(tx: Tx, first: date | datetime, now: datetime) -> None:
    """Closed months from this one on are looked at again: what stands from then on stands in each of them.

    Nobody closes a month before its end, so facts of the present one, nearly all there are, cost no question.
    """
    if (month := month_of(first)) < month_of(now) and (closed := await ledger.closed_from(tx, month)):
        await ledger.add_late(tx, closed)
