"""``POST /v1/events``: keys that publish once, in the event or in a header, for one publisher and for a time."""

import pytest

from tests.conftest import Clock, Service, Start, mint
from tests.handlers.publish.posting import GOOD, OTHER, post


async def test_key_publishes_once_and_answers_with_the_first_id(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    first = await post(service, {**GOOD, "key": "k"})
    again = await post(service, {**GOOD, "key": "k", "data": "other"})
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


async def test_key_is_forgotten_after_its_time(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock, idempotency_s=60)
    first = await post(service, {**GOOD, "key": "k"})
    clock.advance(61)

    assert (await post(service, {**GOOD, "key": "k"})).json != first.json
