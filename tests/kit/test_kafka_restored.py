"""A database that was restored, and a Kafka that was not: what was said in the time that is lost has no effect, now or later."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from parvis_kit.events import Erased
from parvis_kit.events.kafka import undone
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.events.kafka.outbox import LIFE
from parvis_kit.events.ledger import SqlLedger, stands_of, tables_of
from parvis_kit.events.operate import rebuild, tables_by_consumer
from parvis_kit.settings import Kafka
from parvis_kit.testing.databases import Place
from parvis_kit.testing.kafka import make_topics
from parvis_kit.testing.stage import TOLD, Stage, ThingState, changed, copies, state
from parvis_kit.testing.waiting import until


@pytest.fixture
def database_kind() -> str:
    return "kafka"


@dataclass
class Restorable:
    """Alpha and beta in one database, which can be brought back to what it was."""

    stage: Stage
    place: Place
    log_url_of: Callable[[str], str]

    @property
    def kafka(self) -> Kafka:
        assert isinstance(self.stage.log, KafkaLog)
        return self.stage.log.kafka

    async def keep(self) -> None:
        await self._copy("kept", self._name)

    async def restore(self) -> None:
        await self._copy(self._name, "kept")

    @property
    def _name(self) -> str:
        return self.log_url_of("alpha").rpartition("/")[2]

    async def _copy(self, to: str, source: str) -> None:
        assert self.place.server is not None
        await self.stage.close()
        await self.place.server._run(f"DROP DATABASE IF EXISTS {to} WITH (FORCE)", f"CREATE DATABASE {to} TEMPLATE {source}")
        fresh = Stage(self.log_url_of, log=self.stage.log)
        self.stage.alpha, self.stage.beta = fresh.alpha, fresh.beta

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.stage.running(self.stage.flow(TOLD, copies())):
            yield

    async def until_copied(self, **versions: int) -> None:
        async def are_copied() -> bool:
            return await self.stage.copied() == versions

        await until(are_copied, f"the copy is {versions}")

    async def pass_over(self) -> list[tuple[str, str]]:
        """As the doctor does it after a restore; what is passed over."""
        found, ends = await undone.find(self.kafka, self.stage.alpha)
        for consumer in tables_by_consumer(self.stage.flow(TOLD, copies())):
            ledger = SqlLedger(self.stage.beta, consumer, self.stage.clock)
            async with ledger.transaction() as tx:
                await undone.pass_over(ledger, tx, found)
        async with self.stage.alpha.transaction() as tx:
            await undone.take_as_read(tx, ends)
        return sorted((one.type, one.key) for one in found)


@pytest.fixture
async def restorable(stage: Stage, place: Place, log_url_of: Callable[[str], str]) -> AsyncIterator[Restorable]:
    one = Restorable(stage, place, log_url_of)
    await make_topics(one.kafka, undone.topics_said_by("alpha"))  # of kinds, too, that another test has declared, while their classes live
    yield one
    assert place.server is not None
    await place.server._run("DROP DATABASE IF EXISTS kept WITH (FORCE)")


async def lose_some_time(one: Restorable) -> None:
    """Up to the moment: two versions told, a third in the outbox. After it: that third sent, and others that a restore takes back."""
    stage = one.stage
    async with one.running():
        await stage.publish(changed("k", 1), changed("k", 2), state("k", 1))
        await stage.until_told("k", 1, 2)
        await one.until_copied(k=1)
    await stage.change("k", 3)
    await one.keep()
    async with one.running():
        await stage.until_told("k", 1, 2, 3)
        await stage.publish(changed("k", 4), changed("other", 1), state("k", 2), state("new", 1))
        await stage.until_told("k", 1, 2, 3, 4)
        await one.until_copied(k=2, new=1)
    await one.restore()
    assert await stage.story("k") == [1, 2], "otherwise nothing was lost"


async def test_what_was_said_in_the_time_that_is_lost_is_passed_over(restorable: Restorable) -> None:
    stage = restorable.stage
    await lose_some_time(restorable)
    changes, states = "alpha.thing.changed.v1", "alpha.thing.state.v1"
    assert await restorable.pass_over() == [(changes, "k"), (changes, "other"), (states, "k"), (states, "new")]
    await stage.publish(state("k", 1), Erased(ThingState, "new", stage.clock()))  # as they stand: what their publisher says again
    async with restorable.running():
        await stage.change("k", 5)
        await stage.until_told("k", 1, 2, 3, 5)
        await restorable.until_copied(k=1)
        assert await stage.story("other") == []
        await rebuild(stage.flow(TOLD, copies()), "beta.copies")

        async def is_built() -> bool:
            async with stage.beta.read() as conn:
                table = tables_of("beta")["projection"]
                return (await conn.execute(sa.select(table.c.built_at))).scalar() is not None and await stage.copied() == {"k": 1}

        await until(is_built, "computed again from the log, the copy is what it was")
    assert await restorable.pass_over() == [], "it was done once"


async def test_without_it_consumers_believe_them_and_nothing_is_carried_on_top(
    restorable: Restorable, caplog: pytest.LogCaptureFixture
) -> None:
    """The control; and who has started too early is told, so that what is new does not hide what is lost."""
    stage = restorable.stage
    await lose_some_time(restorable)
    async with restorable.running():
        await stage.change("k", 5)
        await stage.until_told("k", 1, 2, 3, 4)
        await restorable.until_copied(k=2, new=1)

        async def is_said() -> bool:
            return "facts that this database does not know: was it restored?" in caplog.text

        await until(is_said, "the relay says why it does not go on")
    found, _ = await undone.find(restorable.kafka, stage.alpha)
    mine = [one for one in found if one.type == "alpha.thing.changed.v1"]
    assert await undone.handled(stage.beta, "beta", mine) == len(mine) == 2, "who has applied them is told"
    await restorable.pass_over()
    async with restorable.running():
        await stage.until_told("k", 1, 2, 3, 4, 5)


async def test_a_relay_of_a_version_that_noted_nothing_begins_at_the_end_of_what_is_there(restorable: Restorable) -> None:
    stage = restorable.stage
    async with stage.running():
        await stage.publish(changed("k", 1))

        async def is_noted() -> bool:
            stands = await stands_of(stage.alpha, "alpha.relay")
            return sum(next for partition, next in stands.items() if partition != LIFE) == 1

        await until(is_noted, "the position is noted")
    async with stage.alpha.transaction() as tx:
        await tx.execute(sa.delete(tables_of("alpha")["consumer_offset"]))
    async with stage.running():
        await until(is_noted, "it is noted anew, by who leads")
    assert (await undone.find(restorable.kafka, stage.alpha))[0] == []
