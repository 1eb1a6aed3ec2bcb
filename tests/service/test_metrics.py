"""Metrics: counted plainly, told in Prometheus' text format."""

from prometheus_client.parser import text_string_to_metric_families

from sse_push.service.metrics import LATENCY_BUCKETS_S, Metrics, exposition
from tests.conftest import Start


def test_latency_is_cumulative_by_bucket() -> None:
    metrics = Metrics()
    metrics.delivered(events=1, deliveries=10, seconds=0.0001)
    metrics.delivered(events=2, deliveries=20, seconds=0.003)
    metrics.delivered(events=1, deliveries=0, seconds=60)

    buckets, total = metrics.latency()
    counts = dict(buckets)

    assert metrics.deliveries == 30
    assert (counts["0.0005"], counts["0.0025"], counts["0.005"], counts["5.0"], counts["+Inf"]) == (
        1,
        1,
        3,
        3,
        4,
    )
    assert abs(total - (0.0001 + 0.006 + 60)) < 1e-9
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)


def test_bucket_holds_its_own_bound() -> None:
    metrics = Metrics()
    metrics.delivered(events=1, deliveries=1, seconds=LATENCY_BUCKETS_S[0])

    assert metrics.latency()[0][0] == ("0.0005", 1)


async def test_exposition_is_well_formed_and_every_figure_has_help(start: Start) -> None:
    service = await start()
    families = list(text_string_to_metric_families(exposition(service.node).decode()))
    ours = {family.name: family for family in families if family.name.startswith("sse_push_")}

    assert {
        "sse_push_connections", "sse_push_events", "sse_push_delivery_seconds", "sse_push_write_buffer_bytes",
        "sse_push_connections_closed", "sse_push_rejections", "sse_push_requests", "sse_push_deliveries",
    } <= ours.keys()  # fmt: skip
    assert all(family.documentation for family in ours.values())
    assert ours["sse_push_delivery_seconds"].type == "histogram"


async def test_registries_of_two_nodes_are_apart(start: Start) -> None:
    one, other = await start(), await start()
    one.node.metrics.deliveries = 7

    assert b"sse_push_deliveries_total 7.0" in exposition(one.node)
    assert b"sse_push_deliveries_total 0.0" in exposition(other.node)
