"""A fact on the wire: what is written is read as it was, where every client looks for it, and nothing breaks its reader."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parvis_kit.events.facts import UNREADABLE, Envelope
from parvis_kit.events.kafka.wire import HEADERS, decode, encode, number_of

TOPIC = "parvis.alpha.thing"
KEYS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40)
HEADS = st.dictionaries(st.sampled_from(sorted(HEADERS)), st.text(st.characters(blacklist_categories=["Cs"]), max_size=60))
FACTS = st.builds(
    Envelope,
    id=st.uuids(),
    type=st.sampled_from(["alpha.thing.changed.v1", "alpha.thing.state.v12"]),
    topic=st.just(TOPIC),
    key=KEYS,
    at=st.datetimes(timezones=st.just(UTC)),
    head=HEADS.map(json.dumps),
    data=st.none() | st.binary(max_size=60),
)


@given(FACTS, st.integers(1, 2**62))
def test_what_is_written_is_read_as_it_was(fact: Envelope, sequence: int) -> None:
    message = encode(sequence, fact.id, fact.type, fact.key, fact.at, fact.head, fact.data)
    found = decode(TOPIC, "p@1", message.key, message.value, message.headers, 0)
    assert (found.id, found.type, found.key, found.at, found.data) == (fact.id, fact.type, fact.key, fact.at, fact.data)
    assert json.loads(found.head) == json.loads(fact.head)


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(st.sampled_from(["ce_id", "ce_type", "ce_time", "ce_specversion", "x"]), st.binary(max_size=30)), max_size=8),
)
def test_whatever_lies_on_a_topic_can_be_kept_and_parked(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    found = decode(TOPIC, "parvis.alpha.thing/1@7", key, value, headers, 1_700_000_000_000)
    if found.type == UNREADABLE:
        assert json.loads(found.head)["why"] and isinstance(found.id, UUID) and "\0" not in found.key
        assert found.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [("21", -973932308), ("foobar", -790332482), ("abc", 479470107), ("a-little-bit-longer-string", -1486304829)],
)
def test_keys_lie_where_kafkas_own_clients_look_for_them(key: str, hashed: int) -> None:
    """Vectors of Kafka's own tests of murmur2."""
    assert number_of(key, 12) == (hashed & 0x7FFFFFFF) % 12
