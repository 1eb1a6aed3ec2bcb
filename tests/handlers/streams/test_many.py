"""Many topics on one stream: ``/v1/stream``."""

import pytest

from tests.conftest import Service, Start, mint
from tests.handlers.streams.every import ADMIN


async def test_many_names_each_event_by_its_topic(service: Service) -> None:
    stream = await service.open("/v1/stream?topics=app,notifications,chat:general,client", token=mint("42"))

    await service.publish(userId="42", data="as it was")
    await service.publish(userId="42", event="order_paid", data=1)
    await service.publish(topic="notifications", broadcast=True, data=2)
    await service.publish(room="general", event="typing", data=3)
    await service.publish(topic="client", userId="42", data=4)
    await service.publish(topic="realtime", broadcast=True, data="not asked for")
    await service.publish(broadcast=True, data="end")

    named = [(event.event, event.data) for event in await stream.events(6)]
    assert named == [
        ("app", "as it was"),
        ("app/order_paid", "1"),
        ("notifications", "2"),
        ("chat:general/typing", "3"),
        ("client", "4"),
        ("app", "end"),
    ]


async def test_stream_of_one_topic_names_an_event_only_as_its_publisher_did(service: Service) -> None:
    stream = await service.open("/v1/app/sse", token=mint("42"))

    await service.publish(userId="42", event="order_paid", data=1)
    await service.publish(userId="42", data=2)

    assert [event.event for event in await stream.events(2)] == ["order_paid", None]


async def test_many_gives_an_event_once_though_topics_repeat(service: Service) -> None:
    stream = await service.open("/v1/stream?topics=app,app,", token=mint("42"))

    await service.publish(userId="42", data=1)
    await service.publish(userId="42", data=2)

    assert [event.data for event in await stream.events(2)] == ["1", "2"]


@pytest.mark.parametrize(
    "topics",
    ["", ",", "nothing", "app,nothing", "chat", "chat:", "app:room", "APP", "sse.gap", "chat:" + "x" * 129],
)
async def test_many_refuses_an_unknown_topic(service: Service, topics: str) -> None:
    answer = await service.get("/v1/stream", params={"topics": topics}, token=mint("42"))

    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_many_wants_topics(service: Service) -> None:
    assert (await service.get("/v1/stream", token=mint("42"))).status == 400


async def test_many_is_refused_whole_for_one_topic_that_is_not_allowed(service: Service) -> None:
    answer = await service.get("/v1/stream?topics=app,chat:staff", token=mint("42"))

    assert answer.status == 403
    assert len(service.node.connections) == 0


async def test_many_bounds_the_topics(start: Start) -> None:
    service = await start(max_topics=2)

    await service.open("/v1/stream?topics=app,realtime", token=mint("42"))
    assert (await service.get("/v1/stream?topics=app,realtime,client", token=mint("42"))).status == 400


async def test_many_gives_an_admin_all_of_app(service: Service) -> None:
    stream = await service.open("/v1/stream?topics=app", token=ADMIN)

    await service.publish(userId="somebody", data=1)

    assert (await stream.event()).data == "1"


async def test_many_begins_with_a_sample_of_what_is_sampled(start: Start) -> None:
    service = await start(custom_interval_s=3600)

    stream = await service.open("/v1/stream?topics=custom", token=mint("42"))

    assert (await stream.event()).event == "custom"


async def test_many_begins_with_a_sample_beside_topics_that_are_kept(start: Start) -> None:
    service = await start(custom_interval_s=3600)

    stream = await service.open("/v1/stream?topics=app,custom", token=mint("42"))
    await service.publish(userId="42", data="live")

    assert (await stream.event()).event == "custom"
    assert (await stream.event()).event == "app"
