"""How many requests, how they were answered, and how long it took: plain integers of the loop's thread, read when Prometheus asks."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds."""

AT_WORK = Gauge("parvis_http_requests_at_work", "Requests being handled; at PARVIS_IN_FLIGHT_MAX the next is refused.", ["service"])
AT_WORK_MAX = Gauge("parvis_http_requests_at_work_max", "PARVIS_IN_FLIGHT_MAX: how many requests a service handles at once.", ["service"])
CHECK = Gauge(
    "parvis_check_ok",
    "0 while something is missing: needed, and the process takes no requests; not needed, and something is late. /readyz says why.",
    ["check", "needed"],
)
REFUSED = Counter("parvis_http_refused_total", "Requests without an answer of a door: full, late, or unreadable (400).", ["service", "why"])


class Meter:
    """Of one route. Observing costs a fraction of a microsecond, where prometheus_client's locks cost two."""

    __slots__ = ("labels", "answers", "buckets", "seconds")

    def __init__(self, service: str, method: str, route: str) -> None:
        self.labels = [service, method, route]
        self.answers = [0] * 6
        """By the first digit of the status."""
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def observe(self, status: int, seconds: float) -> None:
        self.answers[status // 100] += 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


METERS: dict[tuple[str, str, str], Meter] = {}


def meter_of(service: str, method: str, route: str) -> Meter:
    """The one meter of a route, by its template: never by a path, of which there is no end."""
    return METERS.setdefault((service, method, route), Meter(service, method, route))


class RequestCollector(Collector):
    def collect(self) -> Iterable[Metric]:
        names = ["service", "method", "route"]
        answered = CounterMetricFamily("parvis_http_requests", "Requests answered, by class of status.", labels=[*names, "status"])
        took = HistogramMetricFamily("parvis_http_request_seconds", "From the request's head to its answer.", labels=names)
        for meter in METERS.values():
            for digit, count in enumerate(meter.answers):
                if count:
                    answered.add_metric([*meter.labels, f"{digit}xx"], count)
            if any(meter.answers):
                bounds = [*map(str, BUCKETS), "+Inf"]
                took.add_metric(meter.labels, list(zip(bounds, accumulate(meter.buckets), strict=True)), meter.seconds)
        return [answered, took]


REGISTRY.register(RequestCollector())
