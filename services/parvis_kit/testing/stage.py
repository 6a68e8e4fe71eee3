"""Two services and a log between them, in one process: `alpha` publishes what happens to things, `beta` listens."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlalchemy as sa

from parvis_kit.clock import Clock, utc_now
from parvis_kit.db import Database, Tx, metadata_for, upsert
from parvis_kit.events import Erased, Fact, Projection, Reactions, StateFact, batch, log_tables, publish
from parvis_kit.events.bell import Bell
from parvis_kit.events.log import Log
from parvis_kit.events.operate import parked
from parvis_kit.events.running import Flow, tasks_of
from parvis_kit.events.sql_log import SqlLog
from parvis_kit.testing.waiting import until

ALPHA, BETA = metadata_for("alpha"), metadata_for("beta")
log_tables(ALPHA)
log_tables(BETA)
THING = sa.Table("thing", ALPHA, sa.Column("key", sa.Text, primary_key=True), sa.Column("version", sa.Integer, nullable=False))
STORY = sa.Table("story", BETA, sa.Column("key", sa.Text, primary_key=True), sa.Column("versions", sa.Text, nullable=False))
COPY = sa.Table("copy", BETA, sa.Column("key", sa.Text, primary_key=True), sa.Column("version", sa.Integer, nullable=False))


class ThingChanged(Fact):
    """A thing has a new version."""

    type: ClassVar = "alpha.thing.changed.v1"
    version: int


class ThingLost(Fact):
    """A thing is lost: another kind on the same topic."""

    type: ClassVar = "alpha.thing.lost.v1"
    version: int


class ThingState(StateFact):
    """A thing as it stands."""

    type: ClassVar = "alpha.thing.state.v1"
    version: int


async def tell(tx: Tx, fact: ThingChanged | ThingLost) -> None:
    """Write the version down at the end of the key's story: what comes twice or early stays visible."""
    row = upsert(tx, STORY).values(key=fact.about, versions=f"{fact.version} ")
    await tx.execute(row.on_conflict_do_update(index_elements=["key"], set_={"versions": STORY.c.versions + row.excluded.versions}))


async def copy(tx: Tx, facts: Sequence[ThingState]) -> None:
    row = upsert(tx, COPY)
    rows = [{"key": key, "version": version} for key, version in {fact.about: fact.version for fact in facts}.items()]
    await tx.execute(row.on_conflict_do_update(index_elements=["key"], set_={"version": row.excluded.version}), rows)


async def forget(tx: Tx, erased: Erased) -> None:
    await tx.execute(sa.delete(COPY).where(COPY.c.key == erased.about))


TOLD: Reactions = {ThingChanged: tell}
COPIED: Reactions = {ThingState: batch(copy), Erased(ThingState): forget}


def copies(version: int = 1, reached_end: Callable[[], None] = lambda: None) -> Projection:
    return Projection("beta.copies", version, (COPY,), COPIED, reached_end)


class Stage:
    """`alpha` and `beta` on one kind of log."""

    def __init__(self, url_of: Callable[[str], str], clock: Clock = utc_now, log: Log | None = None) -> None:
        self.clock, self.log = clock, log or SqlLog(url_of, Bell())
        self.alpha, self.beta = Database(url_of("alpha"), "alpha"), Database(url_of("beta"), "beta")

    async def make_tables(self) -> None:
        for database, metadata in ((self.alpha, ALPHA), (self.beta, BETA)):
            async with database.transaction() as tx:
                if not database.is_sqlite:
                    await tx.execute(sa.schema.CreateSchema(database.service, if_not_exists=True))
                await tx.run_sync(metadata.create_all)

    def flow(self, reactions: Reactions | None = None, *projections: Projection) -> Flow:
        """Beta's."""
        return Flow(self.beta, self.clock, self.log, TOLD if reactions is None else reactions, projections, lease_seconds=2)

    @asynccontextmanager
    async def running(self, *flows: Flow) -> AsyncIterator[None]:
        """Alpha's relay (where there is one) and these flows, until the end of the block. What fails in them fails the block."""
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(run(), name=name)  # type: ignore[arg-type]
            for flow in (Flow(self.alpha, self.clock, self.log, {}), *flows)
            for name, run in tasks_of(flow).items()
        ]
        try:
            yield
        finally:
            failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    if task not in failed:
                        await task
        for task in failed:
            task.result()

    async def publish(self, *facts: Fact | Erased) -> None:
        """In one transaction of alpha."""
        async with self.alpha.transaction() as tx:
            publish(tx, *facts)

    async def change(self, key: str, *versions: int) -> None:
        """A transaction and a fact for each version."""
        for version in versions:
            await self.publish(changed(key, version))

    async def story(self, key: str) -> list[int]:
        """The versions of the thing that beta was told, in the order in which it was."""
        async with self.beta.read() as conn:
            told = (await conn.execute(sa.select(STORY.c.versions).where(STORY.c.key == key))).scalar()
        return [int(version) for version in (told or "").split()]

    async def copied(self) -> dict[str, int]:
        async with self.beta.read() as conn:
            return {row.key: row.version for row in await conn.execute(sa.select(COPY))}

    async def until_told(self, key: str, *versions: int) -> None:
        async def told() -> bool:
            return await self.story(key) == list(versions)

        try:
            await until(told, f"{key} is told as {versions}")
        except AssertionError as error:
            raise AssertionError(f"{error}: it is {await self.story(key)}") from None

    async def until_parked(self, number: int) -> list[Any]:
        """The facts that wait, when there are this many."""

        async def are_parked() -> bool:
            return len(await parked(self.beta)) == number

        await until(are_parked, f"{number} facts are parked")
        return list(await parked(self.beta))

    async def close(self) -> None:
        await self.alpha.close()
        await self.beta.close()


def changed(key: str, version: int, at: datetime = datetime(2026, 11, 23, 9, tzinfo=UTC)) -> ThingChanged:
    return ThingChanged(at=at, about=key, version=version)


def state(key: str, version: int, at: datetime = datetime(2026, 11, 23, 9, tzinfo=UTC)) -> ThingState:
    return ThingState(at=at, about=key, version=version)
