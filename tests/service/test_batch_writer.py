"""Many writes: through the ring or one by one, each sink gets the same."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from sse_push.service import batch_writer
from sse_push.service.batch_writer import MIN_BATCH, BatchWriter
from sse_push.service.io_uring import ENTRIES, IoUring
from tests.events.fakes import Recorder


class Socketed(Recorder):
    """A sink with a socket of its own; ``writes`` is what came by its ``write``."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.fd = self.ours.fileno()

    def read(self) -> bytes:
        return self.theirs.recv(1 << 16, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def sinks() -> Iterator[Callable[[int], list[Socketed]]]:
    made: list[Socketed] = []

    def make(count: int) -> list[Socketed]:
        made.extend(Socketed() for _ in range(count))
        return made[-count:]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def open_writer() -> Iterator[BatchWriter]:
    made = BatchWriter()
    made.open()
    if made.io_uring is None:
        pytest.skip("no io_uring here")
    yield made
    made.close()


@pytest.mark.parametrize("count", [MIN_BATCH, ENTRIES, ENTRIES + 1, 2 * ENTRIES + MIN_BATCH])
def test_many_get_theirs_through_their_sockets(open_writer: BatchWriter, sinks: Any, count: int) -> None:
    its = sinks(count)
    data = [b"for %d" % index for index in range(count)]
    open_writer.write_batch(its, data)
    open_writer.write_batch(its, repeat(b"!"))
    assert [sink.read() for sink in its] == [b"%b!" % some for some in data]
    assert not any(sink.writes for sink in its)


def test_few_are_written_to_one_by_one(open_writer: BatchWriter, sinks: Any) -> None:
    its = sinks(MIN_BATCH - 1)
    open_writer.write_batch(its, repeat(b"x"))
    assert [sink.writes for sink in its] == [[b"x"]] * (MIN_BATCH - 1)


def test_writer_that_is_not_open_writes_one_by_one(sinks: Any) -> None:
    its = sinks(MIN_BATCH)
    BatchWriter().write_batch(its, repeat(b"x"))
    assert [sink.writes for sink in its] == [[b"x"]] * MIN_BATCH


def test_what_the_kernel_does_not_take_goes_to_the_sinks_own_write(
    open_writer: BatchWriter, sinks: Any
) -> None:
    its = sinks(MIN_BATCH)
    its[1].fd = -1
    its[2].theirs.close()
    data = [b"x" * 4_000_000 if index == 3 else b"x" for index in range(MIN_BATCH)]
    open_writer.write_batch(its, data)
    assert [sink.bytes for sink in its[:3]] == [b"", b"x", b"x"]
    [rest] = its[3].writes
    taken = 0
    while (
        some := len(its[3].theirs.recv(1 << 20, socket.MSG_DONTWAIT)) if taken + len(rest) < 4_000_000 else 0
    ):
        taken += some
    assert taken + len(rest) == 4_000_000


def test_ring_that_breaks_is_told_and_done_without(open_writer: BatchWriter, sinks: Any) -> None:
    its = sinks(ENTRIES + MIN_BATCH)
    assert open_writer.io_uring is not None
    os.close(open_writer.io_uring._fd)
    open_writer.io_uring._fd = -1
    with capture_logs() as logs:
        open_writer.write_batch(its, repeat(b"x"))
        open_writer.write_batch(its, repeat(b"y"))
    assert [sink.writes for sink in its] == [[b"x", b"y"]] * len(its)
    assert [(line["event"], line["log_level"]) for line in logs] == [("writer.failed", "error")]
    assert open_writer.io_uring is None


def test_writer_without_a_ring_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> IoUring:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(batch_writer, "IoUring", refuse)
    its = BatchWriter()
    with capture_logs() as logs:
        its.open()
    assert its.io_uring is None
    assert [(line["event"], line["log_level"]) for line in logs] == [("writer.fallback", "info")]
    assert "not permitted" in logs[0]["reason"]


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("end", ["abort", "close", "reset", "peer_close", "write_to_reset"])
def test_socket_is_closed_only_after_its_protocol_was_told(loop: Any, end: str) -> None:
    """Or its number could be another connection's by then, which would get what was for this one."""

    async def run() -> None:
        made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        lost: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.fd = transport.get_extra_info("socket").fileno()
                self.inode = os.fstat(self.fd).st_ino
                made.set_result(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(os.fstat(self.fd).st_ino == self.inode)

        server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
        peer = socket.create_connection(server.sockets[0].getsockname())
        transport = await made
        if end in ("abort", "close"):
            getattr(transport, end)()
        elif end == "peer_close":
            peer.close()
        else:
            if end == "write_to_reset":
                transport.pause_reading()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            while end == "write_to_reset" and not transport.is_closing():
                transport.write(b"x")
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert await lost
        peer.close()
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
