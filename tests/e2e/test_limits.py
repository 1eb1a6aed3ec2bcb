"""Limits of connections over real sockets, and how soon a slot is free again."""

import ctypes
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.client import Api, demo
from tests.e2e.conftest import Serve
from tests.e2e.stream import Stream, connect, rest
from tests.ports import HOST
from tests.process import ServerProcess, eventually, running

pytestmark = pytest.mark.process

SECOND = "127.0.0.2"
AT_ONCE_S = 3.0  # far below the 15 s of a heartbeat, by which a write could have noticed
SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the socket module has no name for it


async def refusal(server: ServerProcess, target: str, token: str | None, source: str = HOST) -> str | None:
    """Which limit refuses a stream; ``None`` if it is given."""
    async with await Stream.open(server, target, token, source=source) as stream:
        if stream.status == 200:
            return None
        assert stream.status == 429
        assert int(stream.headers["retry-after"]) > 0
        assert stream.headers["content-type"].startswith("application/problem+json")
        problem = await stream.body()
        return str(json.loads(problem)["limit"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    settings = {"max_connections": 4, "max_connections_per_user": 2, "max_connections_per_address": 3}
    async with running(tmp_path_factory.mktemp("limits"), **settings) as server:
        yield server


@pytest.fixture
async def server(narrow: ServerProcess, api: Api) -> ServerProcess:
    """A process with room for four streams, two of a user, three of an address; none is taken yet."""

    async def is_empty() -> bool:
        _, status = await api.call(narrow, "GET", "/system/status")
        return bool(status["connections"]["total"] == 0)

    await eventually(is_empty, "the streams of other tests are closed")
    return narrow


@pytest.mark.parametrize(
    ("held", "refused", "limit", "allowed"),
    [
        ([("a", HOST), ("b", HOST), ("c", SECOND), ("d", SECOND)], ("e", SECOND), "total", None),
        ([("a", HOST), ("a", SECOND)], ("a", HOST), "user", ("b", HOST)),
        ([("a", HOST), ("b", HOST), ("c", HOST)], ("d", HOST), "address", ("d", SECOND)),
    ],
)
async def test_a_stream_over_a_limit_is_refused_until_another_closes(
    server: ServerProcess,
    api: Api,
    held: list[tuple[str, str]],
    refused: tuple[str, str],
    limit: str,
    allowed: tuple[str, str] | None,
) -> None:
    """Streams are given as user and address."""
    rejections = await api.metric(server, "sse_push_rejections_total")
    streams = [await Stream.open(server, "/v1/app/sse", demo(user), source=source) for user, source in held]
    assert [stream.status for stream in streams] == [200] * len(streams)

    async def opens() -> Stream | None:
        stream = await Stream.open(server, "/v1/app/sse", demo(refused[0]), source=refused[1])
        if stream.status == 200:
            return stream
        stream.close()
        return None

    for leave in (Stream.close, Stream.reset):
        assert await refusal(server, "/v1/app/sse", demo(refused[0]), refused[1]) == limit
        if allowed is not None:
            assert await refusal(server, "/notifications/stream", demo(allowed[0]), allowed[1]) is None
        leave(streams.pop())
        streams.append(await eventually(opens, "the slot is free", within=AT_ONCE_S))
    assert await api.metric(server, "sse_push_rejections_total") >= rejections + 2
    for stream in streams:
        stream.close()
    assert {record["reason"] for record in server.logged("stream.closed")} <= {
        "client_closed",
        "client_reset",
    }


async def test_streams_of_all_kinds_share_the_limits(server: ServerProcess) -> None:
    opened = [
        ("/v1/app/sse", demo("a")),
        ("/v1/stream?topics=app", demo("a")),
        ("/sse/connect?clientId=anonymous", None),
    ]
    streams = [await Stream.open(server, target, token) for target, token in opened]
    assert [stream.status for stream in streams] == [200] * 3
    assert await refusal(server, "/notifications/stream", demo("a"), SECOND) == "user"
    assert await refusal(server, "/custom/stream", None) == "address"
    streams.append(await Stream.open(server, "/system/status/stream", source=SECOND))
    assert await refusal(server, "/custom/stream", None, SECOND) == "total"
    for stream in streams:
        stream.close()


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux lets a socket drop what it gets")
async def test_a_peer_that_vanishes_without_a_word_frees_its_slot(serve: Serve, api: Api) -> None:
    server = await serve(max_connections=1, heartbeat_s=0.5, peer_timeout_s=5, shutdown_timeout_s=1)
    async with await Stream.open(server, "/v1/app/sse", demo("gone")) as stream:
        assert await stream.frame()
        assert await stream.chunk() == b": hb\n\n"  # it was alive and well
        vanish(stream.socket)
        stream.stop_reading()
        assert await refusal(server, "/v1/app/sse", demo("next")) == "total"
        closed = await eventually(
            lambda: server.logged("stream.closed", user="gone"), "its slot is free", within=5 + 1.5
        )
        assert closed[0]["reason"] == "peer_lost"
        assert await refusal(server, "/v1/app/sse", demo("next")) is None


def vanish(sock: socket.socket) -> None:
    """Let the kernel drop every packet that comes for *sock*, unacknowledged, as if its machine had lost power."""
    drop = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF: return 0, keep nothing
    program = struct.pack("@HP", 1, ctypes.addressof(drop))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


async def test_open_connections_are_bounded_too(serve: Serve) -> None:
    server = await serve(max_sockets=3)
    streams = [await Stream.open(server, "/custom/stream") for _ in range(3)]
    assert await _is_refused(server, "/system/status")
    assert not await _is_refused(server, "/healthz"), "whoever watches the node is answered"
    streams.pop().close()

    async def has_room() -> bool:
        return not await _is_refused(server, "/system/status")

    await eventually(has_room, "there is room again", within=AT_ONCE_S)
    assert await streams[0].frame()
    for stream in streams:
        stream.close()


async def test_idle_connection_makes_room_for_another(serve: Serve) -> None:
    server = await serve(max_sockets=2)
    stream = await Stream.open(server, "/custom/stream")
    reader, writer = await connect(server)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n")
    assert not await _is_refused(server, "/system/status")
    await rest(reader)  # it is closed: else this would not end
    assert await stream.frame()
    stream.close()
    writer.transport.abort()


async def _is_refused(server: ServerProcess, path: str) -> bool:
    """Whether a connection is closed without an answer."""
    reader, writer = await connect(server)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return not await reader.read(1)
    except ConnectionError:
        return True
    finally:
        writer.transport.abort()
