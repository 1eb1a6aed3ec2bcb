"""How this node is, as its models say it."""

from pathlib import Path
from typing import Any

import pytest

from sse_push.service import status
from sse_push.service.status import ClientDirectory, rss_bytes, system_status
from tests.conftest import Clock, Start, mint


async def test_system_status_is_the_nodes(start: Start) -> None:
    clock = Clock(1_768_732_200.0)
    service = await start(clock=clock, node_id="here")
    clock.advance(1.5)

    told = system_status(service.node)

    assert (told.status, told.node_id, told.uptime) == ("ok", "here", 1.5)
    assert told.timestamp == "2026-01-18T10:30:01.500Z"
    assert told.connections.total == told.events_sent == 0


@pytest.mark.parametrize(
    ("healthy", "accepting", "state"),
    [(True, True, "ok"), (False, True, "degraded"), (False, False, "draining")],
)
async def test_state_is_the_gravest(start: Start, healthy: bool, accepting: bool, state: str) -> None:
    node = (await start()).node
    node.engine.failing = None if healthy else "disk is full"
    node.connections.accepting = accepting

    assert system_status(node).status == state


async def test_clients_are_told_apart_by_id(start: Start) -> None:
    service = await start()
    for client in ("b", "a", "b"):
        await service.open(f"/sse/connect?clientId={client}", token=mint("root", "admin"))

    told = ClientDirectory(service.node).status(with_ids=True)

    assert (told.connected, told.clients, told.client_ids) == (3, 2, ["a", "b"])
    assert ClientDirectory(service.node).status(with_ids=False).client_ids is None


def test_memory_is_zero_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rss_bytes() > 0

    def missing(*_: Any, **__: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert status.rss_bytes() == 0
