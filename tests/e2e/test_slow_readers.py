"""Readers that stop reading: memory stays bounded, nobody waits for them, and they lose nothing."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from sse_push.service.io_uring import IoUring
from tests.e2e.client import Api, demo
from tests.e2e.conftest import Serve
from tests.e2e.follower import Follower
from tests.e2e.stream import Stream
from tests.process import ServerProcess

pytestmark = pytest.mark.process

MIB = 2**20
STALLED = 16
SLOW_READER_BYTES = 256 * 1024
EVENT = "x" * 60_000
ROUNDS = 150  # of one event for each stalled reader: 137 MiB in all
WINDOW_BYTES = 2 * 64 * MIB  # the newest events, held for those who come back: their data and their frames
SLACK_BYTES = 40 * MIB  # requests on their way, and what the allocator keeps


try:
    IoUring().close()
    _HAS_RING = True
except OSError:
    _HAS_RING = False


async def test_readers_that_stopped_cost_bounded_memory_and_lose_nothing(serve: Serve, api: Api) -> None:
    server = await serve(slow_reader_bytes=SLOW_READER_BYTES)
    users = [f"stalled{index}" for index in range(STALLED)]
    live = Follower(server, "/v1/app/sse", demo("live"))
    async with AsyncExitStack() as stack:
        firsts = [await _stall(stack, server, user) for user in users]
        following = asyncio.create_task(live.follow(lambda frame: frame.data == str(ROUNDS - 1)))
        await live.started.wait()
        ids, grown, queued = await _publish(server, api, users)
        async with asyncio.timeout(10):
            await following
    assert [frame.data for frame in live.frames] == [str(round_) for round_ in range(ROUNDS)]
    assert live.connects == 1, "a reader that keeps up was cut"
    waiting = STALLED * (SLOW_READER_BYTES + len(EVENT))
    assert 0 < queued <= waiting
    assert grown < WINDOW_BYTES + waiting + SLACK_BYTES, f"{grown / MIB:.0f} MiB"
    assert {record["user"] for record in server.logged("stream.closed", reason="slow_reader")} == set(users)
    for user, first in list(zip(users, firsts, strict=True))[::3]:
        await _resumes_whole(server, user, first, ids[user])


async def _stall(stack: AsyncExitStack, server: ServerProcess, user: str) -> str:
    """Open a stream of *user* and read its first frame, whose id this returns, and nothing more."""
    opening = Stream.open(server, "/v1/app/sse", demo(user), receive_buffer=4096)
    stream = await stack.enter_async_context(await opening)
    first = await stream.frame()
    stream.stop_reading()
    assert first is not None and first.id is not None
    return first.id


async def _publish(
    server: ServerProcess, api: Api, users: list[str]
) -> tuple[dict[str, list[str]], int, float]:
    """Publish to each user and the live one, round by round.

    Returns:
        Each user's ids, by how many bytes the process grew at the most, and the most bytes that waited.
    """
    before = server.rss_bytes
    grown, queued = 0, 0.0
    ids: dict[str, list[str]] = {user: [] for user in users}
    for round_ in range(ROUNDS):
        events = [{"userId": user, "data": f"{round_} {EVENT}"} for user in users]
        *given, _ = await api.publish(server, [*events, {"userId": "live", "data": str(round_)}])
        for user, id_ in zip(users, given, strict=True):
            ids[user].append(id_)
        grown = max(grown, server.rss_bytes - before)
        if round_ % 4 == 0:
            queued = max(queued, await api.metric(server, "sse_push_write_buffer_bytes"))
    return ids, grown, queued


async def _resumes_whole(server: ServerProcess, user: str, last_id: str, ids: list[str]) -> None:
    follower = Follower(server, "/v1/app/sse", demo(user))
    follower.last_id = last_id
    async with asyncio.timeout(20):
        await follower.follow(lambda frame: frame.id == ids[-1])
    assert [frame.id for frame in follower.frames] == ids


@pytest.mark.parametrize("io_uring", ["auto", "off"])
async def test_readers_that_pause_get_all_in_order_whichever_way_it_is_written(
    serve: Serve, api: Api, io_uring: str
) -> None:
    """What waits for a reader, what comes behind it and heartbeats must not overtake each other."""
    server = await serve(io_uring=io_uring, heartbeat_s=0.3, send_buffer_bytes=65_536)
    users = [f"user{index}" for index in range(12)]
    dice = random.Random(12)
    waited = 0.0
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                await Stream.open(server, "/v1/app/sse", demo(user), receive_buffer=4096)
            )
            for user in users
        ]
        for round_ in range(40):
            for stream in dice.sample(streams, 6):
                dice.choice([stream.stop_reading, stream.go_on_reading])()
            data = {"n": round_, "pad": "x" * dice.choice([10, 30_000])}
            await api.publish(server, [{"userId": user, "data": data} for user in users])
            waited = max(waited, await api.metric(server, "sse_push_write_buffer_bytes"))
        for stream in streams:
            stream.go_on_reading()
        got = await asyncio.gather(*(stream.events(40) for stream in streams))
    assert [[event.json["n"] for event in events] for events in got] == [[*range(40)]] * len(users)
    assert waited > 0, "nobody fell behind"
    [started] = server.logged("node.started")
    assert started["io_uring"] == (io_uring == "auto" and _HAS_RING)
