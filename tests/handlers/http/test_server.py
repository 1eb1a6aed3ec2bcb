"""The listening side: the socket's options, its address, its end."""

import asyncio
import socket

import pytest
from aiohttp import web

from sse_push.handlers.app import build_app
from sse_push.handlers.http.server import FrontSite
from tests.conftest import Listen, SettingsFactory, mint, until

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_site_takes_a_free_port_and_says_which(listen: Listen) -> None:
    server = await listen(port=0)

    assert server.port > 0
    assert server.site.name == f"http://127.0.0.1:{server.port}"


async def test_site_listens_on_ipv6(listen: Listen) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    server = await listen(host="::1")
    reader, writer = await asyncio.open_connection("::1", server.port)
    writer.write(HEALTHZ)

    assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
    assert server.site.name == f"http://[::1]:{server.port}"
    writer.close()
    await writer.wait_closed()


async def test_site_refuses_a_port_that_is_taken(listen: Listen, settings_for: SettingsFactory) -> None:
    first = await listen()
    runner = web.AppRunner(build_app(settings_for()))
    await runner.setup()

    with pytest.raises(OSError, match="in use"):
        await FrontSite(runner, "127.0.0.1", first.port).start()

    await runner.cleanup()


async def test_accepted_socket_has_the_options_that_streams_need(listen: Listen) -> None:
    server = await listen(heartbeat_s=20, peer_timeout_s=50, send_buffer_bytes=65536)
    peer = await server.connect(b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.head()
    [connection] = server.node.connections
    theirs = connection.transport.get_extra_info("socket")

    assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (65536, 131072)  # Linux doubles it
    assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
    assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20


async def test_dead_peer_is_noticed_within_its_time(listen: Listen) -> None:
    """A keep-alive probe or a heartbeat goes out, and what is not acknowledged in time ends it."""
    server = await listen()
    settings = server.node.settings
    peer = await server.connect(b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.head()
    [connection] = server.node.connections
    theirs = connection.transport.get_extra_info("socket")
    unheard_s = theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000

    assert settings.heartbeat_s + unheard_s <= settings.peer_timeout_s <= 60


async def test_requests_are_answered_one_after_the_other(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(HEALTHZ * 3)

    for _ in range(3):
        head, body = await peer.answer()
        assert (head.split("\r\n")[0], body) == ("HTTP/1.1 200 OK", b'{"status":"ok"}')


async def test_request_for_a_stream_behind_another_is_a_stream(listen: Listen) -> None:
    server = await listen()
    token = mint("42")
    peer = await server.connect(HEALTHZ + f"GET /v1/app/sse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())  # fmt: skip
    await peer.answer()

    assert "text/event-stream" in await peer.head()
    assert (await peer.chunk()).startswith(b"retry: ")


async def test_site_that_stops_ends_its_streams(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.head()

    await server.runner.cleanup()

    told = await peer.rest()
    assert told.endswith(b"\n\n\r\n0\r\n\r\n")
    assert b"retry: " in told.split(b"data: ")[-1]
    await until(lambda: len(server.node.connections) == 0)
