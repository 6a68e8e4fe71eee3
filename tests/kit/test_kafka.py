"""What is Kafka's own: CloudEvents on the wire, full batches, shared partitions, compaction, foreign records, topics that are not right."""

import asyncio
import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
import sqlalchemy as sa
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from parvis_kit import context
from parvis_kit.db import Tx
from parvis_kit.events import Erased, Fact, publish
from parvis_kit.events.kafka import topics
from parvis_kit.events.kafka.client import hush
from parvis_kit.events.kafka.log import KafkaLog
from parvis_kit.events.kafka.producer import KafkaProducer
from parvis_kit.events.kafka.wire import Message, number_of
from parvis_kit.events.ledger import stands_of, tables_of
from parvis_kit.events.operate import accept_loss, lag, parked, replay_lane, tail
from parvis_kit.events.ports import Gone
from parvis_kit.problems import Problem
from parvis_kit.settings import Kafka
from parvis_kit.testing.kafka import PARTITIONS, make_anew, make_topics, put, records_of
from parvis_kit.testing.stage import TOLD, Stage, ThingChanged, ThingState, changed, copies, state
from parvis_kit.testing.waiting import until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
THING, STATE = ThingChanged.topic(), ThingState.topic()


@pytest.fixture
def database_kind() -> str:
    return "kafka"


@pytest.fixture
def kafka_settings(stage: Stage) -> Kafka:
    assert isinstance(stage.log, KafkaLog)
    return stage.log.kafka


async def outbox_is_empty(stage: Stage) -> bool:
    async with stage.alpha.read() as conn:
        return not (await conn.execute(sa.select(sa.func.count()).select_from(tables_of("alpha")["outbox"]))).scalar_one()


# on the wire


async def test_a_fact_is_a_cloud_event_in_binary_mode(stage: Stage, kafka_settings: Kafka) -> None:
    at = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
    token = context.CAUSE.set(context.Cause(request_id="r-1", traceparent=TRACE, actor="agent-7", fact_id="f-0"))
    await stage.publish(changed("clé", 7, at))
    context.CAUSE.reset(token)
    async with stage.running():
        await until(lambda: outbox_is_empty(stage), "the fact has left")
    [record] = await records_of(kafka_settings, THING)
    headers = dict(record.headers)
    UUID(headers.pop("ce_id").decode())
    assert headers == {
        "ce_specversion": b"1.0", "ce_source": b"/parvis/alpha", "ce_type": b"alpha.thing.changed.v1",
        "ce_time": b"2026-11-23T09:00:00.123456+00:00", "ce_subject": "clé".encode(), "ce_partitionkey": "clé".encode(),
        "ce_sequence": b"1", "content-type": b"application/json", "traceparent": TRACE.encode(),
        "ce_actor": b"agent-7", "ce_causationid": b"f-0", "ce_correlationid": b"r-1",
    }  # fmt: skip
    assert record.key == "clé".encode() and json.loads(record.value)["version"] == 7
    assert record.partition == number_of("clé", PARTITIONS)


async def test_a_tombstone_has_no_value_and_all_its_headers(stage: Stage, kafka_settings: Kafka) -> None:
    await stage.publish(Erased(ThingState, "a", datetime.now(UTC)))
    async with stage.running():
        await until(lambda: outbox_is_empty(stage), "it has left")
    [record] = await records_of(kafka_settings, STATE)
    assert record.value is None and record.key == b"a" and dict(record.headers)["ce_type"] == b"alpha.thing.state.v1"


async def test_what_is_not_a_cloud_event_is_parked_and_holds_up_nobody(stage: Stage, kafka_settings: Kafka) -> None:
    whole = {"ce_specversion": b"1.0", "ce_id": b"0193a5f0-0000-7000-8000-000000000001", "ce_time": b"2026-11-23T09:00:00Z"}
    whole |= {"ce_type": b"alpha.thing.changed.v1", "ce_source": b"/parvis/alpha"}
    broken = {
        b"plain": {},
        b"id": whole | {"ce_id": b"\xff"},
        b"type": whole | {"ce_type": b"who knows\0"},
        b"time": whole | {"ce_time": b"2026-11-23T09:00:00"},
        b"specversion": whole | {"ce_specversion": b"0.3"},
        b"nul\0": whole,
    }
    for key, headers in broken.items():
        await put(kafka_settings, THING, key, b'{"a": 1}', list(headers.items()))
    async with stage.running(stage.flow()):
        await stage.change("good", 1)
        await stage.until_told("good", 1)
        found = {one.fact.key: one for one in await stage.until_parked(len(broken))}
        assert {one.reason for one in found.values()} == {"undecodable"}
        said = {key: one.error for key, one in found.items()}
        assert said["plain"].startswith("ce_specversion is missing") and "0.3" in said["specversion"]
        assert "offset from UTC" in said["time"] and "no key" in said["nul\\0"] and "who knows" in said["type"]
        with pytest.raises(Exception, match="ce_specversion is missing"):
            await replay_lane(stage.flow(), "beta", (THING, "plain"))
    assert len(await parked(stage.beta)) == len(broken)


