"""A fact on the wire: CloudEvents 1.0 in binary mode, its attributes as headers beside the bytes of its data."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from aiokafka.partitioner import murmur2

from parvis_kit.events.facts import TYPE, UNREADABLE, Envelope

SPECVERSION = b"1.0"
CONTENT_TYPE = b"application/json"
HEADERS = {
    "source": "ce_source",
    "actor": "ce_actor",
    "causationid": "ce_causationid",
    "correlationid": "ce_correlationid",
    "traceparent": "traceparent",
}
"""Of the attributes that travel in an envelope's head."""
FOREIGN_HEADERS_KEPT_MAX = 20
FOREIGN_CHARACTERS_KEPT_MAX = 200
"""Of what somebody else wrote into a topic of ours: enough to see who it was."""
KEYS_REMEMBERED_MAX = 20_000
"""About 4 MB. A hash in Python takes four microseconds, and a day's facts are about few things."""

HEADS_REMEMBERED_MAX = 1_000

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """What a producer appends."""

    key: bytes
    value: bytes | None
    headers: Headers


class Foreign(ValueError):
    """Not written by Parvis, or by one that is broken; says what is missing."""


def encode(sequence: int, id: UUID, kind: str, key: str, at: datetime, head: str, data: bytes | None) -> Message:
    """Of an outbox's row. `sequence` is its number there: it grows with the commits of a key."""
    about = key.encode()
    headers: Headers = [
        ("ce_specversion", SPECVERSION),
        ("ce_id", str(id).encode()),
        ("ce_type", kind.encode()),
        ("ce_time", at.isoformat().encode()),
        ("ce_subject", about),
        ("ce_partitionkey", about),
        ("ce_sequence", b"%d" % sequence),
        ("content-type", CONTENT_TYPE),
        *_head(head),
    ]
    return Message(about, data, headers)


@lru_cache(HEADS_REMEMBERED_MAX)
def _head(head: str) -> Headers:
    """The facts of one transaction have the same."""
    return [(HEADERS[name], value.encode()) for name, value in json.loads(head).items() if name in HEADERS]


def decode(
    topic: str, place: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]], milliseconds: int
) -> Envelope:
    """The fact; when its headers make none, one of type UNREADABLE that says why, so that it is parked where somebody will look."""
    given = {name: content for name, content in headers if content is not None}
    try:
        kind = _type(given)
        return Envelope(
            UUID(_text(given, "ce_id")),
            kind,
            topic,
            _key(key),
            _moment(given),
            json.dumps({name: _text(given, header) for name, header in HEADERS.items() if header in given}),
            value,
        )
    except ValueError as error:
        at = datetime.fromtimestamp(max(0, milliseconds) / 1000, UTC)
        shown = {name[:FOREIGN_CHARACTERS_KEPT_MAX]: _shown(content) for name, content in list(given.items())[:FOREIGN_HEADERS_KEPT_MAX]}
        head = json.dumps({"source": "", "why": str(error), "headers": shown})
        return Envelope(uuid5(NAMESPACE_URL, place), UNREADABLE, topic, _shown(key or b""), at, head, value)


def _type(given: dict[str, bytes]) -> str:
    if given.get("ce_specversion", b"")[:2] != b"1.":
        raise Foreign(f"ce_specversion is {_shown(given.get('ce_specversion', b'missing'))}, not 1.0: this is no CloudEvent in binary mode")
    kind = _text(given, "ce_type")
    if not TYPE.match(kind):
        raise Foreign(f"ce_type {kind[:FOREIGN_CHARACTERS_KEPT_MAX]!r} is not `service.thing.verb.vN`")
    return kind


def _moment(given: dict[str, bytes]) -> datetime:
    at = datetime.fromisoformat(_text(given, "ce_time"))
    if at.tzinfo is None:
        raise Foreign("ce_time has no offset from UTC")
    return at


def _key(key: bytes | None) -> str:
    if not key or b"\0" in key:
        raise Foreign("it has no key, so nobody knows what it is about")
    return key.decode()


def _text(given: dict[str, bytes], name: str) -> str:
    if name not in given:
        raise Foreign(f"{name} is missing")
    return given[name].decode()


def _shown(content: bytes) -> str:
    return content[:FOREIGN_CHARACTERS_KEPT_MAX].decode(errors="backslashreplace").replace("\0", "\\0")


# partitions


@lru_cache(KEYS_REMEMBERED_MAX)
def number_of(key: str, count: int) -> int:
    """As the default partitioners of Kafka's own clients do it, so that whoever writes with one of those keeps a key's order."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % count


def partition_name(topic: str, number: int) -> str:
    """How a partition is called in the ledger."""
    return f"{topic}/{number}"


def partition_parts(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("/")
    return topic, int(number)


def named(topics: Iterable[str], count: int) -> list[str]:
    """Every partition of these topics."""
    return [partition_name(topic, number) for topic in topics for number in range(count)]
