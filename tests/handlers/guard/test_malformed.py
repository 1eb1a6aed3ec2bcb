"""Requests that are malformed or too large: answered without a word of what they were, or cut off."""

import asyncio
import json
from typing import Any

import pytest

from handlers import guard
from tests.conftest import Listen, until
from tests.handlers.guard.requests import HEALTHZ, POST, until_closed

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


# -- how large a head may be -----------------------------------------------------------------------


async def test_head_without_an_end_is_cut_off_by_its_size(listen: Listen) -> None:
    server = await listen(request_timeout_s=60)
    line = b"X-Filler-%d: " + b"x" * 8000 + b"\r\n"
    peer = await server.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")

    async def fill() -> None:
        for number in range(60):
            await peer.send(line % number)

    filling = asyncio.create_task(fill())
    await until_closed(peer)
    await asyncio.gather(filling, return_exceptions=True)
    assert not server.site._guard.open


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
