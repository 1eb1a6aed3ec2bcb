"""SIGTERM: streams are flushed and told when to come back, nothing new is taken, the end comes in time."""

import asyncio
import json
import signal
import time
from contextlib import suppress

import pytest

from tests.e2e.client import ADMIN, SERVICE, Api, demo
from tests.e2e.conftest import Serve
from tests.e2e.follower import Follower
from tests.e2e.stream import Stream, connect
from tests.ports import HOST
from tests.process import ServerProcess, eventually

pytestmark = pytest.mark.process

SHUTDOWN_S = 3
AFTER_SIGTERM = 5_000  # lines of a publisher that goes on for a moment: some 200 KB
A_LITTLE_S = 2.0


async def stall(server: ServerProcess, api: Api, user: str) -> Stream:
    """A stream whose reader stopped: more waits for it than the system's buffers take."""
    stream = await Stream.open(server, "/v1/app/sse", demo(user), receive_buffer=4096)
    await stream.frame()
    stream.stop_reading()
    while await api.metric(server, "sse_push_write_buffer_bytes") == 0:
        await api.publish(server, [{"userId": user, "data": "x" * 30_000}] * 5)
    return stream


async def test_sigterm_drains_streams_and_ends_in_time(serve: Serve, api: Api) -> None:
    server = await serve(shutdown_timeout_s=SHUTDOWN_S, retry_ms=1000)
    targets = ["/v1/app/sse", "/v1/stream?topics=app", "/custom/stream", "/system/status/stream"]
    streams = [await Stream.open(server, target, demo("ann")) for target in targets]
    stalled = await stall(server, api, "slow")
    last = await api.publish(server, {"broadcast": True, "data": "last words"})
    sent = time.monotonic()
    server.send_signal(signal.SIGTERM)
    await eventually(lambda: server.logged("node.draining"), "it drains")

    # The stalled reader keeps it draining meanwhile.
    for path, token in (("/readyz", None), ("/v1/app/sse", demo("late")), ("/custom/stream", None)):
        async with await Stream.open(server, path, token) as refused:
            assert refused.status == 503, path
            assert int(refused.headers["retry-after"]) > 0
            assert json.loads(await refused.body())["status"] == 503
    async with await Stream.open(server, "/healthz") as answer:
        assert answer.status == 200
    assert (await api.call(server, "GET", "/system/status"))[1]["status"] == "draining"

    retries: set[int | None] = set()
    for stream, target in zip(streams, targets, strict=True):
        frames = [frame async for frame in stream]  # to its proper end
        retries.add(frames[-1].retry)
        assert frames[-1].retry is not None and 500 <= frames[-1].retry <= 1500
        assert frames[-1].id is None and frames[-1].data is None
        assert (last in [frame.id for frame in frames]) == ("app" in target)
        stream.close()
    assert len(retries) > 1, "all are to come back in one instant"
    assert await server.exited(within=SHUTDOWN_S + A_LITTLE_S) == 0
    assert time.monotonic() - sent < SHUTDOWN_S + A_LITTLE_S
    reasons = [record["reason"] for record in server.logged("stream.closed")]
    assert reasons == ["shutdown"] * (len(streams) + 1)
    assert server.records[-1]["event"] == "node.stopped"
    stalled.reset()


async def test_a_slow_reader_gets_what_is_its_own_before_the_end(serve: Serve, api: Api) -> None:
    server = await serve(shutdown_timeout_s=10)
    stream = await stall(server, api, "slow")
    last = await api.publish(server, {"userId": "slow", "data": "last"})
    server.send_signal(signal.SIGTERM)
    await eventually(lambda: server.logged("node.draining"), "it drains")
    stream.go_on_reading()
    frames = [frame async for frame in stream]
    assert frames[-2].id == last and frames[-1].retry is not None
    stream.close()
    assert await server.exited(within=5) == 0


async def test_idle_and_half_sent_requests_do_not_hold_up_the_end(serve: Serve) -> None:
    server = await serve(shutdown_timeout_s=1)
    idle = await connect(server)
    half_head = await connect(server)
    half_head[1].write(b"GET /healthz HTT")
    half_body = await connect(server)
    half_body[1].write(
        f"POST /v1/events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {SERVICE}\r\nContent-Length: 99\r\n\r\n[".encode()
    )
    served = await connect(server)
    served[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await served[0].readuntil(b"}")
    assert await server.terminate(within=1 + A_LITTLE_S) == 0
    for _, writer in (idle, half_head, half_body, served):
        writer.transport.abort()


async def test_a_stream_of_lines_is_answered_for_all_that_was_read(serve: Serve) -> None:
    server = await serve(shutdown_timeout_s=SHUTDOWN_S)
    async with await Stream.open(server, "/v1/app/sse", ADMIN) as stream:
        first = await stream.frame()
    reader, writer = await connect(server)
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {SERVICE}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode())

    left = 1_000_000

    async def publish() -> None:
        nonlocal left
        with suppress(ConnectionError):
            for number in range(left):
                if not (left := left - 1):
                    return
                line = b'{"userId": "ann", "data": %d}\n' % number
                writer.write(b"%x\r\n%b\r\n" % (len(line), line))
                if number % 50 == 49:
                    await writer.drain()

    publishing = asyncio.create_task(publish())
    answers = Stream(reader, writer, await reader.readuntil(b"\r\n\r\n"))
    assert answers.status == 200
    text = b""
    while body := await answers.chunk():
        text += body
        if server.runs and text and not server.logged("node.draining"):
            server.send_signal(signal.SIGTERM)
            # Some more, which the node leaves unread; then no more: who writes to a connection that is closed
            # loses what it has not read of it yet.
            left = min(left, AFTER_SIGTERM)
    ids = [json.loads(line)["id"] for line in text.splitlines()]
    publishing.cancel()
    with suppress(asyncio.CancelledError):
        await publishing
    writer.transport.abort()
    assert await server.exited(within=SHUTDOWN_S + A_LITTLE_S) == 0

    # What is kept is what was answered, no more and no less.
    await server.start()
    follower = Follower(server, "/v1/app/sse", ADMIN)
    assert first is not None
    follower.last_id = first.id
    api = Api()
    async with api, asyncio.timeout(20):
        end = await api.publish(server, {"broadcast": True, "data": "end"})
        await follower.follow(lambda frame: frame.id == end)
    assert [frame.id for frame in follower.frames] == [*ids, end]
