"""What becomes of facts that cannot be applied, on every log: parked by their key, replayed, discarded; nobody else waits."""

import pytest
from parvis_kit.db import Tx
from parvis_kit.events import Refuse, Retry
from parvis_kit.events.facts import Envelope, declared
from parvis_kit.events.ledger import append
from parvis_kit.events.operate import discard_lane, parked, parked_lanes, replay_lane
from parvis_kit.events.publish import seal
from parvis_kit.testing.databases import EVERY_LOG
from parvis_kit.testing.stage import Stage, ThingChanged, changed, tell
from parvis_kit.testing.waiting import until

pytestmark = pytest.mark.parametrize("database_kind", EVERY_LOG, indirect=True)

LANE = ("parvis.alpha.thing", "k")


class Broken:
    """A reaction that fails on some versions, until it is mended."""

    def __init__(self, *versions: int, error: Exception | None = None) -> None:
        self.versions, self.error, self.calls = set(versions), error or ValueError("a bug"), 0

    async def __call__(self, tx: Tx, fact: ThingChanged) -> None:
        self.calls += 1
        if fact.version in self.versions:
            raise self.error
        await tell(tx, fact)


async def put_in_log(stage: Stage, *envelopes: Envelope) -> None:
    """As a relay does that sends again, or a publisher of another version of Parvis."""
    async with stage.alpha.transaction() as tx:
        await append(tx, envelopes)


async def test_poison_parks_its_key_and_no_other(stage: Stage) -> None:
    broken = Broken(2)
    async with stage.running(stage.flow({ThingChanged: broken})):
        await stage.change("k", 1, 2, 3)
        await stage.change("other", 1, 2 + 1)
        await stage.until_told("other", 1, 3)
        waiting = await stage.until_parked(2)
        assert [(one.reason, one.fact.key) for one in waiting] == [("failed", "k"), ("behind", "k")]
        assert "a bug" in waiting[0].error and waiting[0].attempts == 3
        assert await stage.story("k") == [1]
        await stage.change("k", 4)
        await stage.until_parked(3)
        broken.versions = set()
        assert await replay_lane(stage.flow({ThingChanged: broken}), "beta", LANE) == 3
        await stage.change("k", 5)
        await stage.until_told("k", 1, 2, 3, 4, 5)


async def test_a_replay_that_fails_leaves_all_of_it_parked(stage: Stage) -> None:
    broken = Broken(1)
    async with stage.running(stage.flow({ThingChanged: broken})):
        await stage.change("k", 1, 2)
        await stage.until_parked(2)
        broken.versions = {2}
        with pytest.raises(ValueError, match="a bug"):
            await replay_lane(stage.flow({ThingChanged: broken}), "beta", LANE)
        assert await stage.story("k") == [] and len(await parked(stage.beta)) == 2


async def test_what_is_discarded_is_gone_and_its_key_goes_on(stage: Stage) -> None:
    broken = Broken(1)
    async with stage.running(stage.flow({ThingChanged: broken})):
        await stage.change("k", 1, 2)
        waiting = await stage.until_parked(2)
        assert await parked_lanes(stage.beta, "beta", "k") == {LANE: 2}
        gone = await discard_lane(stage.flow({ThingChanged: broken}), "beta", LANE)
        assert [record.fact.id for record in gone] == [one.fact.id for one in waiting]
        await stage.change("k", 3)
        await stage.until_told("k", 3)


async def test_refused_is_parked_at_once_with_its_reason(stage: Stage) -> None:
    broken = Broken(1, error=Refuse("no such space"))
    async with stage.running(stage.flow({ThingChanged: broken})):
        await stage.change("k", 1)
        [head] = await stage.until_parked(1)
    assert (head.reason, head.error, head.attempts) == ("refused", "no such space", 1)


async def test_retry_waits_and_parks_nothing(stage: Stage) -> None:
    broken = Broken(1, error=Retry("the homeserver is away"))
    async with stage.running(stage.flow({ThingChanged: broken})):
        await stage.change("k", 1, 2)

        async def tried_often() -> bool:
            return broken.calls >= 4

        await until(tried_often, "it is tried more often than a bug would be")
        assert await parked(stage.beta) == [] and await stage.story("k") == []
        broken.versions = set()
        await stage.until_told("k", 1, 2)


async def test_bytes_that_are_not_the_type_they_say_are_parked(stage: Stage) -> None:
    await put_in_log(stage, seal(changed("k", 1), "alpha")._replace(data=b"\xff{"), seal(changed("other", 1), "alpha"))
    async with stage.running(stage.flow()):
        await stage.until_told("other", 1)
        [head] = await stage.until_parked(1)
    assert head.reason == "undecodable" and "alpha.thing.changed.v1 about k" in head.error


async def test_a_major_version_that_nobody_here_knows_is_parked(stage: Stage) -> None:
    await put_in_log(stage, seal(changed("k", 1), "alpha")._replace(type="alpha.thing.changed.v2"))
    assert "alpha.thing.changed.v2" not in declared()
    async with stage.running(stage.flow()):
        [head] = await stage.until_parked(1)
    assert head.reason == "undecodable" and "newer than what this version of Parvis reads" in head.error


async def test_the_same_id_with_other_content_is_parked_as_a_conflict(stage: Stage) -> None:
    first = seal(changed("k", 1), "alpha")
    async with stage.running(stage.flow()):
        await put_in_log(stage, first)
        await stage.until_told("k", 1)
        await put_in_log(stage, first._replace(data=changed("k", 7).model_dump_json().encode()))
        [head] = await stage.until_parked(1)
    assert head.reason == "conflict" and await stage.story("k") == [1]


async def test_a_conflict_inside_one_batch_is_seen_too(stage: Stage) -> None:
    first = seal(changed("k", 1), "alpha")
    await put_in_log(stage, first, first._replace(data=changed("k", 7).model_dump_json().encode()))
    async with stage.running(stage.flow()):
        await stage.until_told("k", 1)
        [head] = await stage.until_parked(1)
    assert head.reason == "conflict"


async def test_too_many_parked_keys_stop_the_consumer_rather_than_park_the_world(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("parvis_kit.events.consumer.PARKED_LANES_MAX", 3)
    caplog.set_level("INFO", "parvis_kit.events.consumer")
    broken = Broken(1)
    async with stage.running(stage.flow({ThingChanged: broken})):
        for key in range(3):
            await stage.change(f"k{key}", 1)
        await stage.until_parked(3)
        await stage.change("k3", 1)
        await stage.change("good", 2)
        calls = broken.calls

        async def tries_again() -> bool:
            return broken.calls > calls + 3

        await until(tries_again, "it tries again and again")
        assert len(await parked(stage.beta)) == 3 and await stage.story("good") == []
        [said] = [record for record in caplog.records if "stands still" in record.message]
        assert said.levelname == "ERROR" and "no more than 3 keys" in said.message, "once, however often it has tried"
        assert "`parvis events replay beta --all`" in said.message

        broken.versions.clear()
        for key in range(3):
            await replay_lane(stage.flow({ThingChanged: broken}), "beta", (LANE[0], f"k{key}"))
        await stage.until_told("good", 2)
        assert [record.message for record in caplog.records if "beta goes on" in record.message] == ["beta goes on"]
