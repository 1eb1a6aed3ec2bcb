"""Open means live: whatever is published once a client has the response's head reaches it, on every kind of stream."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sse_push.service.connections import OPENS_PER_TURN
from sse_push.service.streams.client import CustomEvent
from tests.conftest import Listen, Listening, Peer, mint, until
from tests.handlers.streams.raw import publish
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy

TRIES = 100  # each with routing keys that no node has heard before
Kind = tuple[
    str, Callable[[str], dict[str, Any]]
]  # a path with the place of a name, and what is published for it

KINDS: dict[str, Kind] = {
    "app": ("/v1/app/sse", lambda name: {"userId": name}),
    "app_user": ("/v1/app/sse/{}", lambda name: {"userId": name}),
    "client": ("/sse/connect?clientId={}", lambda name: {"topic": "client", "userId": name}),
    "notifications": ("/notifications/stream", lambda name: {"topic": "notifications", "userId": name}),
    "realtime": (
        "/realtime/stream?entityType=order&entityId={}",
        lambda name: {
            "topic": "realtime",
            "broadcast": True,
            "data": {"entityType": "order", "entityId": name},
        },
    ),
    "chat": ("/chat/stream?room={}", lambda name: {"room": name}),
    "chat_history": ("/chat/stream?room={}&history=5", lambda name: {"room": name}),
    "many": ("/v1/stream?topics=app,notifications,chat:{}", lambda name: {"room": name}),
}


@pytest.fixture
async def nodes(listen: Listen, shared_redis: RedisServer) -> list[Listening]:
    shared_redis.call("FLUSHALL")
    settings: dict[str, Any] = {
        "engine_url": shared_redis.url,
        "open_rooms": ("*",),
        "max_connections": TRIES + 10,
        "max_connections_per_address": TRIES + 10,
        "ai_worker_concurrency": 0,
    }
    return [await listen(**settings), await listen(**settings)]


def request(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def opened(node: Listening, path: str, user: str) -> Peer:
    """A stream whose response's head has come; nothing behind it is read."""
    peer = await node.connect(request(path, mint(user, rooms=[user])))
    assert (await peer.head()).startswith("HTTP/1.1 200 OK\r\n")
    return peer


async def frames_up_to(peer: Peer, id_: str) -> bytes:
    """All frames up to that of the event *id_*."""
    event = re.compile(rb"id: %b\n(event: .*\n)?data: " % id_.encode())
    got = b""
    while not event.search(got):
        got += await peer.chunk()
    return got


async def test_what_is_published_once_the_head_is_there_comes(nodes: list[Listening]) -> None:
    for kind, (path, event) in KINDS.items():
        for number in range(TRIES):
            name = f"{kind}{number}"
            peer = await opened(nodes[0], path.format(name), name)
            [id_] = await publish(nodes[number % 2].node, **{"data": number, **event(name)})

            got = await frames_up_to(peer, id_)

            assert re.match(rb"retry: \d+\nid: \S+\n\n", got), "the first frame says where the stream begins"
            peer.abort()


async def test_client_that_is_connected_for_another_node_gets_what_that_sends(nodes: list[Listening]) -> None:
    clients = nodes[1].node.clients
    for number in range(TRIES):
        name = f"asked{number}"
        opening = asyncio.create_task(opened(nodes[0], f"/sse/connect?clientId={name}", name))
        event = CustomEvent(action="go", timestamp="now")
        while not await clients.send_to_client(name, event):
            await asyncio.sleep(0)

        peer = await opening

        got = b""
        while b'"action":"go"' not in got:
            got += await peer.chunk()
        peer.abort()


async def test_stream_whose_keys_are_heard_already_waits_for_nothing(nodes: list[Listening]) -> None:
    first = await opened(nodes[0], "/v1/app/sse", "1")

    async def settle(keys: Sequence[str]) -> int:
        raise AssertionError(f"asks for {keys}")

    nodes[0].node.engine.wait_caught_up = settle  # type: ignore[method-assign]
    second = await opened(nodes[0], "/v1/app/sse", "1")

    [id_] = await publish(nodes[1].node, userId="1", data="to both")
    for peer in (first, second):
        assert await frames_up_to(peer, id_)
        peer.abort()


