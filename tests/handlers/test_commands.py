"""The commands: who may, what is sent on, what is refused."""

from typing import Any

import pytest

from sse_push.service.tokens import demo_token
from tests.conftest import Clock, Service, Start, mint

ADMIN = mint("root", "admin")
SERVICE = mint("publisher", "service")
USER = mint("42", name="Ann")
NOW = 1_768_732_200.0
STAMP = "2026-01-18T10:30:00.000Z"
NOTIFICATION = {"title": "Hello", "message": "world", "type": "info"}
UPDATE = {"entityType": "order", "entityId": "7", "action": "updated", "data": {"z": 1, "a": None}}
CHAT = {"roomId": "general", "message": "hi"}


@pytest.fixture
async def service(start: Start) -> Service:
    return await start(clock=Clock(NOW))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/app/push", {"message": "hi", "userId": 42}),
        ("/notifications/send", NOTIFICATION),
        ("/realtime/update", UPDATE),
    ],
)
@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("bad", 401), (USER, 403), (SERVICE, 200), (ADMIN, 200)]
)
async def test_command_is_for_services_and_admins(
    service: Service, path: str, body: dict[str, Any], token: str | None, status: int
) -> None:
    answer = await service.post(path, token=token, json=body)

    assert answer.status == status
    if status == 200:
        assert answer.json == {"id": f"{service.node.engine.epoch}-1"}


# -- POST /v1/app/push ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"message": "hi", "userId": 42},
        {"message": "hi", "userId": "42"},
        {"userId": 42, "message": "", "more": [1, None]},
    ],
)
async def test_push_goes_out_as_it_was_sent(service: Service, body: dict[str, Any]) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    await service.post("/v1/app/push", token=SERVICE, json=body)

    event = await stream.event()
    assert event.event is None
    assert list(event.json.items()) == list(body.items())


@pytest.mark.parametrize(
    "body",
    [
        {"message": "hi"},
        {"userId": 42},
        {"message": 1, "userId": []},
        {"message": "hi", "userId": ""},
        {"message": None, "userId": 1},
    ],
)
async def test_push_of_another_form_is_refused(service: Service, body: dict[str, Any]) -> None:
    assert (await service.post("/v1/app/push", token=SERVICE, json=body)).status == 422


# -- POST /notifications/send ---------------------------------------------------------------------


async def test_notification_is_what_its_users_get(service: Service) -> None:
    stream = await service.open("/notifications/stream", token=mint("42"))

    await service.post("/notifications/send", token=ADMIN, json={**NOTIFICATION, "userId": 42})

    assert (await stream.event()).json == {**NOTIFICATION, "timestamp": STAMP}


@pytest.mark.parametrize(
    ("audience", "reached"),
    [
        ({}, True),
        ({"userId": "42"}, True),
        ({"userId": 43}, False),
        ({"userIds": [1, 42]}, True),
        ({"userIds": ["1"]}, False),
        ({"userId": 1, "userIds": ["42"]}, True),
        ({"userId": None, "userIds": None}, True),
        ({"userId": "42", "userIds": ["42"]}, True),
    ],
)
async def test_notification_goes_to_those_named_or_to_all(
    service: Service, audience: dict[str, Any], reached: bool
) -> None:
    stream = await service.open("/notifications/stream", token=mint("42"))

    assert (
        await service.post("/notifications/send", token=ADMIN, json={**NOTIFICATION, **audience})
    ).status == 200
    await service.publish(topic="notifications", userId="42", data="end")

    first = await stream.event()
    assert (first.data != "end") is reached
    if reached:
        assert (await stream.event()).data == "end"


@pytest.mark.parametrize("type_", ["info", "success", "warning", "error"])
async def test_notification_has_four_types(service: Service, type_: str) -> None:
    assert (
        await service.post("/notifications/send", token=ADMIN, json={**NOTIFICATION, "type": type_})
    ).status == 200


