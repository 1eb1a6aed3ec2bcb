"""Requests that are not whole in time are closed; whatever is between requests, or is a stream, is not."""

import asyncio
from typing import Any

import pytest

from sse_push.handlers.http.guard import KEEPALIVE_S
from tests.conftest import Listen, until
from tests.handlers.http.guard.requests import HEALTHZ, LIMIT_S, POST, publish, until_closed


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"G",
        b"GET /healthz HTTP/1.1\r\nHo",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        POST + b"Content-Length: 100\r\n\r\n",
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{    \r\n",
    ],
    ids=[
        "nothing",
        "a letter",
        "half a line",
        "half a head",
        "no body",
        "half a body",
        "no chunk",
        "half the chunks",
    ],
)
async def test_request_that_is_not_whole_in_time_is_closed(listen: Listen, begun: bytes) -> None:
    server = await listen(request_timeout_s=LIMIT_S)

    peer = await server.connect(begun)

    await until_closed(peer)
    assert server.node.metrics.rejections["request_timeout"] == 1


@pytest.mark.parametrize("body", [False, True], ids=["head", "body"])
async def test_request_that_drips_is_closed(listen: Listen, body: bool) -> None:
    """Each byte must not win new time."""
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect(POST + (b"Content-Length: 100000\r\n\r\n" if body else b"X-Drip: "))

    async def drip() -> None:
        while True:
            await peer.send(b"x")
            await asyncio.sleep(LIMIT_S / 20)

    dripping = asyncio.create_task(drip())
    await until_closed(peer)
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /hea",
        b"GET /healthz HTTP/1.1\r\n",
        POST + b"Content-Length: 100\r\n\r\n",
        POST + b"Content-Length: 100\r\n\r\n{",
    ],
    ids=["half a line", "half a head", "no body", "half a body"],
)
async def test_second_request_that_is_not_whole_in_time_is_closed(listen: Listen, begun: bytes) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect(HEALTHZ)
    assert (await peer.answer())[0].startswith("HTTP/1.1 200")

    await peer.send(begun)

    await until_closed(peer)


async def test_request_behind_a_publish_that_is_not_whole_in_time_is_closed(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect()
    for _ in range(2):  # the second is of a token that is known
        assert (await publish(peer))[0].startswith("HTTP/1.1 200")

    await peer.send(POST + b"Content-Length: 100\r\n\r\n{")

    await until_closed(peer)


async def test_request_after_a_stream_of_lines_has_a_deadline_again(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    line = b'{"broadcast":true,"data":1}\n'
    lines = b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(line)
    peer = await server.connect(POST + lines + line)
    await peer.head()
    while await peer.chunk():
        pass

    await peer.send(POST + b"Content-Length: 100\r\n\r\n{")

    await until_closed(peer)


@pytest.mark.parametrize("ended", ["late", "gone"])
async def test_request_that_was_never_whole_is_no_crash(
    listen: Listen, logged: list[dict[str, Any]], ended: str
) -> None:
    """Whoever watches the log for crashes must not be woken by a client that left."""
    server = await listen(request_timeout_s=LIMIT_S if ended == "late" else 60)
    peer = await server.connect(POST + b"Content-Length: 100\r\n\r\n{")
    await until(lambda: server.site._guard.open)
    if ended == "gone":
        peer.abort()
    await until(lambda: not server.site._guard.open)
    for _ in range(20):
        await asyncio.sleep(0)

    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []


# -- what has no deadline --------------------------------------------------------------------------


async def test_idle_connection_stays_open_between_requests(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect(HEALTHZ)
    await peer.answer()

    late = await server.connect(b"GET")  # younger, and closed for its lateness: the time has passed for both
    await until_closed(late)
    await peer.send(HEALTHZ)

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_publishes_keep_a_connection_open(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect()
    for _ in range(3):
        await publish(peer)

    late = await server.connect(b"GET")
    await until_closed(late)

    assert (await publish(peer))[0].startswith("HTTP/1.1 200")


async def test_stream_of_lines_may_take_its_time(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect(
        POST + b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    await peer.head()

    late = await server.connect(b"GET")
    await until_closed(late)
    line = b'{"broadcast":true,"data":1}\n'
    await peer.send(b"%x\r\n%b\r\n" % (len(line), line))

    assert b'{"id":' in await peer.chunk()


async def test_open_stream_has_no_deadline(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S, heartbeat_s=0.05)
    peer = await server.connect(b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.head()

    late = await server.connect(b"GET")
    await until_closed(late)

    assert len(server.node.connections) == 1


@pytest.mark.parametrize("body", [b"", b"{"], ids=["no body", "half a body"])
async def test_publish_with_a_known_head_that_is_not_whole_in_time_is_closed(
    listen: Listen, body: bytes
) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect()
    for _ in range(3):
        assert (await publish(peer))[0].startswith("HTTP/1.1 200")

    await peer.send(POST + b"Content-Type: application/json\r\nContent-Length: 27\r\n\r\n" + body)

    await until_closed(peer)
    assert server.node.metrics.rejections["request_timeout"] == 1


async def test_connection_that_stays_idle_too_long_is_closed(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(HEALTHZ)
    await peer.answer()
    [connection] = server.site._guard.open

    connection.idle_since -= KEEPALIVE_S + 1

    await until_closed(peer)
