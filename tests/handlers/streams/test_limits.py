"""How many streams there may be, when a slot is free again, and what a stopped reader costs."""

import asyncio

import pytest

from tests.conftest import Listen, Start, mint, until
from tests.handlers.streams.raw import open_raw, publish


@pytest.mark.parametrize(
    ("limit", "settings"),
    [
        ("total", {"max_connections": 2}),
        ("user", {"max_connections_per_user": 2}),
        ("address", {"max_connections_per_address": 2}),
    ],
)
async def test_stream_over_a_limit_is_told_which_and_when(
    start: Start, limit: str, settings: dict[str, int]
) -> None:
    service = await start(**settings)
    first = await service.open("/v1/app/sse", token=mint("42"))
    await service.open("/notifications/stream", token=mint("42"))

    answer = await service.get("/realtime/stream", token=mint("42"))

    assert answer.status == 429
    assert answer.json["limit"] == limit
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    first.close()
    await until(lambda: len(service.node.connections) == 1)
    await service.open("/realtime/stream", token=mint("42"))


async def test_stream_of_another_user_is_not_over_the_limit_of_one(start: Start) -> None:
    service = await start(max_connections_per_user=1)
    await service.open("/v1/app/sse", token=mint("42"))

    await service.open("/v1/app/sse", token=mint("43"))
    await service.open("/custom/stream")
    await service.open("/custom/stream")


async def test_streams_without_a_token_leave_room_for_users(start: Start) -> None:
    service = await start(max_connections=4)
    await service.open("/custom/stream")
    await service.open("/system/status/stream")

    refused = await service.get("/custom/stream")

    assert (refused.status, refused.json["limit"]) == (429, "anonymous")
    assert int(refused.headers["Retry-After"]) > 0
    await service.open("/v1/app/sse", token=mint("42"))
    await service.open("/v1/app/sse", token=mint("43"))


@pytest.mark.parametrize(
    ("paths", "token", "setting"),
    [
        (["/v1/app/sse", "/chat/stream?room=general", "/v1/stream?topics=app"], mint("42"), "user"),
        (["/custom/stream", "/system/status/stream", "/custom/stream"], None, "address"),
    ],
)
async def test_streams_opened_in_a_loop_are_refused_before_they_begin(
    start: Start, paths: list[str], token: str | None, setting: str
) -> None:
    """Each open costs the reads of its replay, however soon it is closed again."""
    service = await start(**{f"opens_per_{setting}_per_minute": 3})
    for path in paths:
        (await service.open(path, token=token)).close()

    refused = await service.get(paths[0], token=token)

    assert (refused.status, refused.json["limit"]) == (429, "opens")
    assert 0 < int(refused.headers["Retry-After"]) <= 20
    await service.open("/v1/app/sse", token=mint("43"))


async def test_stream_that_is_reset_frees_its_slot_at_once(listen: Listen) -> None:
    server = await listen()
    peer = await open_raw(server, "/v1/app/sse/42", mint("42"))

    peer.abort()

    await until(lambda: len(server.node.connections) == 0, 2)


async def test_stream_half_closed_by_its_client_frees_its_slot(listen: Listen) -> None:
    server = await listen()
    peer = await open_raw(server, "/v1/app/sse/42", mint("42"))

    peer.writer.write_eof()

    await until(lambda: len(server.node.connections) == 0, 2)


async def test_stream_that_is_refused_takes_no_slot(start: Start) -> None:
    service = await start(max_connections=1)

    for path, status in (("/v1/app/sse/43", 403), ("/v1/stream?topics=x", 400), ("/sse/connect", 400)):
        assert (await service.get(path, token=mint("42"))).status == status

    await service.open("/v1/app/sse", token=mint("42"))


async def test_stream_that_is_not_read_is_cut_and_resumes_whole(listen: Listen) -> None:
    server = await listen(slow_reader_bytes=64 * 1024, max_event_bytes=32 * 1024, send_buffer_bytes=65536)
    peer = await open_raw(server, "/v1/app/sse/42", mint("42"))
    [first] = await publish(server.node, userId="42", data="first")

    ids = []
    while len(server.node.connections):  # the kernel's buffers fill first, then ours
        ids += await publish(server.node, userId="42", data="x" * 30_000)
        assert len(ids) < 2000, "a reader that stopped is never cut"
        await asyncio.sleep(0)

    assert server.node.connections.closed_by_reason["slow_reader"] == 1
    again = await open_raw(server, "/v1/app/sse/42", mint("42"), f"Last-Event-ID: {first}\r\n")
    got = b""
    while f"id: {ids[-1]}\n".encode() not in got:
        got += await again.chunk()
    # The first frame says where the stream stands, the others are what was missed.
    assert [line[4:].decode() for line in got.split(b"\n") if line.startswith(b"id: ")] == [first, *ids]
    peer.abort()


@pytest.mark.parametrize("path", ["/custom/stream", "/v1/stream?topics=custom"])
async def test_stream_waits_for_the_gate(start: Start, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A fleet that comes back at once is let in a few a turn, whatever it asks for."""
    service = await start()
    passes = 0

    async def enter() -> None:
        nonlocal passes
        passes += 1

    monkeypatch.setattr(service.node.gate, "enter", enter)
    await service.open(path, token=mint("42"))
    assert passes == 1
