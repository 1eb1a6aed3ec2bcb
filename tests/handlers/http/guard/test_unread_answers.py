"""Clients that ask and do not read what they are answered: nothing more is read from them, and then they are closed."""

import asyncio
from typing import Any

import pytest

from sse_push.handlers.http import client_connection, guard
from sse_push.handlers.http.client_connection import NEVER
from tests.conftest import DEADLINE_S, Listen, Listening, Peer, until
from tests.handlers.http.fast_publish.publishes import ONE, post
from tests.handlers.http.guard.requests import HEALTHZ

UNREAD_BYTES = 4096  # that the server keeps for a client of these tests, beside what the kernel does
READ_BYTES = 256 * 1024  # what one read of the loop's brings at the most
DESCRIPTION = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def _keep_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "UNREAD_BYTES", UNREAD_BYTES)


class Stuck:
    """A client that sends requests for as long as they are read, and reads no answer."""

    def __init__(self, server: Listening, peer: Peer) -> None:
        self.peer = peer
        self.transport: Any = peer.writer.transport
        [self.connection] = server.site._guard.open

    @classmethod
    async def connect(cls, server: Listening, before: bytes = post(ONE), times: int = 1) -> "Stuck":
        """One that has read its answers to *before*, and reads no more; the kernel holds little for it."""
        peer = await server.connect(receive_bytes=4096, send_bytes=4096)
        for _ in range(times):
            await peer.send(before)
            await peer.answer()
        stuck = cls(server, peer)
        stuck.transport.pause_reading()
        return stuck

    async def fill(self, request: bytes) -> int:
        """Send as many as the server takes; how many that is."""
        count, step = 0, 50 if request is not DESCRIPTION else 5
        async with asyncio.timeout(DEADLINE_S):
            while self.connection.unread_since == NEVER or not self.transport.get_write_buffer_size():
                if self.transport.get_write_buffer_size() < len(request) * step:
                    self.peer.writer.write(request * step)
                    count += step
                await asyncio.sleep(0)
        return count

    def held(self) -> int:
        """Bytes that the server holds for it."""
        transport = self.connection.transport
        assert transport is not None
        return transport.get_write_buffer_size() + len(self.connection._held)


@pytest.mark.parametrize(
    ("times", "request_"),
    [(1, post(ONE)), (2, post(ONE)), (1, HEALTHZ), (1, DESCRIPTION)],
    ids=["parsed", "cached head", "ordinary", "large"],
)
async def test_client_that_reads_no_answer_is_not_read(listen: Listen, times: int, request_: bytes) -> None:
    server = await listen(send_buffer_bytes=65536)
    stuck = await Stuck.connect(server, times=times)

    count = await stuck.fill(request_)

    assert not stuck.connection.transport.is_reading()  # type: ignore[union-attr]
    one = 300 if request_ is not DESCRIPTION else 300_000  # bytes of an answer, at the most
    assert stuck.held() < UNREAD_BYTES + READ_BYTES + one
    stuck.transport.resume_reading()
    for _ in range(count):
        assert (await stuck.peer.answer())[0].startswith("HTTP/1.1 200")
    await stuck.peer.send(HEALTHZ)
    assert (await stuck.peer.answer())[0].startswith("HTTP/1.1 200")
    assert stuck.connection.unread_since == NEVER


async def test_client_that_reads_no_answer_is_closed(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    server = await listen(send_buffer_bytes=65536)
    stuck = await Stuck.connect(server)
    await stuck.fill(post(ONE))

    monkeypatch.setattr(guard, "UNREAD_S", 0.05)

    await until(lambda: not server.site._guard.open)
    assert server.node.metrics.rejections["unread_answers"] == 1
    assert [line["address"] for line in logged if line["event"] == "connection.unread"] == ["127.0.0.1"]


async def test_connection_that_is_closed_is_not_kept_for_what_nobody_reads(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await listen(send_buffer_bytes=65536)
    stuck = await Stuck.connect(server)
    await stuck.fill(HEALTHZ)

    stuck.connection.transport.close()
    monkeypatch.setattr(guard, "UNREAD_S", 0.05)

    await until(lambda: not server.site._guard.open)
