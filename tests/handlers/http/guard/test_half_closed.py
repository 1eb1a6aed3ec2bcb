"""Clients that close their sending side once they have asked: they get their answers, and the connection ends."""

import json
import socket
import struct
from typing import Any

import pytest

from tests.conftest import Listen, Listening, Peer, mint, until
from tests.handlers.http.fast_publish.publishes import ONE, head_cached, known, post
from tests.handlers.http.guard.requests import HEALTHZ, POST

STREAM = f"GET /v1/app/sse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mint('42')}\r\n\r\n".encode()
RESET = struct.pack("ii", 1, 0)  # a socket that is closed with this says so by RST
LINES = POST + b"Content-Type: application/x-ndjson\r\n"


async def _last(peer: Peer, data: bytes) -> None:
    """Send *data*, and that it was all."""
    await peer.send(data)
    peer.writer.write_eof()


async def _statuses(peer: Peer) -> list[str]:
    """Those of all answers until the server closes the connection."""
    told = await peer.rest()
    return [line.split()[1].decode() for line in told.split(b"\r\n") if b"HTTP/1.1 " in line]


async def _left(server: Listening) -> None:
    await until(lambda: not server.site._guard.open and not len(server.node.connections))


@pytest.mark.parametrize("count", [1, 3, 40], ids=str)
async def test_requests_are_answered_to_the_last(listen: Listen, count: int) -> None:
    server = await listen()
    peer = await server.connect()

    await _last(peer, HEALTHZ * count)

    assert (await peer.rest()).count(b"HTTP/1.1 200 OK") == count
    await _left(server)


@pytest.mark.parametrize("begin", [None, known, head_cached], ids=["first", "parsed", "cached head"])
@pytest.mark.parametrize("count", [1, 3])
async def test_publishes_are_answered_to_the_last(listen: Listen, begin: Any, count: int) -> None:
    server = await listen()
    peer = await begin(server) if begin else await server.connect()
    before = server.node.engine.head

    await _last(peer, post(ONE) * count)

    assert (await peer.rest()).count(b"HTTP/1.1 200 OK") == count
    assert server.node.engine.head == before + count
    await _left(server)


async def test_end_that_comes_while_an_answer_is_due_is_not_the_end_of_it(listen: Listen) -> None:
    server = await listen()
    peer = await known(server)
    engine: Any = server.node.engine
    await engine._store_lent.acquire()  # as while a chore has the store: no commit, so no answer
    await peer.send(post(ONE))
    await until(lambda: bool(server.node.answering))
    [handler] = server.site._guard.open

    await _last(peer, post(ONE) + HEALTHZ)
    await until(lambda: not handler.transport.is_reading())  # type: ignore[union-attr]
    engine._store_lent.release()
    engine._schedule()

    assert (await peer.rest()).count(b"HTTP/1.1 200 OK") == 3
    await _left(server)


async def test_idle_connection_is_closed_with_its_client(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(HEALTHZ)
    await peer.answer()

    peer.writer.write_eof()

    assert await peer.rest() == b""
    await _left(server)


@pytest.mark.parametrize("begun", [b"GET /hea", POST, post(ONE)[:-5]], ids=["line", "head", "body"])
async def test_request_that_is_not_whole_is_not_waited_for(listen: Listen, begun: bytes) -> None:
    server = await listen()
    peer = await head_cached(server)

    await _last(peer, begun)

    assert await _statuses(peer) in ([], ["400"])
    await _left(server)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_body_that_breaks_off_is_no_fault_of_the_service(
    listen: Listen, logged: list[dict[str, Any]], framing: str
) -> None:
    server = await listen()
    head = (
        b"Content-Length: 100\r\n\r\n{"
        if framing == "length"
        else b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"
    )
    peer = await server.connect(POST + head)
    await until(lambda: bool(server.site._guard.open))

    peer.writer.write_eof()

    answer, body = await peer.answer()
    assert answer.startswith("HTTP/1.1 400")
    assert "body" in json.loads(body)["detail"]
    assert server.node.metrics.requests == {400: 1}
    assert [line for line in logged if line["log_level"] in ("warning", "error", "critical")] == []
    await _left(server)


async def test_client_that_resets_in_mid_body_is_no_fault_of_the_service(
    listen: Listen, logged: list[dict[str, Any]]
) -> None:
    server = await listen()
    peer = await server.connect(POST + b"Content-Length: 100\r\n\r\n{")
    await until(lambda: any(one.is_busy for one in server.site._guard.open))

    peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.abort()

    await _left(server)
    await until(lambda: bool(server.node.metrics.requests))
    assert server.node.metrics.requests == {499: 1}
    [line] = [line for line in logged if line["event"] == "request.abandoned"]
    assert (line["log_level"], line["method"], line["path"]) == ("info", "POST", "/v1/events")
    assert [line for line in logged if line["log_level"] in ("warning", "error", "critical")] == []


async def test_lines_are_answered_to_the_last(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect()
    line = b'{"broadcast":true,"data":1}\n'

    await _last(peer, LINES + b"Content-Length: %d\r\n\r\n" % (len(line) * 100) + line * 100)

    assert (await peer.rest()).count(b'{"id":') == 100
    await _left(server)


async def test_lines_that_break_off_are_answered_and_told_that_they_do(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(LINES + b"Content-Length: 1000\r\n\r\n")
    await peer.head()

    await _last(peer, b'{"broadcast":true,"data":1}\n' * 3)

    told = await peer.rest()
    assert (told.count(b'{"id":'), told.count(b'{"error":')) == (3, 1)
    await _left(server)


async def test_stream_says_its_first_frame_and_ends(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect()

    await _last(peer, STREAM)

    assert (await peer.head()).startswith("HTTP/1.1 200 OK")
    told = await peer.rest()
    assert b"retry: " in told
    assert told.endswith(b"0\r\n\r\n")
    await _left(server)
    assert server.node.connections.closed_by_reason == {"client_closed": 1}


async def test_stream_that_is_open_ends_in_order(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(STREAM)
    await peer.head()
    assert (await peer.chunk()).startswith(b"retry: ")

    peer.writer.write_eof()

    assert await peer.chunk() == b""
    await _left(server)
