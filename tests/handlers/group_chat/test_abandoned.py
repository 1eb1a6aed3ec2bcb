"""Turns whose caller is gone: what nobody has begun is done only while somebody is in the room, here or elsewhere."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sse_push.service.group_chat import abandoned
from tests.conftest import Service, Start, mint, until
from tests.handlers.group_chat.turns import ROOM, turn, whole
from tests.model_server import SILENT, ModelServer
from tests.redis_server import RedisServer

WithModel = Callable[..., Awaitable[Service]]


@pytest.fixture(params=["embedded", "redis"])
async def nodes(
    request: pytest.FixtureRequest, with_model: WithModel, start: Start, model_server: ModelServer
) -> tuple[Service, Service]:
    """The node whose one worker is held up by a first job, and the node that others of the room are at.

    On the embedded engine it is the same.
    """
    model_server.answers = {"ada": SILENT}
    if request.param == "embedded":
        service = await with_model(ai_worker_concurrency=1)
        return service, service
    server: RedisServer = request.getfixturevalue("redis_server")
    return (
        await with_model(ai_worker_concurrency=1, engine_url=server.url),
        await start(ai_worker_concurrency=0, engine_url=server.url),
    )


async def leave(service: Service, model_server: ModelServer) -> None:
    """A caller asks both members, and is gone when the first of them is being asked."""
    stream = await turn(service)
    await stream.next()
    await until(lambda: model_server.asked)
    before = len(service.node.connections)
    stream.close()
    await until(lambda: len(service.node.connections) == before - 1)


def withdrawn(logged: list[dict[str, Any]]) -> list[int]:
    return [line["jobs"] for line in logged if line["event"] == "group_chat.jobs_withdrawn"]


async def said_in(service: Service) -> list[str]:
    room = await service.open("/chat/stream?room=general&history=10", token=mint("9"))
    return [frame.json["userId"] for frame in await room.events(2)]


async def test_jobs_of_a_caller_who_left_an_empty_room_are_not_begun(
    nodes: tuple[Service, Service], model_server: ModelServer, logged: list[dict[str, Any]]
) -> None:
    here, _ = nodes
    await leave(here, model_server)
    await until(lambda: withdrawn(logged))
    model_server.release.set()

    assert await said_in(here) == ["42", "ai:1"]  # what had begun goes on, and reaches the room
    assert [asked["model"] for asked in model_server.asked] == ["ada"]
    assert withdrawn(logged) == [1]
    assert not [line for line in logged if line["event"] == "group_chat.timed_out"]
    await until(lambda: not here.node.group_chat._turns)


async def test_jobs_of_a_caller_who_left_go_on_while_somebody_is_in_the_room(
    nodes: tuple[Service, Service], model_server: ModelServer, logged: list[dict[str, Any]]
) -> None:
    here, there = nodes
    room = await there.open("/chat/stream?room=general", token=mint("7"))
    await leave(here, model_server)
    model_server.release.set()

    assert [frame.json["userId"] for frame in await room.events(3)] == ["42", "ai:1", "ai:7"]
    assert withdrawn(logged) == []


async def test_jobs_of_a_caller_who_left_are_not_begun_when_the_last_leaves_the_room(
    nodes: tuple[Service, Service],
    model_server: ModelServer,
    logged: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(abandoned, "CHECK_EVERY_S", 0.02)
    here, there = nodes
    room = await there.open("/chat/stream?room=general", token=mint("7"))
    await leave(here, model_server)
    room.close()
    await until(lambda: withdrawn(logged))
    model_server.release.set()

    assert await said_in(here) == ["42", "ai:1"]
    assert withdrawn(logged) == [1]


async def test_jobs_of_a_caller_who_left_go_on_while_another_has_a_turn_in_the_room(
    nodes: tuple[Service, Service], model_server: ModelServer, logged: list[dict[str, Any]]
) -> None:
    here, there = nodes
    other = await turn(there, token=mint("43"), sender="43")
    await other.next()
    await leave(here, model_server)
    model_server.release.set()

    assert (await whole(other))[-1]["type"] == "complete"
    await until(lambda: not here.node.group_chat._turns)
    assert withdrawn(logged) == []
    assert len([asked for asked in model_server.asked if asked["model"] == "basil"]) >= 1


async def test_caller_who_left_frees_what_counts_against_them(
    with_model: WithModel, model_server: ModelServer, logged: list[dict[str, Any]]
) -> None:
    model_server.answers = {"ada": SILENT}
    service = await with_model(ai_worker_concurrency=1, ai_jobs_per_user=8)
    streams = [await turn(service) for _ in range(4)]
    refused = await service.post(
        f"{ROOM}/group-sse", token=mint("42"), json={"message": "m", "sender": "42", "userName": "a"}
    )
    for stream in streams:
        await stream.next()
        stream.close()
    await until(lambda: sum(withdrawn(logged)) == 7)

    again = await turn(service)
    model_server.release.set()
    frames = await whole(again)

    assert (refused.status, refused.json["limit"]) == (429, "ai_jobs")
    assert [frame["type"] for frame in frames][-1] == "complete"
