"""``POST /v1/events``: who may, what is answered for one event and for a list, what reaches whom."""

from typing import Any

import pytest

from tests.conftest import Service, mint
from tests.handlers.publish.posting import ADMIN, SERVICE, post


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("bad", 401), (mint("42"), 403), (SERVICE, 200), (ADMIN, 200)]
)
async def test_publishing_is_for_services_and_admins(
    service: Service, token: str | None, status: int
) -> None:
    assert (await post(service, {"broadcast": True, "data": 1}, token)).status == status


async def test_one_event_is_answered_with_its_id(service: Service) -> None:
    answer = await post(service, {"userId": "42", "data": 1})

    assert answer.status == 200
    assert answer.json == {"id": f"{service.node.engine.epoch}-1"}
    assert answer.headers["Content-Type"].startswith("application/json")


async def test_list_is_answered_with_its_ids_in_order(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    answer = await post(service, [{"userId": "42", "data": number} for number in range(3)])

    events = await stream.events(3)
    assert answer.json == {"ids": [event.id for event in events]}
    assert [event.data for event in events] == ["0", "1", "2"]


async def test_list_of_one_is_a_list(service: Service) -> None:
    assert len((await post(service, [{"broadcast": True, "data": 1}])).json["ids"]) == 1


async def test_list_may_follow_white_space(service: Service) -> None:
    answer = await service.post("/v1/events", token=SERVICE, data=b' \r\n\t[{"broadcast":true,"data":1}]')

    assert len(answer.json["ids"]) == 1


async def test_ids_rise_through_topics(service: Service) -> None:
    bodies = [
        {"userId": "1", "data": 1},
        {"topic": "realtime", "broadcast": True, "data": 1},
        {"room": "x", "data": 1},
    ]

    ids = [(await post(service, body)).json["id"] for body in bodies]

    assert [int(id_.partition("-")[2]) for id_ in ids] == [1, 2, 3]
    assert len({id_.partition("-")[0] for id_ in ids}) == 1


@pytest.mark.parametrize(
    "data", [None, 0, True, "", "text", [], {}, {"b": [1, {"a": None}], "a": "ü\u2028😀"}, 2**63, 1.5]
)
async def test_data_may_be_any_json(service: Service, data: Any) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    await post(service, {"userId": "42", "data": data})

    event = await stream.event()
    assert event.data == data if isinstance(data, str) else event.json == data


async def test_data_keeps_the_order_of_its_keys_and_is_compact(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    await service.post("/v1/events", token=SERVICE, data=b'{"userId": 42, "data": {"z": 1, "a":\n [1, 2]}}')

    assert (await stream.event()).data == '{"z":1,"a":[1,2]}'


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb", "\n", "\n\n", "a\n\nid: forged\n\ndata: x", " a"])
async def test_text_can_forge_no_field_and_no_frame(service: Service, text: str) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    id_ = await service.publish(userId="42", data=text)
    await service.publish(userId="42", data="end")

    first, second = await stream.events(2)
    assert first.data == text.replace("\r\n", "\n").replace("\r", "\n")
    assert first.id == id_
    assert second.data == "end"


@pytest.mark.parametrize(
    "audience",
    [{"userId": "42"}, {"userId": 42}, {"userIds": ["42"]}, {"userIds": [41, 42, "42"]}, {"broadcast": True}],
)
async def test_audience_is_reached_once(service: Service, audience: dict[str, Any]) -> None:
    stream = await service.open("/v1/app/sse", token=mint("42"))

    await service.publish(**audience, data=1)
    await service.publish(userId="42", data=2)

    assert [event.data for event in await stream.events(2)] == ["1", "2"]


@pytest.mark.parametrize("topic", [{}, {"topic": "chat"}, {"topic": "chat:general"}])
async def test_room_means_the_rooms_topic(service: Service, topic: dict[str, str]) -> None:
    stream = await service.open("/chat/stream?room=general", token=mint("42"))

    await service.publish(room="general", data=1, **topic)

    assert (await stream.event()).data == "1"
