"""Who may have which stream: users, anyone, rooms, admins, and what is refused."""

import pytest

from sse_push.service.streams import STREAMS
from sse_push.service.tokens import demo_token
from tests.conftest import Service, Start, mint
from tests.handlers.streams.every import (
    ADMIN,
    ALL,
    SERVICE,
    STREAMS_FOR_ANYONE,
    STREAMS_FOR_USERS,
    give_account,
)


def test_streams_all_have_a_test_here() -> None:
    tested = {path.partition("?")[0].replace("/42", "/{userId}") for path in ALL}

    assert {stream.path for stream in STREAMS} <= tested


@pytest.mark.parametrize("path", STREAMS_FOR_USERS)
async def test_stream_for_users_wants_a_token(service: Service, path: str) -> None:
    answer = await service.get(path)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize("path", STREAMS_FOR_ANYONE)
async def test_stream_for_anyone_opens_without_a_token(service: Service, path: str) -> None:
    stream = await service.open(path)

    assert (await stream.event()).json["timestamp"].endswith("Z")


@pytest.mark.parametrize("path", ALL)
async def test_stream_refuses_a_bad_token(service: Service, path: str) -> None:
    assert (await service.get(path, token="not-a-token")).status == 401


@pytest.mark.parametrize("path", ALL)
async def test_stream_opens_for_its_user(service: Service, path: str) -> None:
    stream = await service.open(path, token=mint("42"))

    assert stream.first.retry is not None


@pytest.mark.parametrize("path", ["/v1/app/sse/42", "/sse/connect?clientId=42"])
async def test_stream_of_one_user_is_closed_to_another(service: Service, path: str) -> None:
    answer = await service.get(path, token=mint("43"))

    assert answer.status == 403
    assert answer.json["status"] == 403


@pytest.mark.parametrize("path", ["/v1/app/sse/42", "/sse/connect?clientId=42"])
async def test_stream_of_one_user_is_closed_to_a_service(service: Service, path: str) -> None:
    assert (await service.get(path, token=SERVICE)).status == 403


@pytest.mark.parametrize("path", ["/v1/app/sse/42", "/sse/connect?clientId=42"])
async def test_stream_of_one_user_opens_for_an_admin(service: Service, path: str) -> None:
    await service.open(path, token=ADMIN)


async def test_stream_takes_its_user_from_the_path_alone(service: Service) -> None:
    assert (await service.get("/v1/app/sse/42?userId=43", token=mint("43"))).status == 403


async def test_client_stream_opens_for_anonymous_in_demo_mode_only(start: Start) -> None:
    demo = await start(auth_mode="demo")

    await demo.open("/sse/connect?clientId=anybody")
    assert (await demo.get("/v1/app/sse")).status == 401


@pytest.mark.parametrize("query", ["", "?clientId=", "?clientId=" + "x" * 129, "?clientId=a%0Ab"])
async def test_client_stream_wants_a_client_id(service: Service, query: str) -> None:
    assert (await service.get("/sse/connect" + query, token=ADMIN)).status == 400


async def test_client_stream_takes_a_client_id_of_128_characters(service: Service) -> None:
    await service.open("/sse/connect?clientId=" + "x" * 128, token=ADMIN)


@pytest.mark.parametrize("path", ALL)
async def test_head_of_a_stream_is_that_of_the_stream(start: Start, path: str) -> None:
    service = await start()
    await give_account(service)
    stream = await service.open(path, token=mint("42"))

    head = await service.call("HEAD", path, token=mint("42"))

    assert (head.status, head.body) == (200, b"")
    differs = {"Date", "X-Request-ID", "Connection", "Transfer-Encoding"}
    assert {name: value for name, value in head.headers.items() if name not in differs} == {
        name: value for name, value in stream.headers.items() if name not in differs
    }


async def test_head_of_a_stream_takes_no_slot(start: Start) -> None:
    service = await start(max_connections=1)
    await service.open("/custom/stream")

    for _ in range(3):
        assert (await service.call("HEAD", "/custom/stream")).status == 200
    assert len(service.node.connections) == 1


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("bad", 401), (mint("43"), 403)])
async def test_head_of_a_stream_wants_the_same_rights(
    service: Service, token: str | None, status: int
) -> None:
    head = await service.call("HEAD", "/v1/app/sse/42", token=token)

    assert (head.status, head.body) == (status, b"")


async def test_head_of_a_stream_is_refused_where_the_stream_would_be(service: Service) -> None:
    assert (await service.call("HEAD", "/v1/stream?topics=nothing", token=mint("42"))).status == 400
    service.node.connections.accepting = False
    assert (await service.call("HEAD", "/v1/app/sse", token=mint("42"))).status == 503


async def test_chat_stream_wants_a_room(service: Service) -> None:
    assert (await service.get("/chat/stream", token=mint("42"))).status == 400


@pytest.mark.parametrize(
    ("token", "room", "status"),
    [
        (mint("42"), "general", 200),
        (mint("42"), "staff", 403),
        (mint("42", rooms=["staff"]), "staff", 200),
        (mint("42", rooms=["staff"]), "general", 403),
        (mint("42", rooms=[]), "general", 403),
        (mint("42", rooms=["*"]), "staff", 403),
        (mint("root", "admin"), "staff", 200),
        (mint("root", "admin", rooms=[]), "staff", 200),
        (SERVICE, "staff", 200),
    ],
)
async def test_chat_room_opens_by_claim_setting_or_role(
    service: Service, token: str, room: str, status: int
) -> None:
    response = await service.client.get(
        f"/chat/stream?room={room}", headers={"Authorization": f"Bearer {token}"}
    )

    assert response.status == status
    response.close()


async def test_chat_rooms_are_those_of_the_setting(start: Start) -> None:
    service = await start(open_rooms="lobby, bar")

    await service.open("/chat/stream?room=bar", token=mint("42"))
    assert (await service.get("/chat/stream?room=general", token=mint("42"))).status == 403


async def test_chat_rooms_are_all_open_by_a_star(start: Start) -> None:
    service = await start(open_rooms="*")

    await service.open("/chat/stream?room=anything", token=mint("42"))


async def test_chat_rooms_are_all_open_in_demo_mode(start: Start) -> None:
    service = await start(auth_mode="demo")

    await service.open("/chat/stream?room=anything", token=demo_token("42", ("user",)))
