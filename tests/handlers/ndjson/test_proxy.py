"""Behind a proxy the answers wait until the publisher pauses or is done, and no more of them than a limit."""

import asyncio

import pytest

from sse_push.handlers import ndjson
from tests.conftest import DEADLINE_S, Listen, until
from tests.handlers.ndjson.publisher import HEAD, event_line


def _proxied(header: bytes) -> bytes:
    return HEAD.replace(b"\r\n\r\n", b"\r\n%b\r\n\r\n" % header)


@pytest.mark.parametrize("header", [b"X-Forwarded-For: 192.0.2.7", b"Via: 1.1 proxy"])
async def test_publisher_behind_a_proxy_is_answered_when_its_request_is_through(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, header: bytes
) -> None:
    monkeypatch.setattr(ndjson, "PAUSE_S", DEADLINE_S)
    server = await listen()
    line = event_line()
    peer = await server.connect(_proxied(header) + b"%x\r\n%b\r\n" % (len(line), line) * 3)
    await until(lambda: server.node.engine.head == 3)
    for _ in range(20):  # turns in which it would answer, if it did
        await asyncio.sleep(0)
    assert not peer.reader._buffer  # type: ignore[attr-defined]

    await peer.send(b"0\r\n\r\n")

    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert (await peer.chunk()).count(b'{"id"') == 3
    assert await peer.chunk() == b""


async def test_publisher_behind_a_proxy_is_answered_when_it_pauses(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "PAUSE_S", 0.01)
    server = await listen()
    line = event_line()
    peer = await server.connect(_proxied(b"Via: 1.1 proxy"))
    assert (await peer.head()).startswith("HTTP/1.1 200")

    for _ in range(3):
        await peer.send(b"%x\r\n%b\r\n" % (len(line), line))
        assert (await peer.chunk()).count(b'{"id"') == 1


async def test_answers_held_behind_a_proxy_are_bounded(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "PAUSE_S", DEADLINE_S)
    monkeypatch.setattr(ndjson, "HELD_BYTES", 10)
    server = await listen()
    line = event_line()

    peer = await server.connect(_proxied(b"Via: 1.1 proxy") + b"%x\r\n%b\r\n" % (len(line), line))

    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert (await peer.chunk()).count(b'{"id"') == 1
