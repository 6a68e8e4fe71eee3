"""Any mixture of commits, rollbacks, relaying, consuming, poison, replay and rebuild: the story of each key stays right."""

import asyncio
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from parvis_kit.db import Tx
from parvis_kit.events import publish
from parvis_kit.events.bell import Bell
from parvis_kit.events.consumer import Consumer, Superseded
from parvis_kit.events.operate import parked, rebuild, replay_lane
from parvis_kit.events.postgres_relay import open_carrier
from parvis_kit.events.projections import BuildingLedger, KeepingLedger, mark_built, prepare, replace
from parvis_kit.events.running import consumer_of
from parvis_kit.testing.databases import Place, PostgresServer
from parvis_kit.testing.stage import Stage, ThingChanged, changed, copies, state, tell

KEYS = ("a", "b", "c")
SETTINGS = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Crash(Exception):
    """The process would die here: the transaction is rolled back by the server."""


class LogMachine(RuleBasedStateMachine):
    """One publisher, one consumer with reactions, one projection; the model is a counter for each key."""

    server: ClassVar[PostgresServer | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model: Counter[str] = Counter()
        self.poison: set[tuple[str, int]] = set()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.do(self.open())

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    async def open(self) -> None:
        folder = Path(self.folder.name)
        self.place = Place(folder, self.server, self.stack, folder / "prepared")
        self.stage = Stage(self.place.url_of)
        self.stack.push_async_callback(self.stage.close)
        await self.stage.make_tables()
        self.flow = self.stage.flow({ThingChanged: self.react}, copies())
        await prepare(self.stage.beta, copies())
        self.bell = Bell()
        await self.restart()

    async def restart(self) -> None:
        """New members, as after a crash: they know nothing but what the database says."""
        self.members: list[Consumer] = []
        for name, table, ledger in (
            ("beta", self.flow.reactions, None),
            (copies().consumer, copies().on, KeepingLedger(self.flow.database, copies(), self.flow.clock)),
            (copies().builder, copies().on, BuildingLedger(self.flow.database, copies(), self.flow.clock)),
        ):
            self.members.append(await self.stack.enter_async_context(consumer_of(self.flow, name, table, ledger)))
        await mark_built(self.flow.database, copies(), self.flow.clock)

    async def react(self, tx: Tx, fact: ThingChanged) -> None:
        if (fact.about, fact.version) in self.poison:
            raise ValueError("poison")
        await tell(tx, fact)

    async def carry(self, batch_max: int) -> None:
        if self.server is not None:
            async with open_carrier(self.place.url_of("alpha"), "alpha", self.bell, batch_max) as carrier:
                assert await carrier.lead()
                await carrier.carry()

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1))
    def commit(self, keys: set[str]) -> None:
        self.do(self.change(sorted(keys)))
        self.model.update(keys)

    async def change(self, keys: list[str], crash: bool = False) -> None:
        async with self.stage.alpha.transaction() as tx:
            for key in keys:
                publish(tx, changed(key, self.model[key] + 1), state(key, self.model[key] + 1))
            if crash:
                raise Crash

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1))
    def roll_back(self, keys: set[str]) -> None:
        with pytest.raises(Crash):
            self.do(self.change(sorted(keys), crash=True))

    @rule(batch_max=st.integers(1, 5))
    def relay(self, batch_max: int) -> None:
        self.do(self.carry(batch_max))

    @rule(limit=st.integers(1, 4), which=st.integers(0, 1))
    def consume(self, limit: int, which: int) -> None:
        self.do(self.settle(self.members[which], limit))

    async def settle(self, member: Consumer, limit: int) -> None:
        source: Any = member.source
        source.limit, source.rings_heard = limit, -1  # look now, whether or not it has rung
        source.at_end_until = float("-inf")  # and tell where it stands, though it was told just now
        await member.settle(await source.fetch())

    @rule(key=st.sampled_from(KEYS))
    def poison_the_next(self, key: str) -> None:
        self.poison.add((key, self.model[key] + 1))

    @precondition(lambda self: self.poison)
    @rule()
    def mend(self) -> None:
        self.poison.clear()
        self.do(self.replay_all())

    async def replay_all(self) -> None:
        for lane in dict.fromkeys(one.fact.lane for one in await parked(self.stage.beta, "beta")):
            await replay_lane(self.flow, "beta", lane)

    @rule()
    def crash_and_start_again(self) -> None:
        self.do(self.restart())

    @rule()
    def rebuild_the_copies(self) -> None:
        self.do(rebuild(self.flow, "beta.copies"))

    @rule(limit=st.integers(1, 4))
    def compute_beside(self, limit: int) -> None:
        self.do(self.build(limit))

    async def build(self, limit: int) -> bool:
        """Whether what was computed serves now, or nothing was to be computed."""
        try:
            await self.settle(self.members[2], limit)
            return await replace(self.flow.database, copies(), self.flow.clock)
        except Superseded:
            return True

    @invariant()
    def every_story_is_dense_and_none_is_ahead(self) -> None:
        for key in KEYS:
            told = self.do(self.stage.story(key))
            assert told == list(range(1, len(told) + 1)) and len(told) <= self.model[key]
        assert all(version <= self.model[key] for key, version in self.do(self.stage.copied()).items())

    def teardown(self) -> None:
        """In the end everything is told, once and in order, and the copy equals what was published."""
        try:
            self.poison.clear()
            self.do(self.drain())
            for key in KEYS:
                assert self.do(self.stage.story(key)) == list(range(1, self.model[key] + 1))
            assert self.do(self.stage.copied()) == {key: version for key, version in self.model.items() if version}
        finally:
            self.do(self.stack.aclose())
            self.runner.close()
            self.folder.cleanup()

    async def drain(self) -> None:
        await self.carry(500)
        await self.replay_all()
        for member in self.members[:2]:
            for _ in range(3):  # once to find out where it stands, once to read, once for what was parked meanwhile
                await self.settle(member, 500)
        for _ in range(4):
            served = await self.build(500)
        assert served


def test_on_sqlite_any_mixture_leaves_every_story_right() -> None:
    run_state_machine_as_test(LogMachine, settings=SETTINGS)  # type: ignore[no-untyped-call]


def test_on_postgresql_any_mixture_leaves_every_story_right(postgres: PostgresServer) -> None:
    class OnPostgresql(LogMachine):
        server = postgres

    run_state_machine_as_test(OnPostgresql, settings=SETTINGS)  # type: ignore[no-untyped-call]
