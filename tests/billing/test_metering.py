"""Facts become use: an integral of bytes, seats of the last day, acts; once each, in whatever order and batches they come."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from parvis_billing.queries.inputs import inputs_now
from parvis_billing.rules import STORAGE, UNKNOWN, months
from parvis_billing.rules.cascade import AgentUse
from parvis_billing.rules.seats import SeatChange, seat_in
from parvis_billing.rules.storage import SizeChange, by_day, integral
from parvis_billing.store import SEAT_CHANGE, SEAT_STATE, STORAGE_DAY, USAGE_DAY
from parvis_contracts.calendar import EventScheduled
from parvis_contracts.files import FileShared
from parvis_contracts.messaging import MessagePosted
from parvis_kit.background import Background
from parvis_kit.db import Database
from parvis_kit.events import Refuse
from parvis_kit.events.operate import lag, parked, replay_lane
from parvis_kit.events.running import Flow, tasks_of
from parvis_kit.ids import new_id
from parvis_kit.testing.waiting import until
from parvis_suite.assembly import flow_of, log_of

from .conftest import GB, State, day

ADA, HERE, THERE = UUID(int=1), UUID(int=11), UUID(int=12)
BEGIN = datetime(2026, 8, 20, tzinfo=UTC)
moments = st.integers(0, 60 * 86_400).map(lambda seconds: BEGIN + timedelta(seconds=seconds))


def naive(changes: Sequence[SizeChange], month: str) -> int:
    """Byte-seconds of a month, each version on its own."""
    start, end = months.starts_at(month), months.ends_at(month)
    return sum(one.delta_bytes * max(0, int((end - max(one.at, start)).total_seconds())) for one in changes if one.at < end)


@given(st.lists(st.tuples(moments, st.integers(-(10**12), 10**12)), max_size=12), st.integers(0, 10**6), st.integers(1, 12))
def test_bytes_over_time_are_the_integral_of_sizes_in_any_order_and_batches(
    given: list[tuple[datetime, int]], seed: int, pieces: int
) -> None:
    changes = [SizeChange(ADA, True, HERE, at, delta) for at, delta in given]
    Random(seed).shuffle(changes)
    sums: dict[date, list[int]] = {}
    for first in range(0, len(changes), pieces):
        for one in by_day(changes[first : first + pieces]):
            mine = sums.setdefault(one.day, [0, 0])
            mine[0], mine[1] = mine[0] + one.delta_bytes, mine[1] + one.byte_seconds
    for month in ("2026-08", "2026-09", "2026-10", "2026-11"):
        start, end = months.first_day(month), months.first_day(months.after(month))
        standing = sum(delta for on, (delta, _) in sums.items() if on < start)
        days = sorted((on, *mine) for on, mine in sums.items() if start <= on < end)
        assert sum(quantity for _, quantity in integral(standing, days, start, end)) == naive(changes, month)


@given(st.permutations([
    SeatChange(ADA, day("2026-08-03"), "joined", HERE, "agent"),
    SeatChange(ADA, day("2026-09-14", 10), "moved", THERE),
    SeatChange(ADA, day("2026-10-30"), "suspended"),
    SeatChange(ADA, day("2026-11-02"), "reinstated"),
    SeatChange(ADA, day("2026-12-05"), "left", THERE),
]))  # fmt: skip
def test_a_seat_is_whose_it_is_on_the_last_day(changes: list[SeatChange]) -> None:
    seats = {month: seat_in(month, changes) for month in months.between("2026-07", "2026-12")}
    assert [one.is_provisioned for one in seats.values()] == [False, True, True, False, True, False]
    assert [one.ministry_id for one in seats.values()] == [None, HERE, THERE, THERE, THERE, THERE]
    assert [seats["2026-09"].ministry_on(date(2026, 9, on)) for on in (1, 13, 14, 30)] == [HERE, HERE, THERE, THERE]


def test_a_state_alone_is_enough_to_begin_with() -> None:
    state = SeatChange(ADA, day("2026-09-14"), "state", HERE, "agent", True)
    assert not seat_in("2026-08", [state]).is_provisioned and seat_in("2026-09", [state]).is_provisioned
    assert not seat_in("2026-09", [SeatChange(ADA, day("2026-09-14"), "state", HERE, "guest", True)]).is_provisioned


async def uses(state: State, month: str) -> dict[tuple[str, str], AgentUse]:
    """By ministry and agent."""
    async with state.billing.database.read() as conn:
        inputs = await inputs_now(conn, month)
    ministries = {ministry: name for name, ministry in state.ministries.items()} | {UNKNOWN: "unknown"}
    agents = {agent: name for name, agent in state.ids.items()}
    return {(ministries[one.ministry_id], agents[one.agent_id]): one for one in inputs.agents}


async def test_who_moves_takes_use_along_from_that_day_and_the_seat_from_that_month(state: State) -> None:
    await state.join("ada", "interieur")
    await state.store("a", "ada", "interieur", GB)
    state.clock.now = day("2026-09-21", 15)
    await state.move("ada", "ecologie")
    await state.settle()
    found = await uses(state, "2026-09")
    before, after = found["interieur", "ada"], found["ecologie", "ada"]
    assert (before.seat, after.seat) == (0, 1)
    assert before.use[STORAGE] == GB * (20 * 86_400 - 8 * 3600), "up to and without the 21st"
    assert after.use[STORAGE] == GB * 10 * 86_400
    assert before.use["files.actions"] == 1 and "files.actions" not in after.use
    assert after.active == 1, "who was active anywhere was active"
    assert (await uses(state, "2026-10"))["ecologie", "ada"].use[STORAGE] == GB * 31 * 86_400


async def test_what_is_stored_counts_until_it_is_purged_and_shared_spaces_are_a_ministry_s(state: State) -> None:
    await state.join("ada", "interieur")
    await state.store("a", "ada", "interieur", 5)
    await state.store("b", "ada", "interieur", 7, space=UUID(int=77))
    state.clock.now = day("2026-09-02", 8)
    await state.purge("a")
    await state.settle()
    async with state.billing.database.read() as conn:
        inputs = await inputs_now(conn, "2026-09")
    assert inputs.shared == {state.ministries["interieur"]: {STORAGE: 7 * (30 * 86_400 - 8 * 3600)}}
    assert (await uses(state, "2026-09"))["interieur", "ada"].use[STORAGE] == 5 * 86_400
    assert STORAGE not in (await uses(state, "2026-10"))["interieur", "ada"].use


async def test_use_of_a_moment_that_has_not_come_waits_until_it_has(state: State) -> None:
    """A clock that runs ahead would have a month paid for that nobody has lived yet."""
    await state.join("ada", "interieur")
    now = state.clock.now
    await state.store("now", "ada", "interieur", GB)
    state.clock.now = now + timedelta(minutes=4)
    await state.store("a little ahead", "ada", "interieur", GB)
    state.clock.now = day("2026-10-03")
    await state.store("ahead", "ada", "interieur", GB)
    state.clock.now = now
    flow = flow_of(state.billing, log_of(state.platform))

    async def is_parked() -> bool:
        return [one.reason for one in await parked(state.billing.database)] == ["ahead"]

    await until(is_parked, "what is ahead is parked")
    await state.settle()
    [waiting] = await parked(state.billing.database)
    assert "ahead: set the clock" in waiting.error
    async with state.billing.database.read() as conn:
        assert (await conn.execute(sa.select(sa.func.sum(USAGE_DAY.c.quantity)))).scalar() == 2
    with pytest.raises(Refuse):
        await replay_lane(flow, waiting.consumer, waiting.fact.lane)
    state.clock.now = day("2026-10-03", 1)
    assert await replay_lane(flow, waiting.consumer, waiting.fact.lane) == 1
    found = (await uses(state, "2026-10"))["interieur", "ada"]
    assert found.use["files.actions"] == 1 and found.use[STORAGE] == GB * (2 * 31 + 29) * 86_400


async def test_guests_have_no_seat_and_their_use_counts(state: State) -> None:
    await state.join("gus", "interieur", kind="guest")
    await state.store("a", "gus", "interieur", GB)
    await state.settle()
    gus = (await uses(state, "2026-09"))["interieur", "gus"]
    assert (gus.kind, gus.seat, gus.active) == ("guest", 0, 0) and gus.use[STORAGE] > 0


async def test_sharing_makes_active_and_having_an_account_does_not(state: State) -> None:
    await state.join("ada", "interieur")
    await state.join("bob", "interieur")
    share = new_id()
    await state.say(
        FileShared(
            at=state.clock(), about=str(share), share_id=share, file_id=new_id(), space_id=new_id(), grantee_kind="agent",
            grantee_id=state.ids["bob"], role="reader", shared_by=state.ids["ada"], name="a",
        )
    )  # fmt: skip
    await state.settle()
    found = await uses(state, "2026-09")
    assert (found["interieur", "ada"].active, found["interieur", "bob"].active) == (1, 0)


def meeting(state: State, who: str, attendees: int, continues: UUID | None = None) -> EventScheduled:
    event, now = new_id(), state.clock()
    return EventScheduled(
        at=now, about=str(event), event_id=event, calendar_id=new_id(), owner_id=state.ids[who], ministry_id=HERE, starts_at=now,
        ends_at=now + timedelta(hours=1), attendees=attendees, continues=continues,
    )  # fmt: skip


def posted(state: State, who: str, number: int) -> MessagePosted:
    return MessagePosted(at=state.clock(), about="!r:x", room_id="!r:x", message_id=f"${number}", agent_id=state.ids[who], ministry_id=HERE)


async def test_meetings_and_messages_are_counted_once_each_and_make_active(state: State) -> None:
    for name in ("ada", "bob", "cyd"):
        await state.join(name, "interieur")
    await state.say(meeting(state, "ada", 2), meeting(state, "ada", 1), meeting(state, "cyd", 0))
    await state.say(meeting(state, "cyd", 3, continues=new_id()))
    await state.say(*(posted(state, "bob", number) for number in range(5)))
    await state.settle()
    found = await uses(state, "2026-09")
    assert found["interieur", "ada"].use["calendar.meetings"] == 2
    assert found["interieur", "bob"].use["messaging.messages"] == 5
    assert "calendar.meetings" not in found["interieur", "cyd"].use, "neither one's own notes nor what was handed over"
    assert [found["interieur", name].active for name in ("ada", "bob", "cyd")] == [1, 1, 0]
    counted = await snapshot(state.billing.database)
    await state.work.stop()
    async with state.billing.database.transaction() as tx:  # a consumer that has forgotten how far it came
        await tx.execute(sa.delete(state.billing.metadata.tables["billing.consumer_offset"]))
    await read_again(state, state.billing.database)
    assert await snapshot(state.billing.database) == counted


async def snapshot(database: Database) -> dict[str, list[Any]]:
    async with database.read() as conn:
        found = {}
        for table in (SEAT_CHANGE, SEAT_STATE, USAGE_DAY, STORAGE_DAY):
            rows = await conn.execute(table.select().order_by(*table.primary_key.columns))
            found[table.name] = [tuple(row) for row in rows]
        return found


async def test_use_counted_again_from_the_facts_is_the_use_that_was_counted_live(state: State) -> None:
    random = Random(7)
    for name, ministry in (("ada", "interieur"), ("bob", "ecologie"), ("cyd", "ecologie")):
        await state.join(name, ministry)
    for number in range(40):
        state.clock.advance(hours=random.randrange(30))
        who, ministry = random.choice([("ada", "interieur"), ("bob", "ecologie"), ("cyd", "ecologie")])
        await state.store(f"f{number}", who, ministry, random.randrange(10**9), space=random.choice([None, UUID(int=5)]))
        if random.random() < 0.4 and state.stored:
            await state.purge(random.choice(sorted(state.stored)))
        await state.say(meeting(state, who, number % 2))
        await state.say(posted(state, who, number))
    await state.settle()
    live = await snapshot(state.billing.database)
    assert live["usage_day"] and live["storage_day"]
    again = await forget(state)
    assert not (await snapshot(again))["usage_day"]
    await read_again(state, again)
    assert await snapshot(again) == live


async def read_again(state: State, database: Database) -> None:
    """All facts that there are, from the beginning."""
    flow = Flow(database, state.clock, log_of(state.platform), state.billing.reactions)
    work = Background()
    work.start(tasks_of(flow))
    try:

        async def is_read() -> bool:
            return not any(one.facts for one in await lag(flow))

        await until(is_read, "all facts are read again")
    finally:
        await work.stop()


async def forget(state: State) -> Database:
    """What was counted, and where its consumer stood: as a database is that has only its tables."""
    await state.work.stop()
    database = state.billing.database
    tables = {table.name: table for table in state.billing.metadata.tables.values()}
    async with database.transaction() as tx:
        for name in ("seat_change", "seat_state", "usage_day", "storage_day", "consumer_offset", "inbox", "parked"):
            await tx.execute(tables[name].delete())
    return database


async def test_a_leaver_is_settled_and_the_seat_ends_with_the_month(state: State) -> None:
    await state.join("ada", "interieur")
    state.clock.now = day("2026-10-10")
    await state.leave("ada")
    await state.settle()
    assert (await uses(state, "2026-09"))["interieur", "ada"].seat == 1
    assert ("interieur", "ada") not in await uses(state, "2026-10")
    said = await state.said("billing")
    assert said == ["billing.leaver.settled.v1"]