@pytest.mark.parametrize(
    "change",
    [{"type": "shout"}, {"type": None}, {"title": ""}, {"title": None}, {"message": None}, {"userIds": []},
     {"userId": ""}, {"userIds": "42"}, {"colour": "red"}, {"title": "x" * 20_000}],
)  # fmt: skip
async def test_notification_of_another_form_is_refused(service: Service, change: dict[str, Any]) -> None:
    assert (
        await service.post("/notifications/send", token=ADMIN, json={**NOTIFICATION, **change})
    ).status == 422


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 422)])
async def test_notification_names_a_bounded_number_of_users(service: Service, more: int, status: int) -> None:
    body = {**NOTIFICATION, "userIds": [str(number) for number in range(1000 + more)]}

    assert (await service.post("/notifications/send", token=ADMIN, json=body)).status == status


async def test_notification_counts_the_one_user_among_the_bounded_number(service: Service) -> None:
    body = {**NOTIFICATION, "userId": "one more", "userIds": [str(number) for number in range(1000)]}

    assert (await service.post("/notifications/send", token=ADMIN, json=body)).status in (200, 422)


# -- POST /realtime/update ------------------------------------------------------------------------


@pytest.mark.parametrize("audience", [{"userId": 42}, {"userIds": ["7", "42"]}])
async def test_update_for_named_users_reaches_no_other(service: Service, audience: dict[str, Any]) -> None:
    theirs = await service.open("/realtime/stream?entityId=7", token=mint("42"))
    other = await service.open("/realtime/stream", token=mint("43"))

    await service.post("/realtime/update", token=SERVICE, json={**UPDATE, **audience})
    await service.post("/realtime/update", token=SERVICE, json={**UPDATE, "action": "deleted"})

    assert [(await theirs.event()).json["action"] for _ in range(2)] == ["updated", "deleted"]
    assert (await other.event()).json["action"] == "deleted"


async def test_update_is_what_subscribers_get(service: Service) -> None:
    stream = await service.open("/realtime/stream?entityType=order&entityId=7", token=mint("42"))

    await service.post("/realtime/update", token=SERVICE, json=UPDATE)

    event = (await stream.event()).json
    assert event == {**UPDATE, "timestamp": STAMP}
    assert list(event["data"]) == ["z", "a"]


async def test_update_takes_a_number_for_its_text(service: Service) -> None:
    stream = await service.open("/realtime/stream?entityId=7", token=mint("42"))

    await service.post("/realtime/update", token=SERVICE, json={**UPDATE, "entityId": 7})

    assert (await stream.event()).json["entityId"] == "7"


@pytest.mark.parametrize("action", ["created", "updated", "deleted"])
async def test_update_has_three_actions(service: Service, action: str) -> None:
    assert (
        await service.post("/realtime/update", token=SERVICE, json={**UPDATE, "action": action})
    ).status == 200


@pytest.mark.parametrize("change", [{"action": "eaten"}, {"entityType": ""}, {"entityId": None}, {"more": 1}])
async def test_update_of_another_form_is_refused(service: Service, change: dict[str, Any]) -> None:
    assert (await service.post("/realtime/update", token=SERVICE, json={**UPDATE, **change})).status == 422


async def test_update_wants_data(service: Service) -> None:
    body = {name: value for name, value in UPDATE.items() if name != "data"}

    assert (await service.post("/realtime/update", token=SERVICE, json=body)).status == 422


async def test_update_over_the_size_of_an_event_is_refused(service: Service) -> None:
    answer = await service.post("/realtime/update", token=SERVICE, json={**UPDATE, "data": "x" * 70_000})

    assert answer.status == 422


# -- POST /chat/send ------------------------------------------------------------------------------


async def test_chat_message_is_what_the_room_gets(service: Service) -> None:
    stream = await service.open("/chat/stream?room=general", token=mint("43"))

    answer = await service.post("/chat/send", token=USER, json=CHAT)

    event = await stream.event()
    assert event.json == {
        "roomId": "general",
        "message": "hi",
        "userId": "42",
        "username": "Ann",
        "timestamp": STAMP,
    }
    assert answer.json == {"id": event.id}


async def test_chat_message_of_one_without_a_name_bears_their_id(service: Service) -> None:
    stream = await service.open("/chat/stream?room=general", token=mint("43"))

    await service.post("/chat/send", token=mint("44"), json=CHAT)

    assert (await stream.event()).json["username"] == "44"


