"""Who may begin a turn, what is refused, and what a turn counts as."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.conftest import Service, Start, mint, until
from tests.handlers.group_chat.turns import ROOM, said, turn, whole
from tests.model_server import SILENT, ModelServer


@pytest.mark.parametrize(
    ("path", "token", "body", "status"),
    [
        (ROOM, None, said(), 401),
        (ROOM, "bad", said(), 401),
        (ROOM, mint("43"), said(), 403),
        ("/api/chat/rooms/closed", mint("42"), said(), 403),
        ("/api/chat/rooms/" + "r" * 129, mint("42"), said(), 400),
        (ROOM, mint("42"), said(""), 422),
        (ROOM, mint("42"), {"message": "m", "sender": "42"}, 422),
        (ROOM, mint("42"), said(role="admin"), 422),
        (ROOM, mint("42"), said("m" * 16_385), 422),
    ],
)
async def test_bad_turn_is_a_problem_document_and_tells_nobody(
    start: Start, path: str, token: str | None, body: dict[str, Any], status: int
) -> None:
    service = await start()
    head = service.node.engine.head

    answer = await service.post(f"{path}/group-sse", token=token, json=body)

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert service.node.engine.head == head
    assert len(service.node.connections) == 0


async def test_sender_may_be_a_number(start: Start) -> None:
    frames = await whole(await turn(await start(), sender=42))

    assert frames[0]["senderId"] == "42"


async def test_members_are_for_those_allowed_in_the_room(start: Start) -> None:
    service = await start()

    assert (await service.get(f"{ROOM}/members")).status == 401
    assert (await service.get("/api/chat/rooms/closed/members", token=mint("42"))).status == 403


async def test_turns_count_in_the_connection_limits(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(max_connections_per_user=1)
    model_server.answers = {"ada": SILENT}
    stream = await turn(service)
    head = service.node.engine.head

    refused = await service.post(f"{ROOM}/group-sse", token=mint("42"), json=said())
    open_now = (await service.get("/system/status")).json["connections"]
    model_server.release.set()
    await stream.rest()

    assert (refused.status, refused.json["limit"]) == (429, "user")
    assert open_now["byStream"]["group"] == 1
    assert service.node.engine.head == head + 2  # the two answers: nothing of the refused
    await until(lambda: len(service.node.connections) == 0)


async def test_turns_in_a_loop_are_refused_before_the_room_is_told(start: Start) -> None:
    service = await start(turns_per_user_per_minute=2)
    for _ in range(2):
        await whole(await turn(service))
    head = service.node.engine.head

    refused = await service.post(f"{ROOM}/group-sse", token=mint("42"), json=said())

    assert (refused.status, refused.json["limit"]) == (429, "turns")
    assert 0 < int(refused.headers["Retry-After"]) <= 30
    assert service.node.engine.head == head and len(service.node.connections) == 0
    await whole(await turn(service, token=mint("43"), sender="43"))


async def test_user_who_waits_for_many_answers_is_refused_before_the_room_is_told(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(ai_worker_concurrency=1, ai_jobs_per_user=8)
    model_server.answers = {"ada": SILENT}
    streams = [await turn(service) for _ in range(4)]  # of two members each
    head = service.node.engine.head

    refused = await service.post(f"{ROOM}/group-sse", token=mint("42"), json=said())
    other = await turn(service, token=mint("43"), sender="43")
    told = service.node.engine.head
    model_server.release.set()

    assert (refused.status, refused.json["limit"]) == (429, "ai_jobs")
    assert int(refused.headers["Retry-After"]) > 0
    assert told == head + 1  # the other's message alone
    for stream in [*streams, other]:
        assert (await whole(stream))[-1]["type"] == "complete"
    assert (await whole(await turn(service)))[-1]["type"] == "complete"
