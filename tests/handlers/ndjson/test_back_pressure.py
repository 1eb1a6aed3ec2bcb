"""A publisher that does not read its answers is not read either; one that leaves, or breaks its body off, leaves
nothing behind.
"""

import asyncio

import pytest

from sse_push.events.receipts import FutureReceipt
from sse_push.handlers import ndjson
from tests.conftest import DEADLINE_S, Listen, Listening, Peer, Service, until
from tests.handlers.ndjson.publisher import HEAD, Lines, event_line


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lines that may wait for their answers: few, so that a test can fill them."""
    monkeypatch.setattr(ndjson, "UNANSWERED_LINES", 10)
    return 10


async def test_reading_ahead_is_bounded(service: Service, receipts: list[FutureReceipt], ahead: int) -> None:
    lines = await Lines(service).open()
    lines.say(event_line() * 1000)
    await until(lambda: len(receipts) >= ahead)
    for _ in range(200):  # turns in which it would read on, if it did
        await asyncio.sleep(0)

    assert len(receipts) == ahead
    for index in range(1000):
        await until(lambda index=index: len(receipts) > index)  # type: ignore[misc]
        receipts[index].set_result([str(index)])
    lines.end()
    assert [await lines.answer() for _ in range(1000)] == [{"id": str(index)} for index in range(1000)]


class Stuck:
    """A publisher that sends 200,000 lines and reads no answer, until the service reads no more either."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answered = 0
        self._failed = ndjson._failed
        monkeypatch.setattr(ndjson, "_failed", self._counting)

    def _counting(self, detail: str) -> FutureReceipt:
        self.answered += 1
        return self._failed(detail)

    async def open(self, server: Listening) -> Peer:
        peer = await server.connect(HEAD, receive_bytes=4096)
        await peer.head()
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        [connection] = server.site._guard.open
        part = b"x\n" * 10_000
        for _ in range(20):
            peer.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        async with asyncio.timeout(DEADLINE_S):
            before = -1
            while self.answered != before or connection._relay.protocol._drain_waiter is None:
                before = self.answered
                for _ in range(500):  # turns of the loop in which it would go on, if it could
                    await asyncio.sleep(0)
        return peer


async def test_publisher_that_does_not_read_is_not_read_either(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """What waits is what the transport takes for its answers, not what the publisher has to say."""
    server = await listen(send_buffer_bytes=65536)
    stuck = Stuck(monkeypatch)

    peer = await stuck.open(server)

    assert ahead < stuck.answered < 50_000
    peer.abort()


# -- leaving ---------------------------------------------------------------------------------------


async def test_publisher_that_left_without_reading_leaves_nothing_behind(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    server = await listen(send_buffer_bytes=65536)
    tasks = asyncio.all_tasks()
    peer = await Stuck(monkeypatch).open(server)
    mine = asyncio.all_tasks() - tasks

    peer.abort()

    await until(lambda: all(task.done() for task in mine), 3)
    assert not server.node.reading


@pytest.mark.parametrize("sent", [b"", event_line(), b'{"userId":'], ids=["nothing", "a line", "half a line"])
async def test_publisher_that_left_in_between_leaves_nothing_behind(listen: Listen, sent: bytes) -> None:
    server = await listen()
    tasks = asyncio.all_tasks()
    peer = await server.connect(HEAD + (b"%x\r\n%b\r\n" % (len(sent), sent) if sent else b""))
    await peer.head()
    mine = asyncio.all_tasks() - tasks

    peer.abort()

    await until(lambda: all(task.done() for task in mine), 3)
    assert not server.node.reading


async def test_body_that_is_malformed_ends_it_without_a_second_answer(listen: Listen) -> None:
    server = await listen()
    line = event_line()
    peer = await server.connect(HEAD + b"%x\r\n%b\r\n" % (len(line), line))
    await peer.head()
    assert b'{"id"' in await peer.chunk()

    await peer.send(b"not a size\r\n")

    told = await peer.rest()
    assert b"HTTP/1.1" not in told
    await until(lambda: not server.node.reading)
