"""Whose event goes to whom, counted in bytes: for anyone else, none."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import ADMIN, SERVICE, Api, demo
from tests.e2e.follower import Follower
from tests.e2e.stream import Stream, parse_frames
from tests.ports import HOST
from tests.process import ServerProcess, running

pytestmark = pytest.mark.process

OTHERS = 2000
EVENTS = 5000
NO_HEARTBEAT_S = 55  # longer than the test


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    room = OTHERS + 10
    settings = {"max_connections": room, "max_connections_per_address": room, "heartbeat_s": NO_HEARTBEAT_S}
    async with running(tmp_path_factory.mktemp("filter"), **settings) as server:
        yield server


async def publish_many(api: Api, server: ServerProcess, events: list[Any]) -> list[str]:
    """Publish *events* in lists of a thousand; their ids."""
    lists = [events[start : start + 1000] for start in range(0, len(events), 1000)]
    return [id_ for some in lists for id_ in await api.publish(server, some)]


async def test_a_users_stream_holds_not_one_byte_of_what_is_for_others(
    server: ServerProcess, api: Api
) -> None:
    async with (
        await Stream.open(server, "/v1/app/sse/42", demo(42)) as by_path,
        await Stream.open(server, "/v1/app/sse/42", ADMIN) as by_admin,
        await Stream.open(server, "/v1/app/sse", demo(42)) as own,
        await Stream.open(
            server, "/v1/stream?topics=app,client,notifications,chat:general", demo(42)
        ) as many,
    ):
        streams = (by_path, by_admin, own, many)
        for stream in streams:
            [first] = parse_frames(await stream.chunk())
            assert first.retry and first.id and first.data is None
        others: list[dict[str, Any]] = [
            {"userId": f"4{n}" if n != 2 else "4", "data": n} for n in range(1000)
        ]
        others += [{"userIds": ["4", "421", f"u{n}"], "data": n} for n in range(1000)]
        others += [{"userId": "41", "topic": topic, "data": 0} for topic in ("client", "notifications")] * 500
        others += [
            {"room": "general2", "data": 0},
            {"room": "General", "data": 0},
            {"userId": " 42", "data": 0},
        ] * 500
        await publish_many(api, server, others)
        last = await api.publish(server, {"userId": "42", "data": "yours"})
        for stream in streams[:3]:
            assert await stream.chunk() == f"id: {last}\ndata: yours\n\n".encode()
        assert await many.chunk() == f"id: {last}\nevent: app\ndata: yours\n\n".encode()


async def test_a_user_may_not_open_anothers_stream(server: ServerProcess) -> None:
    for target, token, status in (
        ("/v1/app/sse/42", demo(41), 403),
        ("/v1/app/sse/42", SERVICE, 403),
        ("/v1/app/sse/42", None, 401),
        ("/v1/app/sse/42", "nonsense", 401),
        ("/custom/stream", "nonsense", 401),
        ("/sse/connect?clientId=42", demo(41), 403),
        ("/v1/stream?topics=app,nonsense", demo(42), 400),
    ):
        async with await Stream.open(server, target, token) as stream:
            assert stream.status == status, target
            assert json.loads(await stream.body())["status"] == status
            assert (stream.headers.get("www-authenticate") == "Bearer") == (status == 401)


class Bystander(asyncio.Protocol):
    """Holds a stream of its own, and every byte that came over it."""

    def __init__(self, user: str, until: bytes) -> None:
        self._user = user
        self._until = until
        self.received = bytearray()
        self.began = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        head = (
            f"GET /v1/app/sse HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {demo(self._user)}\r\n\r\n"
        )
        transport.write(head.encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.received += data
        if b"\n\n\r\n" in self.received and not self.began.done():
            self.began.set_result(None)
        if self._until in self.received and not self.ended.done():
            self.ended.set_result(None)


async def test_an_emit_to_one_user_writes_nothing_to_two_thousand_others(
    server: ServerProcess, api: Api
) -> None:
    loop = asyncio.get_running_loop()
    end = b"data: good night\n\n\r\n"
    others: list[Bystander] = []
    for index in range(OTHERS):
        _, other = await loop.create_connection(lambda: Bystander(f"other{index}", end), HOST, server.port)  # noqa: B023 - called at once
        others.append(other)
    target = Follower(server, "/v1/app/sse", demo("42"))
    following = loop.create_task(target.follow(lambda frame: frame.data == str(EVENTS - 1)))
    async with asyncio.timeout(30):
        await asyncio.gather(*(other.began for other in others), target.started.wait())
        before = await api.metric(server, "sse_push_deliveries_total")
        ids = await publish_many(api, server, [{"userId": "42", "data": n} for n in range(EVENTS)])
        await following
        assert [frame.id for frame in target.frames] == ids
        # A delivery is an event times a stream: five thousand here, not ten million.
        assert await api.metric(server, "sse_push_deliveries_total") == before + EVENTS
        last = await api.publish(server, {"broadcast": True, "data": "good night"})
        await asyncio.gather(*(other.ended for other in others))
    expected = rb"[0-9a-f]+\r\nretry: \d+\nid: \S+\n\n\r\n" + b"[0-9a-f]+\r\nid: %b\n" % last.encode() + end
    for other in others:
        body = bytes(other.received).partition(b"\r\n\r\n")[2]
        assert re.fullmatch(expected, body), body[:500]
        other.transport.close()
