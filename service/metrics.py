"""Prometheus metrics: counted on the push path as plain numbers, collected when ``/metrics`` is scraped."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from sse_push.service.logging import lines_dropped

if TYPE_CHECKING:
    from sse_push.service.node import Node

# Seconds from acceptance to the last write of a group: a loop iteration, a commit, a slow disk, a stuck disk.
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The counters since the start.

    Attributes:
        events: By outcome: ``durable``, ``ephemeral`` (of a topic that is not kept), ``rejected``, ``failed``.
        deliveries: Events times the streams that got them.
        rejections: Rejected requests, by limit.
        requests: Completed requests, by status.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()
        self.deliveries = 0
        self._latency = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self._latency_sum = 0.0

    def delivered(self, events: int, deliveries: int, seconds: float) -> None:
        """Count a group: *seconds* from the acceptance of its first event to its last write."""
        self.deliveries += deliveries
        self._latency[bisect_left(LATENCY_BUCKETS_S, seconds)] += events
        self._latency_sum += seconds * events

    def latency(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative buckets and the sum, in Prometheus' form."""
        buckets, total = [], 0
        for bound, count in zip((*map(str, LATENCY_BUCKETS_S), "+Inf"), self._latency, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._latency_sum


class NodeCollector:
    """Collects a node's metrics for one scrape."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        node, metrics = self._node, self._node.metrics
        yield _by("sse_push_connections", "Open streams.", "stream", node.connections.open_by_kind, GaugeMetricFamily)  # fmt: skip
        yield _by(
            "sse_push_connections_closed", "Streams closed.", "reason", node.connections.closed_by_reason
        )
        yield _by("sse_push_events", "Events by outcome.", "outcome", metrics.events)
        yield _by("sse_push_rejections", "Requests rejected by a limit.", "limit", metrics.rejections)
        yield _by("sse_push_requests", "Requests completed.", "status", metrics.requests)
        yield CounterMetricFamily(
            "sse_push_log_lines_dropped", "Log lines that could not be written.", lines_dropped()
        )
        yield CounterMetricFamily(
            "sse_push_descriptors_exhausted",
            "Times that no file descriptor was left.",
            node.descriptors.exhausted,
        )
        yield CounterMetricFamily("sse_push_deliveries", "Events times streams.", metrics.deliveries)
        buckets, total = metrics.latency()
        yield HistogramMetricFamily(
            "sse_push_delivery_seconds", "From acceptance to the last write.", buckets, total
        )
        yield GaugeMetricFamily(
            "sse_push_write_buffer_bytes", "Bytes buffered for readers.", node.connections.buffered_bytes()
        )
        yield GaugeMetricFamily("sse_push_history_head", "Number of the newest event.", node.engine.head)
        yield GaugeMetricFamily(
            "sse_push_history_floor", "Number up to which events are gone.", node.engine.floor
        )


def exposition(node: "Node") -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(node.registry)


def new_registry(node: "Node") -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(NodeCollector(node))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def _by(
    name: str,
    help_: str,
    label: str,
    counts: Counter[str] | Counter[int],
    family: type[CounterMetricFamily] | type[GaugeMetricFamily] = CounterMetricFamily,
) -> Metric:
    metric = family(name, help_, labels=[label])
    for value, count in counts.items():
        metric.add_metric([str(value)], count)
    return metric
