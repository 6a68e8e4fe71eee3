"""The AsyncAPI 3 document of the suite: what is said on which topic, and who listens."""

from collections.abc import Mapping, Sequence
from typing import Any

from parvis_kit.events.facts import Erased, Fact, StateFact
from parvis_kit.events.reactions import Reactions
from parvis_kit.events.schemas import schema_of
from parvis_kit.events.upkeep import FACTS_KEPT, TOMBSTONES_KEPT

MILLISECONDS_A_DAY = 86_400_000
HEADERS = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid"},
        "ce_source": {"type": "string", "examples": ["/parvis/files"]},
        "ce_type": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string"},
        "ce_partitionkey": {"type": "string"},
        "ce_sequence": {"type": "string"},
        "ce_actor": {"type": "string"},
        "ce_causationid": {"type": "string"},
        "ce_correlationid": {"type": "string"},
        "traceparent": {"type": "string"},
    },
}
"""CloudEvents 1.0, binary content mode."""


def document(kinds: Mapping[str, type[Fact]], tables: Mapping[str, Reactions], version: str, partitions: int) -> dict[str, Any]:
    """Of these kinds of facts and these consumers (name → table of reactions), on topics of so many partitions."""
    channels: dict[str, Any] = {}
    for kind in kinds.values():
        channel = channels.setdefault(kind.topic(), _channel(kind, partitions))
        channel["messages"][kind.type] = {"$ref": f"#/components/messages/{kind.type}"}
    operations = {f"{topic}.send": _operation("send", topic, channel["messages"]) for topic, channel in channels.items()}
    for consumer, table in sorted(tables.items()):
        heard: dict[str, list[str]] = {}
        for what in table:
            kind = what.kind if isinstance(what, Erased) else what
            if kind.type not in heard.setdefault(kind.topic(), []):
                heard[kind.topic()].append(kind.type)
        for topic, types in sorted(heard.items()):
            operations[f"{consumer}.{topic}.receive"] = _operation("receive", topic, types)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Parvis", "version": version, "description": "What the services of the suite tell each other."},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": {kind.type: _message(kind) for kind in kinds.values()}, "schemas": {"headers": HEADERS}},
    }


def _channel(kind: type[Fact], partitions: int) -> dict[str, Any]:
    if issubclass(kind, StateFact):
        kept: dict[str, Any] = {"cleanup.policy": ["compact"], "delete.retention.ms": TOMBSTONES_KEPT.days * MILLISECONDS_A_DAY}
    else:
        kept = {"cleanup.policy": ["delete"], "retention.ms": FACTS_KEPT.days * MILLISECONDS_A_DAY}
    binding = {"topic": kind.topic(), "partitions": partitions, "topicConfiguration": kept, "bindingVersion": "0.5.0"}
    return {"address": kind.topic(), "messages": {}, "bindings": {"kafka": binding}}


def _operation(action: str, topic: str, types: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    channel = f"#/channels/{topic}"
    return {"action": action, "channel": {"$ref": channel}, "messages": [{"$ref": f"{channel}/messages/{kind}"} for kind in types]}


def _message(kind: type[Fact]) -> dict[str, Any]:
    key = {"type": "string", "description": "What the fact is about: facts of one key stay in order."}
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").strip().partition("\n")[0],
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema_of(kind)},
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }
