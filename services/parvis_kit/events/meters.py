"""What the log says of itself to whoever is on call."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("parvis_facts_published_total", "Facts written by committed transactions of this process.", ["service", "type"])
HANDLED = Counter("parvis_facts_handled_total", "Facts taken by a consumer, by what became of them.", ["consumer", "outcome"])
DELIVERY = Histogram(
    "parvis_fact_delivery_seconds",
    "From the moment a fact happened to its effect being computed.",
    ["consumer"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30, 300),
)
DUPLICATES = Counter("parvis_consumer_duplicates_total", "Facts that came again and were dropped.", ["consumer"])
PARKED = Counter("parvis_facts_parked_total", "Facts set aside with their key; `parvis events parked` tells why.", ["consumer", "reason"])
PARKED_NOW = Gauge(
    "parvis_parked_facts", "Facts that wait for `parvis events replay` or `discard`; above 0, somebody should look.", ["consumer"]
)
STALLED = Gauge(
    "parvis_consumer_stalled", "1 while a consumer cannot go on: its database or the log is away, or a reaction asks to wait.", ["consumer"]
)
LAG_FACTS = Gauge("parvis_consumer_lag_facts", "Facts in the log that a consumer has not handled.", ["consumer", "publisher"])
LAG_SECONDS = Gauge("parvis_consumer_lag_seconds", "Age of the oldest fact that a consumer has not handled.", ["consumer", "publisher"])
OUTBOX_PENDING = Gauge("parvis_outbox_pending", "Facts committed and not yet in the log; 100000 stands for that many or more.", ["service"])
OUTBOX_AGE = Gauge(
    "parvis_outbox_oldest_seconds", "Age of the oldest fact not yet in the log; above 60, every other service lags.", ["service"]
)
LOOKED_AT = Gauge(
    "parvis_log_looked_at_timestamp_seconds",
    "When the figures of lag, outbox and parked facts were looked at last; older than two minutes, they are no news.",
    ["service"],
)
LEADER = Gauge("parvis_relay_leader", "1 where this process carries the facts of a service to the log.", ["service"])
PROJECTION = Gauge("parvis_projection_version", "The version of a projection, by state: active, or building.", ["projection", "state"])


@dataclass(frozen=True, slots=True)
class ConsumerMeters:
    applied: Counter
    skipped: Counter
    duplicates: Counter
    stalled: Gauge
    delivery: Histogram
    parked: Callable[[str], Counter]


@cache
def of_consumer(name: str) -> ConsumerMeters:
    """The children of one consumer's labels, looked up once."""
    return ConsumerMeters(
        HANDLED.labels(name, "applied"),
        HANDLED.labels(name, "skipped"),
        DUPLICATES.labels(name),
        STALLED.labels(name),
        DELIVERY.labels(name),
        lambda reason: PARKED.labels(name, reason),
    )
