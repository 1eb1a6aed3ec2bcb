"""The in-process interface of channel apps: send to a client, broadcast, ask whether one is connected."""

from typing import Any

import pytest

from sse_push.events.topics import filter_keys
from sse_push.service.streams.client import CustomEvent, NotificationEvent, RedirectEvent
from tests.conftest import Service, Start, until

STAMP = "2026-01-18T10:30:00.000Z"


@pytest.fixture
async def service(start: Start) -> Service:
    return await start(auth_mode="demo")


@pytest.mark.parametrize(
    "event",
    [
        RedirectEvent(url="https://example.com", timestamp=STAMP),
        NotificationEvent(message="hi", timestamp=STAMP),
        CustomEvent(action="open", payload={"z": 1, "a": None}, timestamp=STAMP),
        CustomEvent(action="open", timestamp=STAMP),
    ],
)
async def test_event_reaches_its_client_as_the_contract_writes_it(service: Service, event: Any) -> None:
    mine = await service.open("/sse/connect?clientId=a")
    other = await service.open("/sse/connect?clientId=b")

    assert await service.node.clients.send_to_client("a", event) is True
    await service.node.clients.broadcast(NotificationEvent(message="end", timestamp=STAMP))

    assert (await mine.event()).json == event.model_dump()
    assert (await other.event()).json["message"] == "end"


async def test_client_that_is_not_connected_gets_nothing(service: Service) -> None:
    event = NotificationEvent(message="hi", timestamp=STAMP)

    assert await service.node.clients.send_to_client("a", event) is False
    assert service.node.engine.head == 0


async def test_broadcast_reaches_all_and_gives_its_id(service: Service) -> None:
    streams = [await service.open(f"/sse/connect?clientId={name}") for name in "aab"]

    id_ = await service.node.clients.broadcast(NotificationEvent(message="hi", timestamp=STAMP))

    assert [(await stream.event()).id for stream in streams] == [id_] * 3


async def test_client_is_connected_while_it_holds_a_stream(service: Service) -> None:
    clients = service.node.clients
    assert not await clients.is_client_connected("a")
    first = await service.open("/sse/connect?clientId=a")
    second = await service.open("/sse/connect?clientId=a")
    assert await clients.is_client_connected("a")
    assert not await clients.is_client_connected("b")

    first.close()
    await until(lambda: len(service.node.connections) == 1)
    assert await clients.is_client_connected("a")
    second.close()
    await until(lambda: len(service.node.connections) == 0)

    assert not await clients.is_client_connected("a")


async def test_client_on_another_node_is_connected(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine knows of other nodes; one that says yes is believed."""
    asked: list[str] = []

    async def has_remote_subscribers(key: str) -> bool:
        asked.append(key)
        return True

    monkeypatch.setattr(service.node.engine, "has_remote_subscribers", has_remote_subscribers)

    assert await service.node.clients.is_client_connected("far")
    assert asked == [filter_keys("client", "far")[1]]
    assert await service.node.clients.send_to_client("far", NotificationEvent(message="hi", timestamp=STAMP))
