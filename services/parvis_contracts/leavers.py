"""How a service says that it owes nothing more to the departure of an agent: each under its own name, since a fact has one publisher."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from parvis_kit.events import Fact
from pydantic import AwareDatetime, Field

DONE_MAX = 20
Done = Annotated[str, Field(min_length=1, max_length=80)]


class LeaverAcknowledged(Fact):
    """A service has done its part about an agent who left. Each declares its own, as `<service>.leaver.settled.v1`."""

    agent_id: UUID
    left_at: AwareDatetime
    """`at` of the AgentLeft that it answers: who came back and left again has left another time."""
    done: tuple[Done, ...] = Field(default=(), max_length=DONE_MAX)
    """What was done, a few words each, for whoever looks at the departure: neither names nor content."""


def acknowledgements() -> Mapping[str, type[LeaverAcknowledged]]:
    """Service → the fact by which it acknowledges: of every publisher that declares one."""
    kinds = LeaverAcknowledged.__subclasses__()
    return {kind.service(): kind for kind in sorted(kinds, key=lambda one: one.type) if kind.__module__.startswith("parvis_contracts.")}
