"""Use, counted from facts: sums that come out the same in whatever order and batches the facts come."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

from parvis_contracts.billing import LeaverSettled
from parvis_kit.db import Tx
from parvis_kit.events import publish

from parvis_billing.rules.months import day_of, month_of
from parvis_billing.rules.seats import SeatChange
from parvis_billing.rules.storage import SizeChange, by_day
from parvis_billing.store import ledger, usage


async def meter_storage(tx: Tx, changes: Iterable[SizeChange]) -> None:
    """Bytes that are taken, or given back, from a moment on."""
    days = by_day(changes)
    await usage.add_storage(tx, days)
    await say_late(tx, [one.day for one in days])


async def count(tx: Tx, acts: Iterable[tuple[UUID, datetime, str]]) -> None:
    """Agents' acts, by meter."""
    sums: Counter[tuple[UUID, date, str]] = Counter((agent, day_of(at), meter) for agent, at, meter in acts)
    if sums:
        await usage.add_usage(tx, sums)
        await say_late(tx, [day for _, day, _ in sums])


async def change_seats(tx: Tx, changes: Sequence[SeatChange]) -> None:
    await usage.add_seat_changes(tx, changes)
    await say_late(tx, [one.at for one in changes])


async def keep_seat_states(tx: Tx, states: Sequence[SeatChange]) -> None:
    await usage.keep_seat_states(tx, states)
    await say_late(tx, [one.at for one in states])


async def forget_seat_states(tx: Tx, agents: Sequence[UUID]) -> None:
    await usage.forget_seat_states(tx, agents)


async def settle_leavers(tx: Tx, leavers: Sequence[SeatChange], *, now: datetime) -> None:
    """Their seats end with the month; what they stored counts until it is purged."""
    await change_seats(tx, leavers)
    publish(
        tx,
        *(
            LeaverSettled(at=now, about=str(one.agent_id), agent_id=one.agent_id, left_at=one.at, done=("seat ends with the month",))
            for one in leavers
        ),
    )


async def say_late(tx: Tx, whens: Sequence[date | datetime]) -> None:
    """Closed months from the first of these on are looked at again: what stands from then on stands in each of them."""
    if whens and (closed := await ledger.closed_from(tx, min(map(month_of, whens)))):
        await ledger.add_late(tx, closed)
