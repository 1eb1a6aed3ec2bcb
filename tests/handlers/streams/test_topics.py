"""What arrives on the stream of each topic, and what does not."""

from typing import Any

import pytest

from tests.conftest import Listen, Service, Start, mint
from tests.handlers.streams.every import ADMIN, SERVICE, STREAMS_FOR_ANYONE
from tests.handlers.streams.raw import open_raw, publish


async def test_app_stream_gives_what_is_for_its_user_or_for_all(service: Service) -> None:
    stream = await service.open("/v1/app/sse", token=mint("42"))

    await service.publish(userId="43", data="another's")
    await service.publish(topic="notifications", broadcast=True, data="another topic's")
    mine = await service.publish(userId=42, data={"z": 1, "a": [1, 2]})
    everybodys = await service.publish(broadcast=True, data="for all")

    first, second = await stream.events(2)
    assert (first.id, first.event, first.data) == (mine, None, '{"z":1,"a":[1,2]}')
    assert (second.id, second.data) == (everybodys, "for all")


async def test_app_stream_of_an_admin_gives_what_is_for_anyone_once(service: Service) -> None:
    stream = await service.open("/v1/app/sse", token=ADMIN)

    ids = [
        await service.publish(userIds=["1", "2", "root"], data=1),
        await service.publish(userId="3", data=2),
        await service.publish(broadcast=True, data=3),
    ]

    assert [event.id for event in await stream.events(3)] == ids


async def test_app_user_stream_writes_nothing_at_all_for_others(listen: Listen) -> None:
    server = await listen()
    peer = await open_raw(server, "/v1/app/sse/42", mint("42"))
    await publish(server.node, userId="43", data="another's")
    await publish(server.node, userId="42", data="mine")

    assert b"data: mine\n" in await peer.chunk()


async def test_app_user_stream_of_an_admin_gives_that_users_only(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=ADMIN)

    await service.publish(userId="root", data="the admin's own")
    await service.publish(userId="42", data="theirs")

    assert (await stream.event()).data == "theirs"


async def test_client_stream_gives_that_clients_and_broadcasts(service: Service) -> None:
    stream = await service.open("/sse/connect?clientId=web-1", token=ADMIN)

    await service.publish(topic="client", userId="web-2", data={"type": "custom"})
    await service.publish(topic="client", userId="web-1", data={"type": "notification", "message": "hi"})
    await service.publish(topic="client", broadcast=True, data={"type": "custom", "action": "reload"})

    first, second = await stream.events(2)
    assert first.json == {"type": "notification", "message": "hi"}
    assert second.json["action"] == "reload"


async def test_notification_stream_gives_ones_own_and_those_for_all(service: Service) -> None:
    stream = await service.open("/notifications/stream", token=mint("42"))

    await service.publish(topic="notifications", userIds=["1", "2"], data="others'")
    await service.publish(topic="notifications", userIds=["1", 42], data="mine too")
    await service.publish(topic="notifications", broadcast=True, data="for all")

    assert [event.data for event in await stream.events(2)] == ["mine too", "for all"]


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("", ["order/1", "order/2", "user/1"]),
        ("?entityType=order", ["order/1", "order/2"]),
        ("?entityId=1", ["order/1", "user/1"]),
        ("?entityType=order&entityId=1", ["order/1"]),
        ("?entityType=nothing", []),
    ],
)
async def test_realtime_stream_narrows(service: Service, query: str, seen: list[str]) -> None:
    stream = await service.open("/realtime/stream" + query, token=mint("42"))

    for entity in ("order/1", "order/2", "user/1"):
        type_, id_ = entity.split("/")
        await _update(service, type_, id_)
    type_, id_ = _asked_for(query)
    await _update(service, type_ or "any", id_ or "any", data="end")

    got = []
    while (event := await stream.event()).json["data"] != "end":
        got.append(f"{event.json['entityType']}/{event.json['entityId']}")
    assert got == seen


async def test_realtime_stream_finds_an_entity_whose_id_is_a_number(service: Service) -> None:
    stream = await service.open("/realtime/stream?entityId=7", token=mint("42"))

    await service.publish(topic="realtime", broadcast=True, data={"entityType": "order", "entityId": 7})

    assert (await stream.event()).json["entityId"] == 7


async def test_chat_stream_gives_the_rooms_messages_only(service: Service) -> None:
    stream = await service.open("/chat/stream?room=general", token=mint("42"))

    await service.publish(room="other", data="elsewhere")
    await service.publish(room="general", data="here")

    assert (await stream.event()).data == "here"


async def test_system_stream_gives_the_body_of_the_status(service: Service) -> None:
    stream = await service.open("/system/status/stream")
    event = await stream.event()
    status = (await service.get("/system/status")).json

    assert event.id is None
    assert event.event is None
    assert event.json.keys() == status.keys()


async def test_sampled_stream_comes_again_at_its_interval(start: Start) -> None:
    service = await start(custom_interval_s=0.01, status_interval_s=0.01)

    for path in STREAMS_FOR_ANYONE:
        stream = await service.open(path)
        assert len(await stream.events(3)) == 3


async def test_custom_stream_gives_what_the_guide_shows(service: Service) -> None:
    event = (await (await service.open("/custom/stream")).event()).json

    assert event.pop("timestamp").endswith("Z")
    assert isinstance(event.pop("customData"), str)
    assert event == {"hello": "world"}


def _asked_for(query: str) -> tuple[str, str]:
    given = dict(part.split("=") for part in query.lstrip("?").split("&") if part)
    return given.get("entityType", ""), given.get("entityId", "")


async def _update(service: Service, type_: str, id_: str, data: Any = None) -> None:
    body = {"entityType": type_, "entityId": id_, "action": "updated", "data": data}
    assert (await service.post("/realtime/update", token=SERVICE, json=body)).status == 200
