"""No loss, no repeat, no disorder: through broken connections, SIGTERM and ``kill -9``, while publishing goes on."""

import asyncio
import random

import pytest

from tests.e2e.client import ADMIN, SERVICE, Api, demo
from tests.e2e.conftest import Serve
from tests.e2e.follower import Follower
from tests.e2e.publishers import SEED, USERS, Publishers, check_whole, is_end
from tests.e2e.stream import Stream, connect
from tests.process import ServerProcess

pytestmark = pytest.mark.process


async def test_readers_that_break_off_get_every_event_once_and_in_order(serve: Serve, api: Api) -> None:
    server = await serve(retry_ms=100)
    follows = [
        *((user, "/v1/app/sse", demo(user)) for user in USERS),
        (None, "/v1/app/sse", ADMIN),
        (USERS[0], f"/v1/app/sse/{USERS[0]}", ADMIN),
        (USERS[1], "/v1/stream?topics=app,notifications", demo(USERS[1])),
    ]
    followers = [
        Follower(server, target, token, random.Random(SEED + index))
        for index, (_, target, token) in enumerate(follows)
    ]
    publishers = Publishers(api, server)
    async with asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.follow(is_end))
        for follower in followers:
            await follower.started.wait()
        publishing = [group.create_task(publishers.run(f"p{index}", retries=index > 0)) for index in range(4)]
        await publishers.promised_another(300)
        await server.kill()
        await server.start()
        await publishers.promised_another(300)
        assert await server.terminate() == 0
        await server.start()
        await publishers.promised_another(300)
        await publishers.finish(publishing)
    for (user, _, _), follower in zip(follows, followers, strict=True):
        assert follower.connects > 5, "it did not break off"
        check_whole(follower.frames, user, publishers)


async def test_a_stream_is_resumed_from_wherever_it_broke_off(serve: Serve, api: Api) -> None:
    server = await serve()
    async with await Stream.open(server, "/v1/app/sse", demo("42")) as stream:
        first = await stream.frame()
        assert first is not None and first.id and first.data is None and first.retry
        stream.reset()
    ids = [await api.publish(server, {"userId": 42, "data": {"n": n}}) for n in range(3)]
    async with await Stream.open(server, "/v1/app/sse", demo("42"), last_id=first.id) as stream:
        assert [frame.id for frame in await stream.events(3)] == ids
    # Where headers can't be set; and where both are, the header wins.
    async with await Stream.open(server, f"/v1/app/sse?lastEventId={ids[0]}", demo("42")) as stream:
        assert [frame.id for frame in await stream.events(2)] == ids[1:]
    target = f"/v1/app/sse?lastEventId={first.id}"
    async with await Stream.open(server, target, demo("42"), last_id=ids[1]) as stream:
        assert (await stream.event()).id == ids[2]
    # An id of a store since lost: the stream says so, and where it stands from now on.
    async with await Stream.open(server, "/v1/app/sse", demo("42"), last_id="aaaaaaaa-2") as stream:
        gap = await stream.event()
        assert gap.event == "sse.gap"
        assert gap.json == {"reason": "unknown", "requested": "aaaaaaaa-2", "resumed_from": None}
    after = await api.publish(server, {"userId": 42, "data": "after"})
    async with await Stream.open(server, "/v1/app/sse", demo("42"), last_id=gap.id) as stream:
        assert (await stream.event()).id == after


async def test_what_is_answered_with_2xx_survives_kill_9_at_that_moment(serve: Serve) -> None:
    server = await serve()
    async with await Stream.open(server, "/v1/app/sse", ADMIN) as stream:
        first = await stream.frame()
    assert first is not None
    ids: list[str] = []
    for round_ in range(2):
        callers = [asyncio.create_task(_publish_once(server, f"{round_}-{index}")) for index in range(16)]
        await asyncio.wait(callers, return_when=asyncio.FIRST_COMPLETED)
        await server.kill()
        ids += [id_ for id_ in await asyncio.gather(*callers) if id_]
        await server.start()
        await _finds_all(server, first.id, set(ids))
    assert len(ids) >= 2


async def _finds_all(server: ServerProcess, last_id: str | None, ids: set[str]) -> None:
    follower = Follower(server, "/v1/app/sse", ADMIN)
    follower.last_id = last_id
    async with asyncio.timeout(10):
        await follower.follow(lambda frame: ids <= {frame.id for frame in follower.frames})


async def _publish_once(server: ServerProcess, data: str) -> str | None:
    """The id that a bare POST was answered with; ``None`` if the answer did not come whole."""
    body = b'{"userId": "42", "data": "%b"}' % data.encode()
    head = f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SERVICE}\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        reader, writer = await connect(server)
    except OSError:
        return None
    try:
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b'"}')
    except (OSError, asyncio.IncompleteReadError):
        return None
    finally:
        writer.transport.abort()
    assert answer.startswith(b"HTTP/1.1 200 ")
    return answer.rpartition(b'"id":"')[2][:-2].decode()
