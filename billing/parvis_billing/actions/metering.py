"""Use, counted from facts: sums that come out the same in whatever order and batches the facts come."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

from parvis_contracts.billing import LeaverSettled
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_billing.rules.months import month_of
from parvis_billing.rules.seats import SeatChange
from parvis_billing.rules.storage import EPOCH, SizeChange, by_day, date_of
from parvis_billing.store import ledger, metering, usage


async def meter_storage(tx: Tx, changes: Iterable[SizeChange], *, now: datetime) -> None:
    """Bytes that are taken, or given back, from a moment on."""
    days = by_day(changes)
    await metering.add_storage(tx, days)
    await say_late(tx, min(one.day for one in days), now)


async def count(tx: Tx, acts: Iterable[tuple[UUID, datetime, str]], *, now: datetime) -> None:
    """Agents' acts, by meter."""
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
