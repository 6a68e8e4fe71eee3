"""How facts leave a transaction: buffered, then written by one statement just before COMMIT."""

import json
from functools import cache, lru_cache, partial

from prometheus_client import Counter

from parvis_kit.context import CAUSE, Cause
from parvis_kit.db import Tx
from parvis_kit.events import meters
from parvis_kit.events.facts import FACT_BYTES_MAX, Envelope, Erased, Fact
from parvis_kit.events.ledger import append
from parvis_kit.ids import new_id
from parvis_kit.problems import TooLarge

HEADS_KEPT = 16
"""The facts of a transaction have one cause."""


def publish(tx: Tx, *facts: Fact | Erased) -> None:
    """Say what happens when this transaction commits; nothing when it does not. Raises TooLarge above 256 KiB.

    Whoever changes a thing locks its row first (or changes nothing but what the fact says): the order of a key's facts
    is the order of its commits.
    """
    for fact in facts:
        if not tx.facts:
            tx.before_commit.append(partial(_flush, tx))
        tx.facts.append(seal(fact, tx.database.service))


def seal(fact: Fact | Erased, service: str) -> Envelope:
    """The envelope of a fact that happens now: what the context knows of its cause goes with it."""
    kind: type[Fact] = fact.kind if isinstance(fact, Erased) else type(fact)
    topic = _topic(kind, service)
    # model_dump_json would make text of it in between
    data = None if isinstance(fact, Erased) else kind.__pydantic_serializer__.to_json(fact)
    if data is not None and len(data) > FACT_BYTES_MAX:
        raise TooLarge(f"{kind.type} about {fact.about}: {len(data)} bytes, at most {FACT_BYTES_MAX} go into a fact")
    if fact.at is None:
        raise TypeError(f"Erased({kind.__name__}) is published with `about` and `at`")
    return Envelope(new_id(), kind.type, topic, fact.about, fact.at, _head(service, CAUSE.get()), data)


@cache
def _topic(kind: type[Fact], service: str) -> str:
    """Where the service publishes this kind. Raises TypeError when another one does."""
    if kind.service() != service:
        raise TypeError(f"{service} does not publish {kind.type}: a fact has one publisher")
    return kind.topic()


@lru_cache(HEADS_KEPT)
def _head(service: str, cause: Cause) -> str:
    head = {"source": f"/parvis/{service}"}
    for name, value in (
        ("actor", cause.actor),
        ("causationid", cause.fact_id),
        ("correlationid", cause.request_id),
        ("traceparent", cause.traceparent),
    ):
        if value:
            head[name] = value
    return json.dumps(head)


@cache
def _published(service: str, kind: str) -> Counter:
    """To look its labels up anew costs four times what counting does."""
    return meters.PUBLISHED.labels(service, kind)


async def _flush(tx: Tx) -> None:
    if tx.facts:
        await append(tx, tx.facts, last=True)
        tx.after_commit.append(partial(_committed, tx))


def _committed(tx: Tx) -> None:
    for fact in tx.facts:
        _published(tx.database.service, fact.type).inc()
    tx.database.published()
