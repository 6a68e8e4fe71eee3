"""Facts of an older major version, kept in the log, are read as the newer one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from parvis_kit.clock import utc_now
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Fact, Reactions, StateFact, batch, publish, upcast
from parvis_kit.events.reactions import Dispatcher
from parvis_kit.testing.databases import EVERY_LOG
from parvis_kit.testing.stage import Stage, ThingChanged, ThingState, changed, copy, forget, state, tell

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


class ThingAltered(Fact):
    """What came after ThingChanged: it counts from a hundred."""

    type: ClassVar = "alpha.thing.changed.v3"
    hundreds: int


class ThingStateV3(StateFact):
    """What came after ThingState."""

    type: ClassVar = "alpha.thing.state.v3"
    hundreds: int


def altered(old: ThingChanged) -> ThingAltered:
    return ThingAltered(at=old.at, about=old.about, hundreds=100 * old.version)


def state_v3(old: ThingState) -> ThingStateV3:
    return ThingStateV3(at=old.at, about=old.about, hundreds=100 * old.version)


async def tell_altered(tx: Tx, fact: ThingAltered) -> None:
    await tell(tx, changed(fact.about, fact.hundreds))


async def copy_v3(tx: Tx, facts: Sequence[ThingStateV3]) -> None:
    await copy(tx, [state(fact.about, fact.hundreds) for fact in facts])


TABLE: Reactions = {
    ThingAltered: tell_altered,
    ThingChanged: upcast(ThingAltered, altered),
    ThingStateV3: batch(copy_v3),
    Erased(ThingStateV3): forget,
    ThingState: upcast(ThingStateV3, state_v3),
}


@pytest.mark.parametrize("database_kind", EVERY_LOG, indirect=True)
async def test_old_and_new_ones_of_a_thing_are_told_in_their_order(stage: Stage) -> None:
    await stage.change("k", 1, 2)
    await stage.publish(state("k", 1), state("gone", 1), Erased(ThingState, "gone", AT))
    async with stage.running(stage.flow(TABLE)):
        async with stage.alpha.transaction() as tx:
            publish(tx, ThingAltered(at=AT, about="k", hundreds=300), ThingStateV3(at=AT, about="n", hundreds=700))
        await stage.change("k", 4)
        await stage.until_told("k", 100, 200, 300, 400)
    assert await stage.copied() == {"k": 100, "n": 700}


def test_an_older_kind_is_read_as_one_that_has_a_line() -> None:
    for table in (
        {ThingChanged: upcast(ThingAltered, altered)},
        {ThingStateV3: batch(copy_v3), Erased(ThingStateV3): forget, ThingChanged: upcast(ThingStateV3, altered)},
    ):
        with pytest.raises(TypeError, match="that must be of its family, and have a line of its own"):
            Dispatcher("beta", table, utc_now)  # type: ignore[arg-type]
