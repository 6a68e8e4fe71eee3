"""The event log, as services see it: facts, `publish`, and tables of what they react to."""

from parvis_kit.events.consumer import Refuse, Retry
from parvis_kit.events.facts import Erased, Fact, StateFact
from parvis_kit.events.publish import publish
from parvis_kit.events.reactions import Projection, Reactions, batch, upcast
from parvis_kit.events.tables import log_tables

__all__ = ["Erased", "Fact", "Projection", "Reactions", "Refuse", "Retry", "StateFact", "batch", "log_tables", "publish", "upcast"]
