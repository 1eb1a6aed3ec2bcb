"""Each user's share of the history, whatever they fill it with; that of services where it is set."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.conftest import Answer, Listen, Service, Start, mint, until
from tests.handlers.group_chat.turns import ROOM, said
from tests.handlers.http.fast_publish.publishes import ONE, known, post
from tests.handlers.ndjson.publisher import answers_to, event_line

SHARE = 1e-5  # of a gibibyte: some 10 KB, half of it at once
SERVICE = mint("publisher", "service")
MANY = 100  # requests within which a share of that size is filled


def chat(token: str) -> Callable[[Service], Awaitable[Answer]]:
    body = {"roomId": "general", "message": "x" * 300}
    return lambda service: service.post("/chat/send", token=token, json=body)


def turn(token: str) -> Callable[[Service], Awaitable[Answer]]:
    return lambda service: service.post(f"{ROOM}/group-sse", token=token, json=said("x" * 300))


def events(body: Any, path: str = "/v1/events") -> Callable[[Service], Awaitable[Answer]]:
    return lambda service: service.post(path, token=SERVICE, json=body)


async def refused(service: Service, ask: Callable[[Service], Awaitable[Answer]]) -> Answer:
    """The first refusal."""
    for _ in range(MANY):
        answer = await ask(service)
        if answer.status != 200:
            return answer
    pytest.fail("never refused")


@pytest.mark.parametrize("fill", [chat(mint("42")), turn(mint("42"))], ids=["chat", "group chat"])
async def test_user_who_filled_their_share_is_refused_and_nobody_else(
    start: Start, fill: Callable[[Service], Awaitable[Answer]]
) -> None:
    service = await start(
        history_user_share=SHARE,
        user_commands_per_s=0,
        turns_per_user_per_minute=0,
        max_connections_per_user=MANY,
        ai_jobs_per_user=MANY,
    )

    over = await refused(service, fill)
    await until(lambda: not service.node.group_chat._turns)
    head = service.node.engine.head
    again = [await ask(service) for ask in (chat(mint("42")), turn(mint("42")))]

    assert (over.status, over.json["limit"]) == (429, "bytes")
    assert int(over.headers["Retry-After"]) > 0
    assert [answer.json["limit"] for answer in again] == ["bytes", "bytes"]
    assert service.node.engine.head == head
    assert (await chat(mint("43"))(service)).status == 200
    assert (await chat(mint("42", "service"))(service)).status == 200


async def test_answers_of_ai_members_count_as_theirs_who_asked(start: Start) -> None:
    service = await start(history_user_share=SHARE, turns_per_user_per_minute=0)
    before = service.node.user_bytes._spent.get("42")
    await turn(mint("42"))(service)
    await until(lambda: not service.node.group_chat._turns)

    assert before is None
    assert service.node.user_bytes._spent["42"][0] > 3 * 600  # the message, and an answer of each of two


async def test_services_fill_what_they_like_unless_they_have_a_share(start: Start) -> None:
    service = await start(history_user_share=SHARE)

    for _ in range(MANY):
        assert (await events({"userId": "42", "data": "x" * 300})(service)).status == 200


@pytest.mark.parametrize(
    "fill",
    [
        events({"userId": "42", "data": "x" * 300}),
        events([{"userId": "42", "data": "x"}] * 2),
        events({"title": "t", "message": "x" * 300, "type": "info"}, "/notifications/send"),
        chat(SERVICE),
    ],
    ids=["event", "list", "notification", "chat"],
)
async def test_service_with_a_share_is_refused_past_it(
    start: Start, fill: Callable[[Service], Awaitable[Answer]]
) -> None:
    service = await start(history_service_share=SHARE)

    over = await refused(service, fill)

    assert (over.status, over.json["limit"]) == (429, "bytes")


async def test_service_with_a_share_is_refused_on_a_connection_that_it_publishes_on(listen: Listen) -> None:
    server = await listen(history_service_share=SHARE)
    peer = await known(server)

    statuses = []
    for _ in range(20):
        await peer.send(post(ONE))
        statuses.append((await peer.answer())[0].split("\r\n")[0])

    assert (statuses[0], statuses[-1]) == ("HTTP/1.1 200 OK", "HTTP/1.1 429 Too Many Requests")


async def test_lines_past_a_services_share_are_refused_each(start: Start) -> None:
    service = await start(history_service_share=SHARE)

    answers = await answers_to(service, event_line("x" * 300) * 20)

    assert "id" in answers[0]
    assert "over the limit: bytes" in answers[-1]["error"]
