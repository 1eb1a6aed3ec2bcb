"""How the node is, for people and for machines."""

import os
import sqlite3
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Clock, Service, Start, mint, until

ADMIN = mint("root", "admin")


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


@pytest.mark.parametrize("path", ["/system/status", "/sse/status", "/healthz", "/readyz", "/metrics"])
async def test_status_is_for_anyone(service: Service, path: str) -> None:
    assert (await service.get(path)).status == 200


async def test_system_status_has_what_the_contract_names(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock, node_id="node-1")
    await service.open("/v1/app/sse", token=mint("42"))
    await service.open("/v1/app/sse", token=mint("43"))
    await service.open("/custom/stream")
    await service.publish(broadcast=True, data=1)
    clock.advance(90)

    status = (await service.get("/system/status")).json

    assert status["status"] == "ok"
    assert status["version"]
    assert status["nodeId"] == "node-1"
    assert status["uptime"] == 90
    assert status["connections"] == {"total": 3, "byStream": {"app": 2, "custom": 1}}
    assert status["eventsSent"] == 2
    assert status["memory"]["rssBytes"] > 10_000_000
    assert status["timestamp"].endswith("Z")


async def test_system_status_forgets_streams_that_closed(service: Service) -> None:
    stream = await service.open("/custom/stream")
    stream.close()
    await until(lambda: len(service.node.connections) == 0)

    assert (await service.get("/system/status")).json["connections"] == {"total": 0, "byStream": {}}


async def test_node_without_a_name_makes_one_up(start: Start) -> None:
    names = {(await (await start()).get("/system/status")).json["nodeId"] for _ in range(3)}

    assert len(names) == 3


async def _some_clients(service: Service) -> None:
    for client in ("a", "a", "b"):
        await service.open(f"/sse/connect?clientId={client}", token=ADMIN)
    await service.open("/v1/app/sse", token=mint("42"))


async def test_client_status_counts_streams_and_distinct_clients(service: Service) -> None:
    await _some_clients(service)

    assert (await service.get("/sse/status")).json == {"connected": 3, "clients": 2}


@pytest.mark.parametrize(
    ("token", "told"), [(None, False), (mint("42"), False), (mint("p", "service"), False), (ADMIN, True)]
)
async def test_client_ids_are_told_to_an_admin_only(service: Service, token: str | None, told: bool) -> None:
    await _some_clients(service)

    status = (await service.get("/sse/status", token=token)).json

    assert status.get("clientIds") == (["a", "b"] if told else None)
    assert status["connected"] == 3


async def test_ready_turns_when_the_node_goes_away(service: Service) -> None:
    before = await service.get("/readyz")
    await service.node.drain()
    after = await service.get("/readyz")

    assert (before.status, after.status) == (200, 503)
    assert (await service.get("/healthz")).status == 200
    assert (await service.get("/system/status")).json["status"] == "draining"


async def test_ready_turns_while_the_store_cannot_keep(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = service.node.engine._store  # type: ignore[attr-defined]

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", full)
        patch.setattr(store, "probe", full)
        answer = await service.post("/v1/events", token=ADMIN, json={"broadcast": True, "data": 1})
        failing = await service.get("/readyz")
        degraded = (await service.get("/system/status")).json["status"]
    again = await service.get("/readyz")

    assert (answer.status, failing.status, again.status) == (503, 503, 200)
    assert degraded == "degraded"
    assert (await service.get("/system/status")).json["status"] == "ok"


async def test_metrics_are_what_prometheus_reads(start: Start) -> None:
    service = await start(max_connections_per_user=1)
    await service.open("/v1/app/sse", token=mint("42"))
    await service.get("/v1/app/sse", token=mint("42"))
    closed = await service.open("/custom/stream")
    closed.close()
    await until(lambda: len(service.node.connections) == 1)
    await service.publish(userId="42", data=1)
    await service.publish(userId="nobody", data=1)

    answer = await service.get("/metrics")
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert samples["sse_push_connections", ("app",)] == 1
    assert samples["sse_push_connections", ("custom",)] == 0
    assert samples["sse_push_connections_closed_total", ("client_closed",)] == 1
    assert samples["sse_push_events_total", ("durable",)] == 2
    assert samples["sse_push_deliveries_total", ()] == 1
    assert samples["sse_push_rejections_total", ("user",)] == 1
    assert samples["sse_push_requests_total", ("429",)] == 1
    assert samples["sse_push_delivery_seconds_count", ()] == 2
    assert samples["sse_push_write_buffer_bytes", ()] >= 0
    assert samples["process_resident_memory_bytes", ()] > 0


async def test_metrics_count_what_was_refused(service: Service) -> None:
    await service.post("/v1/events", token=ADMIN, json={"topic": "nothing", "broadcast": True, "data": 1})

    assert b'sse_push_events_total{outcome="rejected"} 1' in (await service.get("/metrics")).body


async def test_metrics_count_what_could_not_be_kept(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(service.node.engine._store, "append", full)  # type: ignore[attr-defined]
        await service.post("/v1/events", token=ADMIN, json={"broadcast": True, "data": 1})

    assert b'sse_push_events_total{outcome="failed"} 1' in (await service.get("/metrics")).body


async def test_probes_are_logged_quietly(start: Start, logged: list[dict[str, Any]]) -> None:
    service = await start(log_level="debug")
    for path in ("/healthz", "/readyz", "/metrics", "/system/status"):
        await service.get(path)

    levels = {line["path"]: line["log_level"] for line in logged if line["event"] == "request.completed"}
    assert levels == {"/healthz": "debug", "/readyz": "debug", "/metrics": "debug", "/system/status": "info"}


async def test_memory_is_of_this_process(service: Service) -> None:
    rss = (await service.get("/system/status")).json["memory"]["rssBytes"]

    assert rss % os.sysconf("SC_PAGE_SIZE") == 0
