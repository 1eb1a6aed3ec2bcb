"""Connections that are counted and have deadlines; malformed requests answered without a word of what they were."""

import asyncio
import json
from typing import Any

import pytest

from handlers import guard
from tests.conftest import Listen, Peer, mint, until

LIMIT_S = 0.2  # request_timeout_s of these tests
LATE_S = 3.0  # a deadline far above it: what is not closed by then is not closed at all
SERVICE = mint("publisher", "service")
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\n".encode()


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHECK_EVERY_S", 0.02)


async def _is_closed(peer: Peer) -> None:
    async with asyncio.timeout(LATE_S):
        await peer.rest()


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

    await _is_closed(peer)
    assert server.node.figures.refusals["request_timeout"] == 1


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
    await _is_closed(peer)
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

    await _is_closed(peer)


async def test_request_behind_a_publish_that_is_not_whole_in_time_is_closed(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect()
    for _ in range(2):  # the second is of a token that is known
        assert (await _publish(peer))[0].startswith("HTTP/1.1 200")

    await peer.send(POST + b"Content-Length: 100\r\n\r\n{")

    await _is_closed(peer)


async def test_idle_connection_stays_open_between_requests(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect(HEALTHZ)
    await peer.answer()

    late = await server.connect(b"GET")  # younger, and closed for its lateness: the time has passed for both
    await _is_closed(late)
    await peer.send(HEALTHZ)

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_publishes_keep_a_connection_open(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect()
    for _ in range(3):
        await _publish(peer)

    late = await server.connect(b"GET")
    await _is_closed(late)

    assert (await _publish(peer))[0].startswith("HTTP/1.1 200")


async def test_stream_of_lines_may_take_its_time(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    peer = await server.connect(
        POST + b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    await peer.head()

    late = await server.connect(b"GET")
    await _is_closed(late)
    line = b'{"broadcast":true,"data":1}\n'
    await peer.send(b"%x\r\n%b\r\n" % (len(line), line))

    assert b'{"id":' in await peer.chunk()


async def test_open_stream_has_no_deadline(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S, heartbeat_s=0.05)
    peer = await server.connect(b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.head()

    late = await server.connect(b"GET")
    await _is_closed(late)

    assert len(server.node.connections) == 1


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


# -- how many -------------------------------------------------------------------------------------


async def test_sockets_are_bounded(listen: Listen) -> None:
    server = await listen(max_sockets=3)
    kept = [await server.connect(HEALTHZ) for _ in range(3)]
    for peer in kept:
        await peer.answer()

    refused = await server.connect()

    assert await refused.rest() == b""
    assert server.node.figures.refusals["sockets"] == 1
    await kept[0].send(HEALTHZ)
    assert (await kept[0].answer())[0].startswith("HTTP/1.1 200")


async def test_socket_that_closed_makes_room(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    first = await server.connect(HEALTHZ)
    await first.answer()
    first.abort()
    await until(lambda: not server.site._guard.open)

    second = await server.connect(HEALTHZ)

    assert (await second.answer())[0].startswith("HTTP/1.1 200")


async def test_streams_count_among_the_sockets(listen: Listen) -> None:
    server = await listen(max_sockets=2)
    for _ in range(2):
        peer = await server.connect(b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await peer.head()

    refused = await server.connect()

    assert await refused.rest() == b""


async def test_connection_that_is_refused_is_forgotten(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    first = await server.connect(HEALTHZ)
    await first.answer()
    for _ in range(5):
        await (await server.connect()).rest()

    assert len(server.site._guard.open) == 1
    assert len(server.runner.server.connections) == 1  # type: ignore[union-attr]


# -- malformed ------------------------------------------------------------------------------------

TOKEN = b"very-secret-token"
MALFORMED = {
    "no http": b"hello " + TOKEN + b"\r\n\r\n",
    "space in the path": b"GET /v1/app/sse?token=" + TOKEN + b" x HTTP/1.1\r\nHost: x\r\n\r\n",
    "no such version": b"GET /v1/app/sse?token=" + TOKEN + b" HTTP/9.9\r\nHost: x\r\n\r\n",
    "control in a header": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN + b"\x00\r\n\r\n",
    "header without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer " + TOKEN + b"\r\n\r\n",
    "two lengths": POST + b"X: " + TOKEN + b"\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length is no number": POST + b"Content-Length: " + TOKEN + b"\r\n\r\n",
    "line too long": b"GET /?token=" + TOKEN + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "header too long": b"GET / HTTP/1.1\r\nHost: x\r\nCookie: access_token="
    + TOKEN
    + b"x" * 9000
    + b"\r\n\r\n",
    "too many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: very-secret-token\r\n" * 100 + b"\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_request_is_a_problem_that_quotes_nothing(
    listen: Listen, logged: list[dict[str, Any]], caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    server = await listen()
    peer = await server.connect(request_)

    head, body = await peer.answer()

    assert head.split()[1] in ("400", "414", "431"), head
    assert "content-type: application/problem+json" in head.lower()
    assert json.loads(body)["status"] == int(head.split()[1])
    assert await peer.rest() == b""
    for told in (head, body.decode(), str(logged), caplog.text):
        assert "very-secret" not in told
    assert [line for line in logged if line["event"] == "request.malformed"]


async def test_malformed_body_does_not_take_the_server_with_it(
    listen: Listen, logged: list[dict[str, Any]]
) -> None:
    server = await listen()
    peer = await server.connect(POST + b"Transfer-Encoding: chunked\r\n\r\nvery-secret\r\n")
    await peer.rest()

    fresh = await server.connect(HEALTHZ)

    assert (await fresh.answer())[0].startswith("HTTP/1.1 200")
    assert "very-secret" not in str(logged)
    await until(lambda: len(server.site._guard.open) == 1)


async def _publish(peer: Peer) -> tuple[str, bytes]:
    body = b'{"broadcast":true,"data":1}'
    await peer.send(POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return await peer.answer()


async def test_body_in_many_parts_is_no_head(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the last part of a body is, it is not the beginning of another request."""
    monkeypatch.setattr(guard, "MAX_HEAD_BYTES", 1000)
    server = await listen()
    peer = await server.connect()
    body = json.dumps([{"broadcast": True, "data": "x" * 20_000}] * 4).encode()
    for _ in range(2):
        await peer.send(POST + f"Content-Length: {len(body)}\r\n\r\n".encode())
        for start in range(0, len(body), 30_000):
            await peer.send(body[start : start + 30_000])
            await asyncio.sleep(
                0.01
            )  # a part of its own on the wire, most often; the result is the same if not
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_head_without_an_end_is_cut_off_by_its_size(listen: Listen) -> None:
    server = await listen(request_timeout_s=60)
    line = b"X-Filler-%d: " + b"x" * 8000 + b"\r\n"
    peer = await server.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")

    async def fill() -> None:
        for number in range(60):
            await peer.send(line % number)

    filling = asyncio.create_task(fill())
    await _is_closed(peer)
    await asyncio.gather(filling, return_exceptions=True)
    assert not server.site._guard.open


async def test_address_takes_its_share_of_connections_and_no_more(listen: Listen) -> None:
    server = await listen(max_connections_per_address=3)
    held = [await server.connect(HEALTHZ) for _ in range(3)]
    for peer in held:
        await peer.answer()

    refused = await server.connect()
    assert await refused.rest() == b""
    assert server.node.figures.refusals["sockets_of_address"] == 1

    held[0].abort()
    await until(lambda: len(server.site._guard.open) == 2)
    fresh = await server.connect(HEALTHZ)
    assert (await fresh.answer())[0].startswith("HTTP/1.1 200")


async def test_trusted_proxy_holds_connections_for_many(listen: Listen) -> None:
    server = await listen(max_connections_per_address=1, trusted_proxies=("127.0.0.0/8",))
    for peer in [await server.connect(HEALTHZ) for _ in range(5)]:
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_request_after_a_stream_of_lines_has_a_deadline_again(listen: Listen) -> None:
    server = await listen(request_timeout_s=LIMIT_S)
    line = b'{"broadcast":true,"data":1}\n'
    lines = b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(line)
    peer = await server.connect(POST + lines + line)
    await peer.head()
    while await peer.chunk():
        pass

    await peer.send(POST + b"Content-Length: 100\r\n\r\n{")

    await _is_closed(peer)