async def test_chat_message_of_a_demo_user_bears_their_name(start: Start) -> None:
    service = await start(auth_mode="demo")
    token = demo_token("7", ("user",), "bob")
    stream = await service.open("/chat/stream?room=general", token=token)

    await service.post("/chat/send", token=token, json=CHAT)

    assert (await stream.event()).json["username"] == "bob"


@pytest.mark.parametrize(
    ("token", "room", "status"),
    [
        (None, "general", 401),
        ("bad", "general", 401),
        (USER, "general", 200),
        (USER, "staff", 403),
        (mint("42", rooms=["staff"]), "staff", 200),
        (mint("42", rooms=["staff"]), "general", 403),
        (SERVICE, "staff", 200),
        (ADMIN, "staff", 200),
    ],
)
async def test_chat_is_for_those_allowed_in_the_room(
    service: Service, token: str | None, room: str, status: int
) -> None:
    assert (await service.post("/chat/send", token=token, json={**CHAT, "roomId": room})).status == status


@pytest.mark.parametrize(
    "change", [{"message": ""}, {"roomId": ""}, {"roomId": "x" * 129}, {"userId": "43"}, {"message": None}]
)
async def test_chat_message_of_another_form_is_refused(service: Service, change: dict[str, Any]) -> None:
    """Its author among the rest: nobody speaks in another's name."""
    assert (await service.post("/chat/send", token=ADMIN, json={**CHAT, **change})).status == 422


async def test_room_whose_name_has_a_colon_is_a_room(service: Service) -> None:
    stream = await service.open("/chat/stream", params={"room": "a:b"}, token=ADMIN)

    await service.post("/chat/send", token=ADMIN, json={**CHAT, "roomId": "a:b"})

    assert (await stream.event()).json["roomId"] == "a:b"


# -- all of them ----------------------------------------------------------------------------------

COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/app/push", {"message": "hi", "userId": 42}),
    ("/notifications/send", NOTIFICATION),
    ("/notifications/send", {**NOTIFICATION, "userIds": ["1", "2"]}),
    ("/realtime/update", UPDATE),
    ("/chat/send", CHAT),
]


@pytest.mark.parametrize(("path", "body"), COMMANDS)
async def test_command_with_a_key_publishes_once(start: Start, path: str, body: dict[str, Any]) -> None:
    service = await start(clock=(clock := Clock()))
    first = await service.post(path, token=ADMIN, json=body, headers={"Idempotency-Key": "k"})
    clock.advance(1)  # which the timestamps of some tell
    again = await service.post(path, token=ADMIN, json=body, headers={"Idempotency-Key": "k"})
    other = await service.post(path, token=ADMIN, json=body, headers={"Idempotency-Key": "other"})

    assert first.json == again.json != other.json
    assert service.node.engine.head == 2


@pytest.mark.parametrize(("path", "body"), COMMANDS)
async def test_key_used_for_another_command_or_body_is_refused(
    service: Service, path: str, body: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "k"}
    changed = {**body, next(name for name in ("message", "data") if name in body): "other"}
    first = await service.post(path, token=ADMIN, json=body, headers=headers)
    others = [await service.post(path, token=ADMIN, json=changed, headers=headers)]
    for other_path, other in [("/v1/events", {"userId": "42", "data": body}), *COMMANDS]:
        if other_path != path:
            others.append(await service.post(other_path, token=ADMIN, json=other, headers=headers))

    assert first.status == 200
    assert {answer.status for answer in others} == {422}
    assert all("idempotency key" in answer.json["errors"][0]["detail"] for answer in others)
    assert service.node.engine.head == 1


@pytest.mark.parametrize(("path", "body"), COMMANDS)
async def test_command_is_logged_without_what_it_says(
    service: Service, logged: list[dict[str, Any]], path: str, body: dict[str, Any]
) -> None:
    await service.post(path, token=ADMIN, json=body)

    [line] = [line for line in logged if line["event"] == "event.published"]
    assert line["publisher"] == "root"
    assert line["id"].endswith("-1")
    assert str(body.get("message", "order")) not in str(line)
