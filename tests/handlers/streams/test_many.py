"""Many topics on one stream: ``/v1/stream``."""

from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from yarl import URL

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


ROOMS = ["a,b", "a+b", "a b", "a&topics=x", "100%", "a%2Cb", "ä,é", "chat:x", ","]


def _topics(rooms: list[str]) -> list[str]:
    return [f"chat:{room}" for room in rooms]


@pytest.mark.parametrize(
    "query",
    [
        "topics=" + ",".join(map(quote, _topics(ROOMS))),
        "topics=" + ",".join(map(quote_plus, _topics(ROOMS))),
        "&".join("topics=" + quote(topic) for topic in _topics(ROOMS)),
        "x=1&topics=app&" + urlencode([("topics", topic) for topic in _topics(ROOMS)]),
    ],
    ids=["one list", "with + for a space", "one after another", "as a form"],
)
async def test_many_takes_rooms_of_any_name(service: Service, query: str) -> None:
    stream = await service.open(URL(f"/v1/stream?{query}", encoded=True), token=ADMIN)

    for room in ROOMS:
        await service.publish(room=room, data=1)

    assert [event.event for event in await stream.events(len(ROOMS))] == _topics(ROOMS)


async def test_many_takes_a_list_that_was_encoded_as_a_whole(service: Service) -> None:
    stream = await service.open(
        URL("/v1/stream?topics=app%2Cnotifications%2Cchat%3Ageneral", encoded=True), token=mint("42")
    )

    await service.publish(room="general", data=1)
    await service.publish(userId="42", data=2)

    assert [event.event for event in await stream.events(2)] == ["chat:general", "app"]


async def test_room_with_a_comma_has_a_stream_of_its_own(service: Service) -> None:
    stream = await service.open("/chat/stream?room=a%2Cb", token=ADMIN)

    await service.publish(room="a,b", data=1)

    assert (await stream.event()).data == "1"


async def test_many_names_every_unknown_topic(service: Service) -> None:
    answer = await service.get("/v1/stream?topics=app,what,chat,else:x", token=mint("42"))

    assert answer.status == 400
    assert answer.json["detail"].startswith("unknown topic: 'what', 'chat', 'else:x'; there are ")


@pytest.mark.parametrize("method", ["POST", "QUERY"])
async def test_many_takes_long_names_in_a_body(service: Service, method: str) -> None:
    rooms = [f"{number:,}" + "é" * 120 for number in range(1000, 1032)]
    stream = await service.open("/v1/stream", method=method, token=ADMIN, json={"topics": _topics(rooms)})

    for room in rooms:
        await service.publish(room=room, data=1)

    assert [event.event for event in await stream.events(32)] == _topics(rooms)


@pytest.mark.parametrize("where", ["header", "query", "body"])
async def test_many_by_a_body_goes_on_behind_the_last_id(service: Service, where: str) -> None:
    last = await service.publish(userId="42", data=1)
    await service.publish(userId="42", data=2)

    stream = await service.open(
        "/v1/stream" + (f"?lastEventId={last}" if where == "query" else ""),
        method="POST",
        token=mint("42"),
        json={"topics": ["app"], **({"lastEventId": last} if where == "body" else {})},
        headers={"Last-Event-ID": last} if where == "header" else {},
    )

    assert (await stream.event()).data == "2"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"topics": ["app"]}, 401),
        ({"topics": []}, 422),
        ({"topics": "app"}, 422),
        ({"topics": ["app", 1]}, 422),
        ({"topics": ["app"], "more": 1}, 422),
        ({}, 422),
        ([], 422),
        ({"topics": [""]}, 400),
        ({"topics": ["what"]}, 400),
        ({"topics": ["app,notifications"]}, 400),
        ({"topics": [f"chat:{number}" for number in range(33)]}, 400),
        ({"topics": ["app", "chat:staff"]}, 403),
    ],
)
async def test_many_by_a_body_is_refused_as_by_a_query(service: Service, body: Any, status: int) -> None:
    token = None if status == 401 else mint("42")

    answer = await service.post("/v1/stream", token=token, json=body)

    assert answer.status == status
    assert len(service.node.connections) == 0


async def test_many_by_a_body_is_not_for_another_sites_page_with_a_cookie(service: Service) -> None:
    headers = {"Cookie": f"access_token={mint('42')}", "Origin": "https://evil.example"}

    answer = await service.post("/v1/stream", json={"topics": ["app"]}, headers=headers)

    assert answer.status == 403
