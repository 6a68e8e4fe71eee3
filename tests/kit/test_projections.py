"""A projection that is computed again: beside the one that serves, which nobody misses for a moment."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from parvis_kit.context import CAUSE
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Projection, Retry, batch
from parvis_kit.events.consumer import Superseded
from parvis_kit.events.ledger import tables_of
from parvis_kit.events.operate import lag, parked, rebuild
from parvis_kit.events.projections import is_being_built, is_kept, next_of, prepare, redirecting, replace
from parvis_kit.testing.databases import EVERY_LOG
from parvis_kit.testing.stage import COPY, Stage, ThingState, copies, copy, forget, state
from parvis_kit.testing.waiting import until

pytestmark = pytest.mark.parametrize("database_kind", EVERY_LOG, indirect=True)


class Gate:
    """Holds up whoever builds beside the one that serves; what passes it is told ten times as high."""

    def __init__(self, version: int = 2, factor: int = 10) -> None:
        self.opened = asyncio.Event()
        self.factor = factor
        self.projection = Projection("beta.copies", version, (COPY,), {ThingState: batch(self.copy), Erased(ThingState): forget})

    async def copy(self, tx: Tx, facts: Sequence[ThingState]) -> None:
        if CAUSE.get().actor == self.projection.builder and not self.opened.is_set():
            raise Retry("not yet")
        await copy(tx, [fact.model_copy(update={"version": self.factor * fact.version}) for fact in facts])


async def is_copied(stage: Stage, **versions: int) -> bool:
    return await stage.copied() == versions


async def is_built(stage: Stage) -> bool:
    table = tables_of("beta")["projection"]
    async with stage.beta.read() as conn:
        return (await conn.execute(sa.select(table.c.built_at))).scalar_one() is not None


async def kept_by_the_first_version(stage: Stage, **versions: int) -> None:
    async with stage.running(stage.flow({}, copies(1))):
        for key, version in versions.items():
            await stage.publish(state(key, version))
        await until(lambda: is_copied(stage, **versions), "the first version has copied all")
        await until(lambda: is_built(stage), "it is known to be complete")


async def test_what_serves_stays_until_the_new_version_has_caught_up(stage: Stage) -> None:
    await kept_by_the_first_version(stage, a=1, b=2)
    gate = Gate()
    async with stage.running(stage.flow({}, gate.projection)):
        await until(lambda: is_being_built(stage.beta, gate.projection), "the second version is being built")
        assert await stage.copied() == {"a": 1, "b": 2}
        gate.opened.set()
        await until(lambda: is_copied(stage, a=10, b=20), "the second version serves")
        await stage.publish(state("a", 3), Erased(ThingState, "b", datetime.now(UTC)))
        await until(lambda: is_copied(stage, a=30), "it is kept from there on")
    assert not await is_being_built(stage.beta, gate.projection)


async def test_while_it_is_computed_again_the_one_that_serves_is_kept(stage: Stage) -> None:
    gate = Gate(1, 1)
    flow = stage.flow({}, gate.projection)
    async with stage.running(flow):
        await stage.publish(state("a", 1))
        await until(lambda: is_copied(stage, a=1), "it is copied")
        await until(lambda: is_built(stage), "it is known to be complete")
        await rebuild(flow, "beta.copies")
        await stage.publish(state("a", 2), state("b", 1))
        await until(lambda: is_copied(stage, a=2, b=1), "what happens meanwhile is seen at once")
        assert gate.projection.builder in {one.consumer for one in await lag(flow)}
        gate.opened.set()

        async def is_over() -> bool:
            return not await is_being_built(stage.beta, gate.projection)

        await until(is_over, "it is replaced")
        assert await stage.copied() == {"a": 2, "b": 1}
        await stage.publish(state("b", 2))
        await until(lambda: is_copied(stage, a=2, b=2), "it is kept from there on")


async def test_readers_see_the_old_or_the_new_and_never_a_part(stage: Stage) -> None:
    everything = {f"k{number}": 1 for number in range(40)}
    await kept_by_the_first_version(stage, **everything)
    gate = Gate()
    seen: list[dict[str, int]] = []
    async with stage.running(stage.flow({}, gate.projection)):
        await until(lambda: is_being_built(stage.beta, gate.projection), "the second version is being built")
        gate.opened.set()
        while not seen or seen[-1]["k0"] == 1:
            seen.append(await stage.copied())
    assert all(one == everything or one == dict.fromkeys(everything, 10) for one in seen)


async def test_a_process_of_an_older_version_leaves_the_newer_one_alone(stage: Stage) -> None:
    await kept_by_the_first_version(stage, a=1)
    gate = Gate()
    gate.opened.set()
    old = stage.flow({}, copies(1))
    async with stage.running(old), stage.running(stage.flow({}, gate.projection)):
        await until(lambda: is_copied(stage, a=10), "the second version serves, though the first is still at work")
        await stage.publish(state("a", 2), state("b", 1))
        await until(lambda: is_copied(stage, a=20, b=10), "only the second version keeps it")
        await prepare(stage.beta, copies(1))
        assert await is_kept(stage.beta, gate.projection)
        assert not await is_being_built(stage.beta, copies(1))


async def test_asked_again_it_begins_again(stage: Stage) -> None:
    await kept_by_the_first_version(stage, a=1)
    flow = stage.flow({}, copies(1))
    for _ in range(3):
        await rebuild(flow, "beta.copies")
    async with stage.running(flow):

        async def is_over() -> bool:
            return not await is_being_built(stage.beta, copies(1))

        await until(is_over, "it is replaced")
    assert await stage.copied() == {"a": 1}
    with pytest.raises(Superseded):
        await replace(stage.beta, copies(1), stage.clock)


async def test_what_has_seen_less_replaces_nothing(stage: Stage) -> None:
    await kept_by_the_first_version(stage, a=1)
    await rebuild(stage.flow({}, copies(1)), "beta.copies")
    assert not await replace(stage.beta, copies(1), stage.clock)
    assert await stage.copied() == {"a": 1}


async def test_what_was_parked_while_it_was_computed_can_be_replayed_afterwards(stage: Stage) -> None:
    await kept_by_the_first_version(stage, a=1, b=1)

    async def refuses_a(tx: Tx, facts: Sequence[ThingState]) -> None:
        if any(fact.about == "a" for fact in facts):
            raise ValueError("a bug")
        await copy(tx, facts)

    broken = Projection("beta.copies", 2, (COPY,), {ThingState: batch(refuses_a), Erased(ThingState): forget})
    async with stage.running(stage.flow({}, broken)):
        await until(lambda: is_copied(stage, b=1), "the second version serves without what it cannot read")
    assert [(one.consumer, one.fact.key) for one in await parked(stage.beta)] == [("beta.copies@2", "a")]


def test_only_whole_names_of_tables_are_exchanged(stage: Stage) -> None:
    redirect = redirecting(stage.beta, (COPY,))
    name, other = str(COPY), str(next_of(COPY))
    said = f"INSERT INTO {name} SELECT {name}.key FROM {name}_of_others, x{name}, beta.consumer_offset WHERE {name}.version > $1"
    done = f"INSERT INTO {other} SELECT {other}.key FROM {name}_of_others, x{name}, beta.consumer_offset WHERE {other}.version > $1"
    assert redirect(None, None, said, (1,), None, False) == (done, (1,))
