"""What a request or a fact carries along through every await: who acts, what caused it, and the ids that let it be followed."""

import os
import re
from contextvars import ContextVar
from typing import NamedTuple

TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")


class Cause(NamedTuple):
    """Published facts and log lines take these along. Empty strings where there is nothing to say."""

    request_id: str = ""
    traceparent: str = ""
    """W3C Trace Context, level 1: the span of whoever is acting now."""
    actor: str = ""
    """Who acts: an agent's id, or the name of a service or command."""
    fact_id: str = ""
    """The fact being reacted to (CloudEvents causationid)."""


CAUSE: ContextVar[Cause] = ContextVar("cause", default=Cause())  # noqa: B039 (immutable)


def child_span(traceparent: str) -> str:
    """The same trace, a new span; a new trace when what came in is not a traceparent."""
    found = TRACEPARENT.match(traceparent)
    trace, flags = (found[1], found[3]) if found else (os.urandom(16).hex(), "01")
    return f"00-{trace}-{os.urandom(8).hex()}-{flags}"


def acting_as(actor: str) -> None:
    """From here on, in this task, published facts and log lines name this actor."""
    CAUSE.set(CAUSE.get()._replace(actor=actor))