# the relay


async def test_what_does_not_fit_into_a_batch_goes_with_the_next_one(stage: Stage) -> None:
    class ThingTold(Fact):
        type = "alpha.thing.told_at_length.v1"
        version: int
        text: str

    seen: list[int] = []

    async def note(tx: Tx, fact: ThingTold) -> None:
        seen.append(fact.version)

    async with stage.alpha.transaction() as tx:
        publish(tx, *(ThingTold(at=datetime.now(UTC), about="k", version=number, text="x" * 200_000) for number in range(60)))
    async with stage.running(stage.flow({ThingTold: note})):
        await until(lambda: outbox_is_empty(stage), "all have left")

        async def all_seen() -> bool:
            return len(seen) == 60

        await until(all_seen, "all have come")
    assert seen == list(range(60))


async def test_a_missing_topic_is_named_and_waited_for(stage: Stage, kafka_settings: Kafka, caplog: pytest.LogCaptureFixture) -> None:
    class OtherTold(Fact):
        type = "alpha.other.told.v1"

    async with stage.running():
        await stage.publish(OtherTold(at=datetime.now(UTC), about="k"))

        async def is_said() -> bool:
            return f"topic {kafka_settings.kafka_prefix}parvis.alpha.other is missing" in caplog.text

        await until(is_said, "somebody is told")
        assert not await outbox_is_empty(stage)
        await make_topics(kafka_settings, [OtherTold.topic()])
        await until(lambda: outbox_is_empty(stage), "it leaves when the topic is there")


# consumers


