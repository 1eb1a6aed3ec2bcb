"""Taking a connection away from aiohttp, both ways, against the aiohttp that is installed."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from sse_push.handlers.http.detach import take_over
from sse_push.service.connection import Connection
from tests.conftest import Listen, Listening, Peer, mint, until

STREAM = f"GET /v1/app/sse/42 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mint('42')}\r\n\r\n".encode()
PUBLISH = b'{"userId":"42","data":1}'


@pytest.fixture(params=["front", "aiohttp's runner"])
def is_plain(request: pytest.FixtureRequest) -> bool:
    """Whether it runs in a plain aiohttp runner."""
    return bool(request.param == "aiohttp's runner")


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Only what the test makes is looked through: all else has been made to stay."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def _open(server: Listening) -> Peer:
    peer = await server.connect(STREAM)
    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert (await peer.chunk()).startswith(b"retry: ")
    return peer


async def _publish(server: Listening) -> None:
    token = mint("p", "service")
    peer = await server.connect(
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
        + b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(PUBLISH)
        + PUBLISH
    )
    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


def _nothing_left(server: Listening, tasks: int) -> bool:
    """No task more than *tasks*, and aiohttp has heard of their ends: it does so a turn of the loop later."""
    return len(asyncio.all_tasks()) <= tasks and not server.runner.server.connections


def _alive(*kinds: type) -> list[int]:
    """How many objects of each kind there are."""
    gc.collect()
    found = [type(one) for one in gc.get_objects()]
    return [sum(issubclass(one, kind) for one in found) for kind in kinds]


async def test_stream_gives_what_comes(listen: Listen, is_plain: bool) -> None:
    server = await listen(plain=is_plain)
    peer = await _open(server)

    for _ in range(3):
        await _publish(server)

    for number in (1, 2, 3):
        assert (await peer.chunk()).endswith(b"-%d\ndata: 1\n\n" % number)


async def test_stream_frees_its_slot_when_its_client_closes(listen: Listen, is_plain: bool) -> None:
    server = await listen(plain=is_plain)
    peer = await _open(server)

    peer.writer.close()

    await until(lambda: len(server.node.connections) == 0)


async def test_stream_frees_its_slot_when_its_client_resets(listen: Listen, is_plain: bool) -> None:
    server = await listen(plain=is_plain)
    peer = await _open(server)

    peer.abort()

    await until(lambda: len(server.node.connections) == 0)
    assert sum(server.node.connections.closed_by_reason.values()) == 1


async def test_stream_ends_whole_when_the_node_goes_away(listen: Listen, is_plain: bool) -> None:
    server = await listen(plain=is_plain)
    peer = await _open(server)

    await server.node.drain()

    assert (await peer.chunk()).startswith(b"retry: ")
    assert await peer.chunk() == b""
    assert await peer.rest() == b""


async def test_stream_that_was_cut_is_closed(listen: Listen, is_plain: bool) -> None:
    server = await listen(plain=is_plain)
    peer = await _open(server)

    for connection in list(server.node.connections):
        connection.abort("slow_reader")

    assert await peer.rest() == b""
    assert server.node.connections.closed_by_reason["slow_reader"] == 1


async def test_what_a_client_says_on_a_stream_is_ignored(listen: Listen, is_plain: bool) -> None:
    server = await listen(plain=is_plain)
    peer = await _open(server)

    await peer.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    await _publish(server)

    assert (await peer.chunk()).endswith(b"data: 1\n\n")


async def test_stream_behind_which_requests_were_sent_notices_its_clients_end(
    listen: Listen, is_plain: bool
) -> None:
    server = await listen(plain=is_plain)
    peer = await server.connect(STREAM + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    await peer.head()
    await until(lambda: len(server.node.connections) == 1)

    peer.writer.close()

    await until(lambda: len(server.node.connections) == 0)


async def test_stream_writes_nothing_of_aiohttps_own(listen: Listen, is_plain: bool) -> None:
    """No second head, no end of the response behind the first chunks."""
    server = await listen(plain=is_plain)
    peer = await _open(server)
    await _publish(server)
    await server.node.drain()

    told = await peer.rest()

    assert told.count(b"HTTP/1.1") == 0
    assert told.count(b"0\r\n\r\n") == 1
    assert told.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.usefixtures("few_objects")
async def test_detached_stream_keeps_nothing_of_aiohttps(listen: Listen) -> None:
    server = await listen()
    before = _alive(RequestHandler, web.Request, web.StreamResponse)
    tasks = len(asyncio.all_tasks())

    peers = [await _open(server) for _ in range(20)]
    await until(lambda: _nothing_left(server, tasks))

    assert _alive(Connection)[0] >= len(peers)
    assert _alive(RequestHandler, web.Request, web.StreamResponse) == before
    assert not server.site._guard.open


@pytest.mark.usefixtures("few_objects")
async def test_stream_beside_aiohttp_lets_go_of_all_at_its_end(
    listen: Listen,
) -> None:
    server = await listen(plain=True)
    before = _alive(RequestHandler, web.Request, Connection)
    tasks = len(asyncio.all_tasks())
    peers = [await _open(server) for _ in range(5)]
    assert _alive(RequestHandler)[0] > before[0]

    for peer in peers:
        peer.abort()

    await until(lambda: len(server.node.connections) == 0 and _nothing_left(server, tasks))
    assert _alive(RequestHandler, web.Request, Connection) == before


@pytest.mark.usefixtures("few_objects")
async def test_connection_that_closed_lets_go_of_all(listen: Listen) -> None:
    server = await listen()
    before = _alive(Connection)
    peers = [await _open(server) for _ in range(5)]

    for peer in peers:
        peer.abort()

    await until(lambda: len(server.node.connections) == 0)
    await until(lambda: _alive(Connection) == before)


async def test_client_that_is_gone_is_not_taken_over(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await listen()

    class Gone:
        transport = None

    with pytest.raises(ConnectionResetError):
        take_over(Gone(), asyncio.Protocol())  # type: ignore[arg-type]
    assert len(server.node.connections) == 0


async def test_slot_of_a_client_that_left_before_its_stream_is_given_back(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sse_push.handlers import streams

    def gone(request: Any, *_: object) -> None:
        assert request.transport is not None
        request.transport.abort()
        raise ConnectionResetError("the client is gone")

    server = await listen(max_connections=1)
    with monkeypatch.context() as patch:
        patch.setattr(streams, "take_over", gone)
        await (await server.connect(STREAM)).rest()

    assert len(server.node.connections) == 0
    await _open(server)