async def test_stream_waits_until_its_keys_are_heard_and_holds_its_slot_meanwhile(
    listen: Listen, shared_redis: RedisServer
) -> None:
    proxy = TcpProxy(shared_redis.port)
    await proxy.start()
    node = await listen(
        engine_url=f"redis://127.0.0.1:{proxy.port}/0", max_connections=1, ai_worker_concurrency=0
    )
    proxy.stall()

    opening = await node.connect(request("/v1/app/sse", mint("1")))
    await until(lambda: len(node.node.connections) == 1)
    refused = await node.connect(request("/v1/app/sse", mint("2")))
    assert (await refused.head()).startswith("HTTP/1.1 429 ")
    assert opening.reader.at_eof() is False
    assert not opening.reader._buffer, "nothing is said before it is so"  # type: ignore[attr-defined]

    proxy.go_on()
    assert (await opening.head()).startswith("HTTP/1.1 200 ")
    await proxy.refuse()


async def test_stream_whose_redis_is_lost_before_its_keys_are_heard_is_refused(
    listen: Listen, shared_redis: RedisServer
) -> None:
    proxy = TcpProxy(shared_redis.port)
    await proxy.start()
    node = await listen(engine_url=f"redis://127.0.0.1:{proxy.port}/0", ai_worker_concurrency=0)
    proxy.stall()
    kinds = [
        "/v1/app/sse",
        "/chat/stream?room=general",
        "/v1/stream?topics=realtime,custom",
        "/v1/app/sse?lastEventId=x",
    ]
    peers = [await node.connect(request(path, mint("1"))) for path in kinds]
    gone = await node.connect(request("/v1/app/sse", mint("1")))
    await until(lambda: len(node.node.connections) == len(kinds) + 1)
    gone.abort()

    await proxy.refuse()

    for peer in peers:
        head = await peer.head()
        assert head.startswith("HTTP/1.1 503 "), head
        assert "\r\nRetry-After: " in head
    await until(lambda: len(node.node.connections) == 0)
    assert not node.node.engine._feed._listeners  # type: ignore[attr-defined]


async def test_stream_that_waits_while_its_node_goes_away_is_refused(
    listen: Listen, shared_redis: RedisServer
) -> None:
    proxy = TcpProxy(shared_redis.port)
    await proxy.start()
    node = await listen(engine_url=f"redis://127.0.0.1:{proxy.port}/0", ai_worker_concurrency=0)
    proxy.stall()
    peer = await node.connect(request("/v1/app/sse", mint("1")))
    await until(lambda: len(node.node.connections) == 1)

    draining = asyncio.create_task(node.node.drain())
    await until(lambda: not node.node.connections.accepting)
    proxy.go_on()

    assert (await peer.head()).startswith("HTTP/1.1 503 ")
    await draining
    await proxy.refuse()


async def test_many_that_open_at_once_take_turns_of_the_loop(nodes: list[Listening]) -> None:
    node = nodes[0].node
    opened_in: list[int] = []
    iteration = 0

    def count() -> None:
        nonlocal iteration
        iteration += 1
        if len(opened_in) < TRIES:
            asyncio.get_running_loop().call_soon(count)

    begin = node.connections.open

    def begin_counted(*arguments: Any, **more: Any) -> None:
        opened_in.append(iteration)
        begin(*arguments, **more)

    node.connections.open = begin_counted  # type: ignore[method-assign]
    count()
    peers = await asyncio.gather(
        *(opened(nodes[0], "/v1/app/sse", f"many{number}") for number in range(TRIES))
    )

    assert max(Counter(opened_in).values()) <= OPENS_PER_TURN
    for peer in peers:
        peer.abort()
