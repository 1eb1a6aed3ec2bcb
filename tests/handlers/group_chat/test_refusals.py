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
