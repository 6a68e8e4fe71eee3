"""What happened, said once: a fact is immutable, in the past tense, and its type carries its major version."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

TYPE = re.compile(r"^(?P<family>(?P<service>[a-z]+)\.[a-z_]+)\.(?P<verb>[a-z_]+)\.v(?P<major>[1-9]\d*)$")
UNREADABLE = "unreadable"
"""The type of an envelope whose attributes could not be read; its head says why."""
FACT_BYTES_MAX = 256 * 1024
"""A fact carries ids, sizes and times; content goes to the blob store and its id into the fact."""


class Fact(BaseModel):
    """Subclass it in parvis_contracts, one module per publisher. Readers ignore fields that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
    """Built when first read or said: a service knows sixty kinds by name, and uses a few of them."""

    type: ClassVar[str]
    """`service.thing.verb.vN`: the CloudEvents type. The topic is `parvis.service.thing`."""
    at: AwareDatetime
    """When it happened (CloudEvents time)."""
    about: str = Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")
    """The id of the thing: the key, so facts about one thing stay in order (CloudEvents subject and partitionkey)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if (kind := cls.__dict__.get("type")) is not None and (
            not (found := TYPE.match(kind)) or (found["verb"] == "state") != issubclass(cls, StateFact)
        ):
            raise TypeError(f"{cls.__name__}.type {kind!r} is not `service.thing.verb.vN` (`….state.vN` for a StateFact, and only there)")

    @field_validator("about", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, (UUID, int)) else value

    @classmethod
    def service(cls) -> str:
        return _parsed(cls.type)["service"]

    @classmethod
    def topic(cls) -> str:
        return topic_of(cls.type)


class StateFact(Fact):
    """The whole state of a thing: its topic keeps the last one per key, and `erased` takes it away."""


@cache
def topic_of(kind: str) -> str:
    """`parvis.files.file` of `files.file.stored.v1`; `parvis.directory.agent.state` of `directory.agent.state.v1`."""
    found = _parsed(kind)
    return f"parvis.{found['family']}" + (".state" if found["verb"] == "state" else "")


def is_state(topic: str) -> bool:
    return topic.endswith(".state")


@cache
def _parsed(kind: str) -> re.Match[str]:
    found = TYPE.match(kind)
    if not found:
        raise ValueError(f"{kind!r} is not `service.thing.verb.vN`")
    return found


def family_of(kind: str) -> str:
    """The type without its major version."""
    return kind.rpartition(".v")[0]


def declared() -> dict[str, type[Fact]]:
    """Every kind of fact whose module is imported, by its type."""
    found: dict[str, type[Fact]] = {}
    waiting: list[type[Fact]] = [Fact]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if "type" in kind.__dict__:
            found[kind.type] = kind
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Erased:
    """The tombstone of a state: what is about `about` is forgotten. In a table of reactions: `Erased(AgentState)`."""

    kind: type[StateFact]
    about: str = ""
    at: datetime | None = None


class Envelope(NamedTuple):
    """A fact on its way: CloudEvents 1.0 attributes beside the bytes of its data (binary mode). A frozen dataclass takes 3 µs to make."""

    id: UUID
    type: str
    topic: str
    key: str
    at: datetime
    head: str
    """JSON of the attributes that travel along: source, actor, causationid, correlationid, traceparent. Absent ones are left out."""
    data: bytes | None
    """JSON; None is a tombstone."""

    @property
    def lane(self) -> tuple[str, str]:
        """What stays in order, and waits together."""
        return self.topic, self.key

    @property
    def digest(self) -> str:
        """What tells a duplicate from another fact under the same id."""
        return sha256(b"\0".join((self.type.encode(), self.key.encode(), self.data or b""))).hexdigest()[:32]
