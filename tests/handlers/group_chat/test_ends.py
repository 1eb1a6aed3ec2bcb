"""How a turn ends: with its token, its node, its reader, or the rest of the service failing."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.conftest import Listen, Service, Start, mint, until
from tests.handlers.group_chat.turns import ROOM, said, turn, whole
from tests.model_server import SILENT, ModelServer


async def test_heartbeats_go_on_beneath(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(heartbeat_s=0.1)
    model_server.answers = {"ada": SILENT}

    stream = await turn(service)
    while (await stream.next()).comment != "hb":
        pass
    model_server.release.set()

    assert (await whole(stream))[-1]["type"] == "complete"


async def test_turn_ends_with_its_token(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    now = time.time()
    service = await with_model(clock=lambda: now, heartbeat_s=0.5)
    model_server.answers = {"ada": SILENT, "basil": SILENT}

    stream = await turn(service, token=mint("42", lifetime=30))
    await stream.next()
    now += 31
    expired, done = [frame for frame in await stream.rest() if frame.comment is None]

    assert expired.event == "sse.expired"
    assert done.data == "[DONE]"


async def test_drain_lets_a_turn_end(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(shutdown_timeout_s=10)
    model_server.answers = {"ada": SILENT}
    stream = await turn(service)
    await stream.next()

    draining = asyncio.create_task(service.node.drain())
    await until(lambda: not service.node.connections.accepting)
    refused = await service.post(f"{ROOM}/group-sse", token=mint("42"), json=said())
    model_server.release.set()

    assert refused.status == 503
    assert (await whole(stream))[-1]["type"] == "complete"
    await draining


async def test_drain_ends_a_turn_that_takes_too_long(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(shutdown_timeout_s=1)
    model_server.answers = {"ada": SILENT, "basil": SILENT}
    stream = await turn(service)

    _, frames = await asyncio.gather(service.node.drain(), whole(stream))

    assert [frame["type"] for frame in frames] == ["user_message", "timeout"]


async def test_full_queue_is_told_in_the_turn(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(max_queued_jobs=2, ai_worker_concurrency=0, shutdown_timeout_s=1)

    waiting = await turn(service)
    frames = await whole(await turn(service))
    waiting.close()

    assert [frame["type"] for frame in frames] == ["user_message", "error", "error", "complete"]


async def test_client_that_left_before_its_stream_began_is_answered_in_the_room(listen: Listen) -> None:
    service = await listen()
    room = await service.connect()
    await room.send(
        b"GET /chat/stream?room=general HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n"
        % mint("7").encode()
    )
    await until(lambda: len(service.node.connections) == 1)
    body = json.dumps(said()).encode()
    peer = await service.connect()
    await peer.send(
        b"POST /api/chat/rooms/general/group-sse HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (mint("42").encode(), len(body), body)
    )
    peer.abort()

    await until(lambda: service.node.engine.head in (0, 3) and len(service.node.connections) == 1)
    room.abort()


async def test_database_away_costs_the_exp_and_nothing_else(
    start: Start, logged: list[dict[str, Any]]
) -> None:
    service = await start(database_url="postgresql://nobody@127.0.0.1:1/nothing")

    frames = await whole(await turn(service))

    assert [frame["type"] for frame in frames] == ["user_message", "ai_response", "ai_response", "complete"]
    assert [line for line in logged if line["event"] == "group_chat.award_failed"]
    assert (await service.get(f"{ROOM}/members", token=mint("42"))).status == 503


async def test_worst_of_readers_is_cut(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    """What waits for a turn's reader is bounded as for any stream."""
    service = await with_model(slow_reader_bytes=16 * 1024, max_event_bytes=8 * 1024)
    model_server.answers = {"ada": SILENT, "basil": SILENT}
    stream = await turn(service)
    [connection] = list(service.node.connections)

    connection.transport.pause_reading()
    connection.send(b"data: " + b"x" * 2**24 + b"\n\n")

    with pytest.raises(aiohttp.ClientPayloadError):
        await stream.rest()
    assert service.node.connections.closed_by_reason["slow_reader"] == 1
