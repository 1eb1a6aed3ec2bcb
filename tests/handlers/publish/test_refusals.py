"""``POST /v1/events``: what is refused, a list as a whole and with the index; and what cannot be kept."""

import sqlite3
from typing import Any

import pytest

from sse_push.events.engines.embedded.engine import EmbeddedEngine
from tests.conftest import Service, Start, mint
from tests.handlers.publish.posting import GOOD, SERVICE, post

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
    answer = await post(service, bad)

    assert answer.status == 422
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json["errors"][0]["index"] == 0
    assert answer.json["errors"][0]["detail"]
    assert service.node.engine.head == 0


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_list_with_one_bad_event_is_refused_whole(service: Service, bad: dict[str, Any]) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    answer = await post(service, [GOOD, GOOD, bad, GOOD])
    await service.publish(userId="42", data="end")

    assert answer.status == 422
    assert {error["index"] for error in answer.json["errors"]} == {2}
    assert (await stream.event()).data == "end"


async def test_list_names_each_of_its_bad_events(service: Service) -> None:
    answer = await post(service, [{**GOOD, "ttl": -1}, GOOD, {"userId": "", "data": 1}])

    assert {error["index"] for error in answer.json["errors"]} == {0, 2}


@pytest.mark.parametrize("body", [[], [1], ["x"], [[]], [None]])
async def test_list_of_no_events_is_refused(service: Service, body: list[Any]) -> None:
    assert (await post(service, body)).status == 422


async def test_list_is_bounded(start: Start) -> None:
    service = await start(max_batch_events=3)

    assert (await post(service, [GOOD] * 3)).status == 200
    assert (await post(service, [GOOD] * 4)).status == 422


async def test_list_for_very_many_users_is_refused_whole_and_names_where_it_exceeds(service: Service) -> None:
    users = [f"user-{number}" for number in range(1000)]
    body = [{"userIds": users, "data": number} for number in range(12)]

    answer = await post(service, body)

    assert answer.status == 422
    [fault] = answer.json["errors"]
    assert fault["index"] == 9
    assert "MAX_ROUTING_KEYS" in fault["detail"]
    assert service.node.engine.head == 0
    assert (await post(service, body[:9])).status == 200


async def test_event_of_just_the_limit_passes(start: Start) -> None:
    service = await start(max_event_bytes=64)

    assert (await post(service, {**GOOD, "data": "x" * 62})).status == 200
    assert (await post(service, {**GOOD, "data": "x" * 63})).status == 422


async def test_refusal_does_not_quote_the_data(service: Service) -> None:
    answer = await post(service, {"userId": "", "data": "very-secret"})

    assert b"very-secret" not in answer.body


@pytest.mark.parametrize("digits", [400, 4_300, 5_000, 20_000])
async def test_number_of_many_digits_is_answered(service: Service, digits: int) -> None:
    """Python refuses to write integers of more than 4300 digits as text; the publisher must hear of it."""
    body = b'{"topic":"realtime","broadcast":true,"data":{"entityType":"x","entityId":%b}}' % (b"9" * digits)

    answer = await service.post("/v1/events", token=SERVICE, data=body)

    assert answer.status in (200, 400, 422)


async def test_event_that_cannot_be_kept_is_503_and_reaches_nobody(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    stream = await service.open("/v1/app/sse/42", token=mint("42"))
    engine = service.node.engine
    assert isinstance(engine, EmbeddedEngine)

    def full(*_: object) -> list[Any]:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(engine._store, "append", full)
        answer = await post(service, GOOD)
        ready = await service.get("/readyz")
    await service.publish(userId="42", data="after")

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert b"disk" not in answer.body
    assert ready.status in (200, 503)
    assert (await stream.event()).data == "after"
