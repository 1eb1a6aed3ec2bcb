"""``POST /v1/events``: keys that publish once, in the event or in a header, for one publisher and for a time."""

from typing import Any

import pytest

from sse_push.events.event import PushEvent
from sse_push.events.topics import is_name
from sse_push.service.node import INBOX
from tests.conftest import Clock, Service, Start, mint
from tests.handlers.publish.posting import GOOD, OTHER, SERVICE, post


async def test_key_publishes_once_and_answers_with_the_first_id(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    first = await post(service, {**GOOD, "key": "k"})
    again = await post(service, {**GOOD, "key": "k"})
    await service.publish(userId="42", data="end")

    assert first.json == again.json
    assert [event.data for event in await stream.events(2)] == ["1", "end"]


async def test_header_is_the_key_of_one_event(service: Service) -> None:
    first = await post(service, GOOD, Idempotency_Key="k")
    by_header = await post(service, GOOD, Idempotency_Key="k")
    by_field = await post(service, {**GOOD, "key": "k"})

    assert first.json == by_header.json == by_field.json


async def test_key_of_the_event_goes_before_the_header(service: Service) -> None:
    first = await post(service, {**GOOD, "key": "mine"}, Idempotency_Key="header")

    assert (await post(service, {**GOOD, "key": "mine"})).json == first.json
    assert (await post(service, {**GOOD, "key": "header"})).json != first.json


async def test_header_keeps_all_else_of_the_event(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    await post(service, {"userIds": [42], "event": "named", "ttl": 60, "data": {"a": 1}}, Idempotency_Key="k")

    event = await stream.event()
    assert (event.event, event.data) == ("named", '{"a":1}')


async def test_header_with_a_list_is_refused(service: Service) -> None:
    assert (await post(service, [GOOD], Idempotency_Key="k")).status == 400


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_header_that_is_no_key_is_refused(service: Service, key: str) -> None:
    assert (await post(service, GOOD, Idempotency_Key=key)).status == 422


async def test_key_of_another_publisher_is_another_key(service: Service) -> None:
    mine = await post(service, {**GOOD, "key": "k"})
    theirs = await post(service, {**GOOD, "key": "k"}, OTHER)

    assert mine.json != theirs.json


async def test_key_within_one_list_publishes_once(service: Service) -> None:
    keyed = {**GOOD, "key": "k"}

    first, second, third = (await post(service, [keyed, GOOD, keyed])).json["ids"]

    assert first == third != second


@pytest.mark.parametrize(
    "other",
    [{"data": 2}, {"userId": "43"}, {"topic": "notifications"}, {"event": "named"}, {"ttl": 60}],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.parametrize("by_header", [True, False], ids=["header", "field"])
async def test_key_used_for_another_event_is_refused_and_publishes_nothing(
    service: Service, other: dict[str, Any], by_header: bool
) -> None:
    field, header = ({}, {"Idempotency_Key": "k"}) if by_header else ({"key": "k"}, {})
    first = await post(service, {**GOOD, **field}, **header)
    refused = await post(service, {**GOOD, **other, **field}, **header)

    assert (first.status, refused.status) == (200, 422)
    assert "idempotency key" in refused.json["detail"]
    assert refused.json["errors"] == [{"index": 0, "detail": refused.json["detail"]}]
    assert service.node.engine.head == 1
    assert (await post(service, {**GOOD, **field}, **header)).json == first.json


async def test_retry_that_is_written_otherwise_is_a_retry(service: Service) -> None:
    bodies = [
        '{"userId":"42","key":"k","data":{"a":"é","b":[1,{}]}}',
        '{ "data": {"b": [1, {}], "a": "\\u00e9"}, "key": "k", "topic": "app", "userId": 42 }',
    ]
    token = {"Authorization": f"Bearer {SERVICE}", "Content-Type": "application/json"}
    first, again = [await service.post("/v1/events", data=body, headers=token) for body in bodies]

    assert first.status == 200
    assert first.json == again.json


async def test_list_that_uses_keys_for_something_else_is_refused_whole_and_names_each(
    service: Service,
) -> None:
    await post(service, [{**GOOD, "key": "a"}, {**GOOD, "key": "b"}])
    refused = await post(
        service,
        [GOOD, {**GOOD, "data": 2, "key": "a"}, {**GOOD, "key": "b"}, {**GOOD, "data": 3, "key": "b"}],
    )

    assert refused.status == 422
    assert [error["index"] for error in refused.json["errors"]] == [1, 3]
    assert service.node.engine.head == 2


async def test_key_with_two_bodies_in_one_list_is_refused(service: Service) -> None:
    refused = await post(service, [{**GOOD, "key": "k"}, GOOD, {**GOOD, "data": 2, "key": "k"}])

    assert (refused.status, refused.json["errors"][0]["index"]) == (422, 2)
    assert service.node.engine.head == 0


async def test_keys_of_no_two_publishers_meet(service: Service) -> None:
    """Not that of the inbox, and not where one's name and key together read as another's."""
    names = ["a", "a b", "a:b", "redis", "inbox", "é", "\u2028"]
    ids = [
        (await post(service, {**GOOD, "key": key}, mint(name, "service"))).json["id"]
        for name in names
        for key in ("k", "b k", "b:k", "\x1fk", "entry 1-0 0")
    ]
    ids += await service.node.pipeline.publish(PushEvent(user_id="42", data=1, key="k"))
    ids += await service.node.pipeline.publish(PushEvent(user_id="42", data=1, key="k"), publisher=INBOX)

    assert len({*ids}) == len(ids)
    assert not is_name(INBOX), "a caller could be called so"


async def test_key_is_forgotten_after_its_time(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock, idempotency_ttl_s=60)
    first = await post(service, {**GOOD, "key": "k"})
    clock.advance(61)

    assert (await post(service, {**GOOD, "key": "k"})).json != first.json
