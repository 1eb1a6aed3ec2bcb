"""Requests that are malformed or too large: answered without a word of what they were, or cut off."""

import asyncio
import json
from typing import Any

import pytest

from sse_push.handlers.http import head as head_module
from tests.conftest import Listen, until
from tests.handlers.http.fast_publish.publishes import ONE, known, post
from tests.handlers.http.guard.requests import HEALTHZ, POST

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
    "path too long": b"GET /" + TOKEN + b"x" * 100_000,
    "name too long": b"GET / HTTP/1.1\r\nHost: x\r\n" + TOKEN + b"x" * 9000,
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no url": b"GET http://[" + TOKEN + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + TOKEN,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + TOKEN,
}
STATUS = {
    "line too long": "414",
    "path too long": "414",
    "header too long": "431",
    "name too long": "431",
    "too many headers": "431",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_request_is_a_problem_that_quotes_nothing(
    listen: Listen, logged: list[dict[str, Any]], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    server = await listen()
    peer = await server.connect(MALFORMED[name])

    head, body = await peer.answer()

    assert head.split()[:2] == ["HTTP/1.1", STATUS.get(name, "400")]
    assert "content-type: application/problem+json" in head.lower()
    document = json.loads(body)
    assert document["status"] == int(head.split()[1])
    assert f"x-request-id: {document['request_id']}\r\n" in head.lower()
    assert "aiohttp" not in head.lower()
    assert await peer.rest() == b""
    for told in (head, body.decode(), str(logged), caplog.text):
        assert "very-secret" not in told
    [line] = [line for line in logged if line["event"] == "request.malformed"]
    assert (line["status"], line["request_id"]) == (document["status"], document["request_id"])
    assert server.node.metrics.requests == {document["status"]: 1}


async def test_malformed_body_does_not_take_the_server_with_it(
    listen: Listen, logged: list[dict[str, Any]]
) -> None:
    server = await listen()
    peer = await server.connect(POST + b"Transfer-Encoding: chunked\r\n\r\nvery-secret\r\n")
    await peer.rest()
    peer.abort()

    fresh = await server.connect(HEALTHZ)

    assert (await fresh.answer())[0].startswith("HTTP/1.1 200")
    assert "very-secret" not in str(logged)
    await until(lambda: len(server.site._guard.open) == 1)


# -- how large a head may be -----------------------------------------------------------------------


LINE = b"X-Filler: " + b"x" * 8000 + b"\r\n"


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in pieces"])
@pytest.mark.parametrize("end", [b"\r\n", b"X"], ids=["whole", "without an end"])
async def test_head_is_refused_by_its_size_however_it_comes(
    listen: Listen, at_once: bool, end: bytes
) -> None:
    server = await listen(request_timeout_s=60)
    peer = await server.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    head = LINE * 9
    for piece in [head] if at_once else [head[start : start + 3000] for start in range(0, len(head), 3000)]:
        await peer.send(piece)
    await peer.send(end)

    answer, body = await peer.answer()

    assert answer.startswith("HTTP/1.1 431")
    assert json.loads(body)["request_id"] in answer
    peer.writer.write_eof()
    assert await peer.rest() == b""


async def test_answer_is_read_by_a_client_that_sends_far_more_than_is_read(listen: Listen) -> None:
    """The connection is not reset over what comes behind: a reset would take the answer with it."""
    server = await listen()
    peer = await server.connect(b"GET /" + b"x" * 9000)
    sending = asyncio.create_task(peer.send(b"x" * 4_000_000))

    assert (await peer.head()).startswith("HTTP/1.1 414")
    await sending


@pytest.mark.parametrize("good", [HEALTHZ, post(ONE)], ids=["ordinary", "publish"])
@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize(
    "bad", [b"hello\r\n\r\n", b"\x00", b"GET /" + b"x" * 9000], ids=["no http", "nul", "long"]
)
async def test_requests_before_a_malformed_one_are_answered(
    listen: Listen, good: bytes, count: int, bad: bytes
) -> None:
    """Whether what comes behind is in the same piece or not."""
    server = await listen()
    peer = await known(server)
    before = server.node.engine.head

    await peer.send(good * count + bad + HEALTHZ)

    statuses = [(await peer.answer())[0][9:12] for _ in range(count + 1)]
    assert statuses == ["200"] * count + ["414" if b"GET" in bad else "400"]
    assert await peer.rest() == b""
    assert server.node.engine.head == before + (count if good is not HEALTHZ else 0)


@pytest.mark.parametrize("size", [1, 3, 10_000])
async def test_head_that_ends_across_two_reads_is_answered_before_what_is_malformed(
    listen: Listen, size: int
) -> None:
    server = await listen()
    peer = await known(server)
    [handler] = server.site._guard.open
    data = HEALTHZ * 2 + b"hello\r\n\r\n"

    for start in range(0, len(data), size):
        handler.data_received(data[start : start + size])

    assert [(await peer.answer())[0][9:12] for _ in range(3)] == ["200", "200", "400"]


@pytest.mark.parametrize(
    "request_",
    [
        HEALTHZ[:-2] + b"Connection: close\r\n\r\n",
        HEALTHZ.replace(b"HTTP/1.1", b"HTTP/1.0"),
        POST.replace(b"/v1/events", b"/nothing") + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n",
        POST.replace(b"/v1/events", b"/nothing") + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ],
    ids=["close", "HTTP/1.0", "refused", "malformed body"],
)
async def test_last_answer_reaches_a_client_that_still_sends(listen: Listen, request_: bytes) -> None:
    server = await listen()
    peer = await server.connect(request_)
    for _ in range(50):
        peer.writer.write(b"x" * 10_000)

    await peer.answer()
    assert await peer.rest() == b""
    await peer.writer.drain()


@pytest.mark.parametrize("lines", [98, 99])
async def test_hundred_lines_are_a_head(listen: Listen, lines: int) -> None:
    server = await listen()
    more = b"".join(b"X-Amzn-%d: %s\r\n" % (number, b"x" * 500) for number in range(lines))
    peer = await server.connect(HEALTHZ[:-2] + more + b"\r\n")

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_body_in_many_parts_is_no_head(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the last part of a body is, it is not the beginning of another request."""
    monkeypatch.setattr(head_module, "MAX_HEAD_BYTES", 1000)
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