async def test_a_partition_that_refuses_keeps_its_facts_and_holds_up_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged beside it is deleted and not sent again; what was not goes later, in order."""
    keys = {number_of(f"k{n}", 3): f"k{n}" for n in range(20)}
    refused, refuses = asyncio.Event(), True
    send = KafkaProducer.send

    async def send_or_refuse(producer: KafkaProducer, partition: str, facts: Sequence[Message]) -> int:
        if refuses and partition == f"{THING}/0":
            refused.set()
            raise Gone("its leader is away")
        return await send(producer, partition, facts)

    monkeypatch.setattr(KafkaProducer, "send", send_or_refuse)
    async with stage.running(stage.flow()):
        for version in (1, 2, 3):
            await stage.publish(*(changed(key, version) for key in keys.values()))
        await asyncio.wait_for(refused.wait(), 10)
        for number in (1, 2):
            await stage.until_told(keys[number], 1, 2, 3)
        assert await stage.story(keys[0]) == []
        refuses = False
        await stage.until_told(keys[0], 1, 2, 3)
    assert sorted(await logged(stage)) == sorted((key, version) for key in keys.values() for version in (1, 2, 3)), "none was sent twice"


async def test_a_relay_cut_from_its_database_while_it_sends_doubles_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    send, cuts = KafkaProducer.send, 2

    async def send_and_be_cut(producer: KafkaProducer, partition: str, facts: Sequence[Message]) -> int:
        nonlocal cuts
        taken = await send(producer, partition, facts)
        if cuts:
            cuts -= 1
            async with stage.beta.transaction() as tx:
                mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parvis-relay-alpha'"
                await tx.execute(sa.text(f"{mine} AND datname = current_database()"))
        return taken

    monkeypatch.setattr(KafkaProducer, "send", send_and_be_cut)
    async with stage.running(stage.flow()):
        await stage.change("k", 1, 2, 3)
        await stage.until_told("k", 1, 2, 3)
        await stage.change("k", 4)
        await stage.until_told("k", 1, 2, 3, 4)
    assert len(await logged(stage)) > 4, "what was acknowledged and not deleted came again"


async def logged(stage: Stage) -> list[tuple[str, int]]:
    """(key, version) of all that was ever sent."""
    return [(fact.key, json.loads(fact.data or b"{}")["version"]) async for _, _, fact in tail(stage.flow(), {"alpha": [THING]})]


async def test_members_share_the_partitions_and_each_knows_when_all_is_read(stage: Stage) -> None:
    """Three partitions and four members: one of them has none."""
    ends = [asyncio.Event() for _ in range(PARTITIONS + 1)]
    for number in range(20):
        await stage.publish(state(f"k{number}", 1))
    async with stage.running():
        await until(lambda: outbox_is_empty(stage), "all have left")
    async with stage.running(*(stage.flow({}, copies(1, end.set)) for end in ends)):
        await asyncio.wait_for(asyncio.gather(*(end.wait() for end in ends)), 30)
        assert await stage.copied() == {f"k{number}": 1 for number in range(20)}


async def test_a_compacted_topic_is_read_past_its_gaps(stage: Stage, kafka_settings: Kafka) -> None:
    quick = {"segment.ms": "100", "min.compaction.lag.ms": "0", "min.cleanable.dirty.ratio": "0.0", "delete.retention.ms": "0"}
    name = kafka_settings.kafka_prefix + STATE
    async with topics.admin(kafka_settings) as client:
        await client.delete_topics([name])
        while name in await topics.partition_counts(client):
            await asyncio.sleep(0.05)
        await client.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"} | quick)])
    async with stage.running():
        for version in range(1, 30):
            await stage.publish(state("a", version), state("b", version))
        await stage.publish(Erased(ThingState, "b", datetime.now(UTC)), state("a", 30))
        await until(lambda: outbox_is_empty(stage), "all have left")

        async def is_compacted() -> bool:
            await stage.publish(state("a", 30))  # the last segment is never compacted, so it must not be the last
            versions = [json.loads(one.value)["version"] for one in await records_of(kafka_settings, STATE) if one.key == b"a"]
            return not set(versions) & set(range(1, 30))

        await until(is_compacted, "what was superseded is compacted away", seconds=40)
    async with stage.running(stage.flow({}, copies())):

        async def is_copied() -> bool:
            return await stage.copied() == {"a": 30} and [one.facts for one in await lag(stage.flow({}, copies()))] == [0]

        await until(is_copied, "who comes late reads what is left")


async def test_a_topic_made_anew_is_told_and_a_projection_computed_again(
    stage: Stage, kafka_settings: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage.running(stage.flow(TOLD, copies())):
        for version in (1, 2, 3):
            await stage.publish(changed("k", version), state("k", version))
        await stage.until_told("k", 1, 2, 3)

        async def are_copied() -> bool:
            return await stage.copied() == {"k": 3}

        await until(are_copied, "the state is copied")
    await make_anew(kafka_settings, THING)
    await make_anew(kafka_settings, STATE)
    await stage.publish(changed("k", 4), state("other", 1))
    async with stage.running(stage.flow(TOLD, copies())):

        async def is_computed_again() -> bool:
            return await stage.copied() == {"other": 1} and "accept-loss beta" in caplog.text

        await until(is_computed_again, "the copy is of the new topic, and reactions stand and say so")
        assert await stage.story("k") == [1, 2, 3]
    assert list((await accept_loss(stage.flow(), "beta")).values()) == [-3]
    async with stage.running(stage.flow()):
        await stage.until_told("k", 1, 2, 3, 4)


async def test_what_a_group_has_committed_decides_nothing(stage: Stage, kafka_settings: Kafka) -> None:
    """A database restored from an older backup: the group is ahead of it, and the missing facts are read again."""
    async with stage.running(stage.flow()):
        await stage.change("k", 1, 2, 3)
        await stage.until_told("k", 1, 2, 3)

        async def is_committed() -> bool:
            async with topics.admin(kafka_settings) as client:
                group = f"{kafka_settings.kafka_prefix}parvis.beta"
                return any(one.offset == 3 for one in (await client.list_consumer_group_offsets(group)).values())

        await until(is_committed, "the group knows")
    offsets, inbox = tables_of("beta")["consumer_offset"], tables_of("beta")["inbox"]
    async with stage.beta.transaction() as tx:
        await tx.execute(sa.update(offsets).values(next=1).where(offsets.c.next == 3))
        await tx.execute(sa.delete(inbox))
        await tx.execute(sa.text("UPDATE beta.story SET versions = '1 '"))
    async with stage.running(stage.flow()):
        await stage.until_told("k", 1, 2, 3)
        assert max((await stands_of(stage.beta, "beta")).values()) == 3


# topics and settings


async def test_topics_are_made_once_and_kept_as_their_facts_need_it(kafka_settings: Kafka) -> None:
    async with topics.admin(kafka_settings) as client:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, kafka_settings.kafka_prefix + topic) for topic in (THING, STATE)]
        [answer] = await client.describe_configs(wanted)
    kept = {resource[3]: {entry[0]: entry[1] for entry in resource[4]} for resource in answer.resources}
    facts, states = (kept[kafka_settings.kafka_prefix + topic] for topic in (THING, STATE))
    assert (facts["cleanup.policy"], facts["retention.ms"]) == ("delete", str(400 * 86_400_000))
    assert (states["cleanup.policy"], states["min.compaction.lag.ms"]) == ("compact", "3600000")
    assert states["delete.retention.ms"] == str(7 * 86_400_000)
    assert {one["max.message.bytes"] for one in (facts, states)} == {str(2**20)}
    assert await topics.make(kafka_settings, [THING, STATE]) == []


async def test_a_topic_that_is_missing_or_has_other_partitions_is_told(kafka_settings: Kafka) -> None:
    assert await topics.wrong(kafka_settings, [THING, STATE]) == []
    more = kafka_settings.model_copy(update={"kafka_partitions": 5})
    said = await topics.wrong(more, [THING, "parvis.alpha.unheard"])
    assert f"{THING} has 3 partitions and PARVIS_KAFKA_PARTITIONS is 5: set it to 3" in said[0]
    assert "parvis.alpha.unheard is missing: run `parvis migrate`" in said[1]


async def test_a_topic_that_would_not_keep_what_it_is_given_is_told_with_what_mends_it(kafka_settings: Kafka) -> None:
    """Somebody made them beforehand, or a broker that makes what is asked for. What is more than needed was set on purpose."""
    late, generous = "parvis.alpha.late", "parvis.alpha.generous"
    given = {f"{late}.state": {"cleanup.policy": "delete"}, late: {"retention.ms": "60000"}, generous: {"retention.ms": "-1"}}
    async with topics.admin(kafka_settings) as client:
        made = [
            NewTopic(
                kafka_settings.kafka_prefix + topic, PARTITIONS, 1, topic_configs=topics.configuration_of(topic, kafka_settings) | other
            )
            for topic, other in given.items()
        ]
        await client.create_topics(made)
    assert await topics.make(kafka_settings, given) == []
    facts, states = await topics.wrong(kafka_settings, given)
    prefix = kafka_settings.kafka_prefix
    assert facts.startswith(f"topic {prefix}{late} has retention.ms=60000, and would not keep what it is given: run `kafka-configs.sh ")
    assert facts.endswith(f"--entity-name {prefix}{late} --add-config retention.ms=34560000000`")
    assert "has cleanup.policy=delete," in states and states.endswith("--add-config cleanup.policy=compact`")


async def test_topics_are_made_when_the_brokers_show_them(kafka_settings: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller answers first; a suite that looked before the brokers knew refused to start."""
    name, looks, counts = f"{kafka_settings.kafka_prefix}parvis.alpha.late", 0, topics.partition_counts

    async def late(client: AIOKafkaAdminClient) -> dict[str, int]:
        nonlocal looks
        looks += 1
        shown = await counts(client)
        return shown if looks > 3 else {topic: count for topic, count in shown.items() if topic != name}

    monkeypatch.setattr(topics, "partition_counts", late)
    assert await topics.make(kafka_settings, ["parvis.alpha.late"]) == ["parvis.alpha.late"]
    assert looks >= 4 and await topics.wrong(kafka_settings, ["parvis.alpha.late"]) == []
    looks = 0
    monkeypatch.setattr(topics, "SEEN_SECONDS_MAX", 0.0)
    with pytest.raises(topics.CannotMake, match="shows no leader"):
        await topics.make(kafka_settings, ["parvis.alpha.late"])


async def test_a_kafka_that_is_away_is_named(stage: Stage, kafka_settings: Kafka) -> None:
    away = kafka_settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(Gone, match="Kafka at 127.0.0.1:1 does not answer"):
        await topics.wrong(away, [THING])
    stage.log = KafkaLog(away, stage.log.url_of, stage.log.bell)  # type: ignore[attr-defined]
    with pytest.raises((Gone, Problem), match="does not answer"):
        await lag(stage.flow())


def test_its_library_says_the_same_thing_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    complaining = logging.getLogger("aiokafka.conn")
    hush()  # as whoever makes a client does
    for attempt in range(50):
        complaining.error("Unable to reach node %d at once", attempt)
        complaining.info("something that nobody asked for")
    assert [record.getMessage() for record in caplog.records] == ["Unable to reach node 0 at once"]
