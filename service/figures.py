"""Figures for Prometheus: counted on the push path as plain numbers, gathered when ``/metrics`` asks."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from sse_push.service.logging import lines_dropped

if TYPE_CHECKING:
    from sse_push.service.node import Node

# Seconds from acceptance to the last write of a batch: a loop turn, a commit, a slow disk, a stuck one.
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Figures:
    """What was counted since the start.

    Attributes:
        events: By outcome: ``kept``, ``passed`` (of a topic that is not kept), ``refused``, ``failed``.
        deliveries: Events times the streams they went to.
        refusals: Requests refused, by limit.
        requests: Requests answered, by status.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()
        self.deliveries = 0
        self._latency = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self._latency_sum = 0.0

    def delivered(self, events: int, deliveries: int, seconds: float) -> None:
        """Count a batch: *seconds* from the acceptance of its first event to its last write."""
        self.deliveries += deliveries
        self._latency[bisect_left(LATENCY_BUCKETS_S, seconds)] += events
        self._latency_sum += seconds * events

    def latency(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative buckets and the sum, as Prometheus has them."""
        buckets, total = [], 0
        for bound, count in zip((*map(str, LATENCY_BUCKETS_S), "+Inf"), self._latency, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._latency_sum


class NodeCollector:
    """Gathers a node's figures for one scrape."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        node, figures = self._node, self._node.figures
        yield _by("sse_push_connections", "Open streams.", "stream", node.connections.open_by_kind, GaugeMetricFamily)  # fmt: skip
        yield _by("sse_push_closes", "Streams closed.", "reason", node.connections.closed_by_reason)
        yield _by("sse_push_events", "Events by outcome.", "outcome", figures.events)
        yield _by("sse_push_refusals", "Requests refused.", "limit", figures.refusals)
        yield _by("sse_push_requests", "Requests answered.", "status", figures.requests)
        yield CounterMetricFamily(
            "sse_push_log_lines_dropped", "Log lines that could not be written.", lines_dropped()
        )
        yield CounterMetricFamily(
            "sse_push_descriptors_exhausted",
            "Looks that found no file descriptor left.",
            node.descriptors.exhausted,
        )
        yield CounterMetricFamily("sse_push_deliveries", "Events times streams.", figures.deliveries)
        buckets, total = figures.latency()
        yield HistogramMetricFamily(
            "sse_push_delivery_seconds", "From acceptance to the last write.", buckets, total
        )
        yield GaugeMetricFamily(
            "sse_push_queue_bytes", "Bytes waiting for readers.", node.connections.buffered_bytes()
        )
        yield GaugeMetricFamily("sse_push_history_head", "Newest event's number.", node.engine.head)
        yield GaugeMetricFamily("sse_push_history_floor", "Newest number gone.", node.engine.floor)


def exposition(node: "Node") -> bytes:
    """All figures in Prometheus' text format."""
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
