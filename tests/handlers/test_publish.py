"""``POST /v1/events``: one event, a list, refusals with the index, keys that publish once."""

import sqlite3
from typing import Any

import pytest

from events.engines.embedded import EmbeddedEngine
from tests.conftest import Answer, Clock, Service, Start, mint

SERVICE = mint("publisher", "service")
OTHER = mint("another", "service")
ADMIN = mint("root", "admin")


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


async def _post(service: Service, body: Any, token: str | None = SERVICE, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.post("/v1/events", token=token, json=body, headers=named)


# -- who ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("bad", 401), (mint("42"), 403), (SERVICE, 200), (ADMIN, 200)]
)
async def test_publishing_is_for_services_and_admins(
    service: Service, token: str | None, status: int
) -> None:
    assert (await _post(service, {"broadcast": True, "data": 1}, token)).status == status


# -- what -----------------------------------------------------------------------------------------


async def test_one_event_is_answered_with_its_id(service: Service) -> None:
    answer = await _post(service, {"userId": "42", "data": 1})

    assert answer.status == 200
    assert answer.json == {"id": f"{service.node.engine.epoch}-1"}
    assert answer.headers["Content-Type"].startswith("application/json")


async def test_list_is_answered_with_its_ids_in_order(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    answer = await _post(service, [{"userId": "42", "data": number} for number in range(3)])

    events = await stream.events(3)
    assert answer.json == {"ids": [event.id for event in events]}
    assert [event.data for event in events] == ["0", "1", "2"]


async def test_list_of_one_is_a_list(service: Service) -> None:
    assert len((await _post(service, [{"broadcast": True, "data": 1}])).json["ids"]) == 1


async def test_list_may_follow_white_space(service: Service) -> None:
    answer = await service.post("/v1/events", token=SERVICE, data=b' \r\n\t[{"broadcast":true,"data":1}]')

    assert len(answer.json["ids"]) == 1


async def test_ids_rise_through_topics(service: Service) -> None:
    bodies = [
        {"userId": "1", "data": 1},
        {"topic": "realtime", "broadcast": True, "data": 1},
        {"room": "x", "data": 1},
    ]

    ids = [(await _post(service, body)).json["id"] for body in bodies]

    assert [int(id_.partition("-")[2]) for id_ in ids] == [1, 2, 3]
    assert len({id_.partition("-")[0] for id_ in ids}) == 1


@pytest.mark.parametrize(
    "data", [None, 0, True, "", "text", [], {}, {"b": [1, {"a": None}], "a": "ü\u2028😀"}, 2**63, 1.5]
)
async def test_data_may_be_any_json(service: Service, data: Any) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    await _post(service, {"userId": "42", "data": data})

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


# -- refusals -------------------------------------------------------------------------------------

GOOD = {"userId": "42", "data": 1}
BAD: dict[str, dict[str, Any]] = {
    "no data": {"userId": "42"},
    "no audience": {"data": 1},
    "two audiences": {"userId": "42", "broadcast": True, "data": 1},
    "user and users": {"userId": "42", "userIds": ["43"], "data": 1},
    "broadcast false": {"broadcast": False, "data": 1},
    "no users": {"userIds": [], "data": 1},
    "too many users": {"userIds": [str(number) for number in range(1001)], "data": 1},
    "empty user": {"userId": "", "data": 1},
    "long user": {"userId": "x" * 129, "data": 1},
    "user with a control": {"userId": "a\nb", "data": 1},
    "user is a list": {"userId": ["42"], "data": 1},
    "user is true": {"userId": True, "data": 1},
    "unknown topic": {"topic": "nothing", "broadcast": True, "data": 1},
    "empty topic": {"topic": "", "broadcast": True, "data": 1},
    "chat without a room": {"topic": "chat", "broadcast": True, "data": 1},
    "room and another topic": {"topic": "realtime", "room": "general", "data": 1},
    "room and another room": {"topic": "chat:other", "room": "general", "data": 1},
    "topic that takes no room": {"topic": "app:x", "broadcast": True, "data": 1},
    "presence": {"topic": "presence", "broadcast": True, "data": 1},
    "system": {"topic": "system", "broadcast": True, "data": 1},
    "custom": {"topic": "custom", "broadcast": True, "data": 1},
    "event with a line end": {**GOOD, "event": "a\nid: 1"},
    "event with a return": {**GOOD, "event": "a\rdata: x"},
    "event with a nul": {**GOOD, "event": "a\0"},
    "event of the service's own": {**GOOD, "event": "sse.expired"},
    "empty event": {**GOOD, "event": ""},
    "ttl of nothing": {**GOOD, "ttl": 0},
    "ttl below": {**GOOD, "ttl": -1},
    "empty key": {**GOOD, "key": ""},
    "long key": {**GOOD, "key": "x" * 257},
    "unknown field": {**GOOD, "colour": "red"},
    "data too large": {**GOOD, "data": "x" * 70_000},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_bad_event_is_refused(service: Service, bad: dict[str, Any]) -> None:
    answer = await _post(service, bad)

    assert answer.status == 422
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json["errors"][0]["index"] == 0
    assert answer.json["errors"][0]["detail"]
    assert service.node.engine.head == 0


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_list_with_one_bad_event_is_refused_whole(service: Service, bad: dict[str, Any]) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    answer = await _post(service, [GOOD, GOOD, bad, GOOD])
    await service.publish(userId="42", data="end")

    assert answer.status == 422
    assert {error["index"] for error in answer.json["errors"]} == {2}
    assert (await stream.event()).data == "end"


async def test_list_names_each_of_its_bad_events(service: Service) -> None:
    answer = await _post(service, [{**GOOD, "ttl": -1}, GOOD, {"userId": "", "data": 1}])

    assert {error["index"] for error in answer.json["errors"]} == {0, 2}


@pytest.mark.parametrize("body", [[], [1], ["x"], [[]], [None]])
async def test_list_of_no_events_is_refused(service: Service, body: list[Any]) -> None:
    assert (await _post(service, body)).status == 422


async def test_list_is_bounded(start: Start) -> None:
    service = await start(max_batch_events=3)

    assert (await _post(service, [GOOD] * 3)).status == 200
    assert (await _post(service, [GOOD] * 4)).status == 422


async def test_event_of_just_the_limit_passes(start: Start) -> None:
    service = await start(max_event_bytes=64)

    assert (await _post(service, {**GOOD, "data": "x" * 62})).status == 200
    assert (await _post(service, {**GOOD, "data": "x" * 63})).status == 422


async def test_refusal_does_not_quote_the_data(service: Service) -> None:
    answer = await _post(service, {"userId": "", "data": "very-secret"})

    assert b"very-secret" not in answer.body


@pytest.mark.parametrize("digits", [400, 4_300, 5_000, 20_000])
async def test_number_of_many_digits_is_answered(service: Service, digits: int) -> None:
    """Python refuses to write integers of more than 4300 digits as text; the publisher must hear of it."""
    body = b'{"topic":"realtime","broadcast":true,"data":{"entityType":"x","entityId":%b}}' % (b"9" * digits)

    answer = await service.post("/v1/events", token=SERVICE, data=body)

    assert answer.status in (200, 400, 422)


# -- once -----------------------------------------------------------------------------------------


async def test_key_publishes_once_and_answers_with_the_first_id(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    first = await _post(service, {**GOOD, "key": "k"})
    again = await _post(service, {**GOOD, "key": "k", "data": "other"})
    await service.publish(userId="42", data="end")

    assert first.json == again.json
    assert [event.data for event in await stream.events(2)] == ["1", "end"]


async def test_header_is_the_key_of_one_event(service: Service) -> None:
    first = await _post(service, GOOD, Idempotency_Key="k")
    by_header = await _post(service, GOOD, Idempotency_Key="k")
    by_field = await _post(service, {**GOOD, "key": "k"})

    assert first.json == by_header.json == by_field.json


async def test_key_of_the_event_goes_before_the_header(service: Service) -> None:
    first = await _post(service, {**GOOD, "key": "mine"}, Idempotency_Key="header")

    assert (await _post(service, {**GOOD, "key": "mine"})).json == first.json
    assert (await _post(service, {**GOOD, "key": "header"})).json != first.json


async def test_header_keeps_all_else_of_the_event(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    await _post(
        service, {"userIds": [42], "event": "named", "ttl": 60, "data": {"a": 1}}, Idempotency_Key="k"
    )

    event = await stream.event()
    assert (event.event, event.data) == ("named", '{"a":1}')


async def test_header_with_a_list_is_refused(service: Service) -> None:
    assert (await _post(service, [GOOD], Idempotency_Key="k")).status == 400


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_header_that_is_no_key_is_refused(service: Service, key: str) -> None:
    assert (await _post(service, GOOD, Idempotency_Key=key)).status == 422


async def test_key_of_another_publisher_is_another_key(service: Service) -> None:
    mine = await _post(service, {**GOOD, "key": "k"})
    theirs = await _post(service, {**GOOD, "key": "k"}, OTHER)

    assert mine.json != theirs.json


async def test_key_within_one_list_publishes_once(service: Service) -> None:
    keyed = {**GOOD, "key": "k"}

    first, second, third = (await _post(service, [keyed, GOOD, keyed])).json["ids"]

    assert first == third != second


async def test_key_is_forgotten_after_its_time(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock, idempotency_s=60)
    first = await _post(service, {**GOOD, "key": "k"})
    clock.advance(61)

    assert (await _post(service, {**GOOD, "key": "k"})).json != first.json


# -- when the store can't -------------------------------------------------------------------------


async def test_event_that_cannot_be_kept_is_503_and_reaches_nobody(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    stream = await service.open("/v1/app/sse/42", token=mint("42"))
    engine = service.node.engine
    assert isinstance(engine, EmbeddedEngine)

    def full(*_: object) -> list[Any]:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(engine._store, "append", full)
        answer = await _post(service, GOOD)
        ready = await service.get("/readyz")
    await service.publish(userId="42", data="after")

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert b"disk" not in answer.body
    assert ready.status in (200, 503)
    assert (await stream.event()).data == "after"
