"""The composition root: started and closed in order, drained once, true to its health."""

import sqlite3
from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.events.event import PushEvent
from sse_push.service.node import Node
from sse_push.service.status import system_status
from tests.conftest import Clock, SettingsFactory, Start, mint


async def test_node_keeps_what_was_accepted_until_it_is_closed(settings_for: SettingsFactory) -> None:
    settings = settings_for()
    node = Node(settings)
    await node.start()
    receipt = node.pipeline.submit([PushEvent(data=1, broadcast=True)])
    await node.drain()
    await node.close()

    assert receipt.result() == [f"{node.engine.epoch}-1"]
    again = Node(settings)
    await again.start()
    assert (again.engine.head, again.engine.epoch) == (1, node.engine.epoch)
    await again.close()


async def test_drain_twice_is_once(start: Start, logged: list[dict[str, Any]]) -> None:
    service = await start()
    await service.node.drain()
    await service.node.drain()

    assert len([line for line in logged if line["event"] == "node.draining"]) == 1


async def test_life_of_a_node_is_logged(settings_for: SettingsFactory, logged: list[dict[str, Any]]) -> None:
    clock = Clock()
    node = Node(settings_for(node_id="here"), clock=clock)
    await node.start()
    clock.advance(5)
    await node.drain()
    await node.close()

    assert [line["event"] for line in logged] == ["node.started", "node.draining", "node.stopped"]
    assert logged[0]["node"] == logged[-1]["node"] == "here"
    assert logged[-1]["uptime_s"] == 5


async def test_check_tells_whether_events_can_be_kept(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await start()
    node = service.node
    await node.engine.check()

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(node.engine._store, "append", full)  # type: ignore[attr-defined]
        patch.setattr(node.engine._store, "probe", full)  # type: ignore[attr-defined]
        await service.post("/v1/events", token=mint("p", "service"), json={"broadcast": True, "data": 1})
        with pytest.raises(EngineUnavailable):
            await node.engine.check()
        assert system_status(node).status == "degraded"
    await node.engine.check()

    assert system_status(node).status == "ok"


def test_node_touches_nothing_before_it_starts(settings_for: SettingsFactory) -> None:
    settings = settings_for()
    Node(settings)

    assert not settings.data_dir.exists()
