"""Each stream of the contract: who may have it, what arrives on it, how it looks on the wire."""

import asyncio
import json
from typing import Any

import pytest

from service.streams import STREAMS
from service.tables import UserRow
from service.tokens import demo_token
from tests.conftest import Clock, Listen, Peer, Service, Start, mint, until

ADMIN = mint("root", "admin")
SERVICE = mint("publisher", "service")
STREAMS_FOR_USERS = [
    "/v1/app/sse",
    "/v1/app/sse/42",
    "/sse/connect?clientId=42",
    "/notifications/stream",
    "/realtime/stream",
    "/chat/stream?room=general",
    "/api/presence/stream",
    "/v1/stream?topics=app",
]
STREAMS_FOR_ANYONE = ["/system/status/stream", "/custom/stream"]
ALL = [*STREAMS_FOR_USERS, *STREAMS_FOR_ANYONE]


@pytest.fixture
async def service(start: Start, request: pytest.FixtureRequest) -> Service:
    service = await start()
    if "presence" in request.node.name:
        await give_account(service)
    return service


async def give_account(service: Service) -> None:
    """The presence stream is for those who have one."""
    async with service.node.database.write() as session:
        session.add(UserRow(id=42, email="", name="", role="user", password_hash="", created_at=0))


# -- who may --------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("path", ["/v1/app/sse", "/custom/stream", "/v1/stream?topics=app"])
async def test_stream_refuses_head(service: Service, path: str) -> None:
    assert (await service.call("HEAD", path, token=ADMIN)).status == 405


# -- what arrives ---------------------------------------------------------------------------------


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
    peer = await _open_raw(server, "/v1/app/sse/42", mint("42"))
    await _publish(server.node, userId="43", data="another's")
    await _publish(server.node, userId="42", data="mine")

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


# -- /v1/stream -----------------------------------------------------------------------------------


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


# -- resuming -------------------------------------------------------------------------------------

KEPT = [
    ("/v1/app/sse", {"userId": "42"}),
    ("/v1/app/sse/42", {"userId": "42"}),
    ("/sse/connect?clientId=42", {"topic": "client", "userId": "42"}),
    ("/notifications/stream", {"topic": "notifications", "broadcast": True}),
    ("/realtime/stream?a=b", {"topic": "realtime", "broadcast": True}),
    ("/chat/stream?room=general", {"room": "general"}),
    ("/v1/stream?topics=app", {"broadcast": True}),
]


@pytest.mark.parametrize(("path", "audience"), KEPT)
async def test_stream_resumes_without_a_hole_or_a_repeat(
    service: Service, path: str, audience: dict[str, Any]
) -> None:
    ids = [await service.publish(**audience, data=number) for number in range(5)]

    stream = await service.open(path, token=mint("42"), headers={"Last-Event-ID": ids[1]})
    ids.append(await service.publish(**audience, data="live"))

    assert [event.id for event in await stream.events(4)] == ids[2:]


async def test_stream_resumes_by_the_query_where_there_is_no_header(service: Service) -> None:
    ids = [await service.publish(userId="42", data=number) for number in range(3)]

    stream = await service.open(f"/v1/app/sse?lastEventId={ids[0]}", token=mint("42"))

    assert [event.id for event in await stream.events(2)] == ids[1:]


async def test_stream_resumes_by_the_header_rather_than_the_query(service: Service) -> None:
    ids = [await service.publish(userId="42", data=number) for number in range(3)]

    stream = await service.open(f"/v1/app/sse?lastEventId={ids[0]}", token=mint("42"), headers={"Last-Event-ID": ids[1]})  # fmt: skip

    assert (await stream.event()).id == ids[2]


async def test_stream_resumes_by_an_id_of_another_stream(service: Service) -> None:
    elsewhere = await service.publish(topic="realtime", broadcast=True, data=0)
    mine = await service.publish(userId="42", data=1)

    stream = await service.open("/v1/app/sse", token=mint("42"), headers={"Last-Event-ID": elsewhere})

    assert (await stream.event()).id == mine


async def test_stream_does_not_replay_what_is_not_for_its_user(service: Service) -> None:
    start_ = await service.publish(userId="42", data=0)
    await service.publish(userId="43", data="another's")
    await service.publish(userId="42", data="mine")

    stream = await service.open("/v1/app/sse", token=mint("42"), headers={"Last-Event-ID": start_})

    assert (await stream.event()).data == "mine"


@pytest.mark.parametrize("id_", ["0", "nonsense", "aaaaaaaa-1", "ids with spaces", "é", "-1"])
async def test_stream_tells_of_an_id_that_is_unknown_and_goes_live(service: Service, id_: str) -> None:
    await service.publish(userId="42", data="before")

    stream = await service.open("/v1/app/sse", token=mint("42"), params={"lastEventId": id_})
    live = await service.publish(userId="42", data="live")

    gap, event = await stream.events(2)
    assert gap.event == "sse.gap"
    assert gap.json == {"reason": "unknown", "requested": id_, "resumed_from": None}
    assert event.id == live


async def test_stream_takes_an_id_of_the_future_for_unknown(service: Service) -> None:
    id_ = await service.publish(userId="42", data="before")
    epoch, _, number = id_.partition("-")

    stream = await service.open(
        "/v1/app/sse", token=mint("42"), params={"lastEventId": f"{epoch}-{int(number) + 1}"}
    )

    assert (await stream.event()).json["reason"] == "unknown"


async def test_stream_resumes_whole_from_the_id_of_a_gap(service: Service) -> None:
    stream = await service.open("/v1/app/sse", token=mint("42"), params={"lastEventId": "0"})
    gap = await stream.event()
    assert gap.id is not None
    stream.close()
    missed = await service.publish(userId="42", data="missed")

    again = await service.open("/v1/app/sse", token=mint("42"), headers={"Last-Event-ID": gap.id})

    assert (await again.event()).id == missed


async def test_stream_tells_of_an_id_that_expired_and_gives_the_kept_rest(start: Start) -> None:
    service = await start(history_max_events=3)
    ids = [await service.publish(userId="42", data=number) for number in range(6)]

    stream = await service.open("/v1/app/sse", token=mint("42"), headers={"Last-Event-ID": ids[0]})

    gap, *kept = await stream.events(4)
    assert gap.event == "sse.gap"
    assert gap.json == {"reason": "expired", "requested": ids[0], "resumed_from": ids[3]}
    assert [event.id for event in kept] == ids[3:]


async def test_stream_tells_of_an_id_that_expired_though_nothing_of_the_rest_is_for_it(start: Start) -> None:
    service = await start(history_max_events=3)
    ids = [await service.publish(userId="43", data=number) for number in range(6)]

    stream = await service.open("/v1/app/sse", token=mint("42"), headers={"Last-Event-ID": ids[0]})

    assert (await stream.event()).json == {"reason": "expired", "requested": ids[0], "resumed_from": None}


async def test_stream_makes_no_gap_of_an_event_gone_by_its_ttl(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock)
    first = await service.publish(userId="42", data=0)
    await service.publish(userId="42", data="brief", ttl=5)
    last = await service.publish(userId="42", data="lasting")
    clock.advance(6)

    stream = await service.open("/v1/app/sse", token=mint("42"), headers={"Last-Event-ID": first})

    assert (await stream.event()).id == last


@pytest.mark.parametrize("path", STREAMS_FOR_ANYONE)
async def test_stream_without_ids_ignores_the_id_of_another(service: Service, path: str) -> None:
    stream = await service.open(path, headers={"Last-Event-ID": "nonsense"})

    event = await stream.event()
    assert event.event is None
    assert event.id is None


async def test_stream_that_begins_now_can_resume_from_its_first_frame(service: Service) -> None:
    await service.publish(userId="42", data="before")
    stream = await service.open("/v1/app/sse", token=mint("42"))
    assert stream.first.id is not None
    stream.close()
    missed = await service.publish(userId="42", data="missed")

    again = await service.open("/v1/app/sse", token=mint("42"), headers={"Last-Event-ID": stream.first.id})

    assert (await again.event()).id == missed


# -- on the wire ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL)
async def test_stream_sends_the_headers_of_the_contract(service: Service, path: str) -> None:
    stream = await service.open(path, token=mint("42"), headers={"X-Request-ID": "my-id"})

    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["Cache-Control"] == "no-cache, no-transform"
    assert stream.headers["X-Accel-Buffering"] == "no"
    assert stream.headers["X-Request-ID"] == "my-id"
    assert "Content-Encoding" not in stream.headers


@pytest.mark.parametrize("path", ALL)
async def test_stream_says_first_when_to_come_back_give_or_take_half(start: Start, path: str) -> None:
    service = await start(retry_ms=1000)
    await give_account(service)

    times = [(await service.open(path, token=mint("42"))).first.retry or 0 for _ in range(10)]

    assert all(500 <= time <= 1500 for time in times)
    assert len(set(times)) > 1


async def test_stream_beats(start: Start) -> None:
    service = await start(heartbeat_s=0.05)
    stream = await service.open("/v1/app/sse", token=mint("42"))

    beats = [await stream.next(), await stream.next()]

    assert [beat.raw for beat in beats] == [b": hb\n"] * 2


async def test_stream_opens_to_pages_of_listed_origins(start: Start) -> None:
    service = await start(cors_origins="https://app.example.com")

    listed = await service.open(
        "/v1/app/sse", token=mint("42"), headers={"Origin": "https://app.example.com"}
    )
    other = await service.open("/v1/app/sse", token=mint("42"), headers={"Origin": "https://evil.net"})

    assert listed.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert listed.headers["Access-Control-Allow-Credentials"] == "true"
    assert listed.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_stream_writes_whole_frames_in_one_chunk(listen: Listen) -> None:
    server = await listen()
    peer = await _open_raw(server, "/v1/app/sse/42", mint("42"))

    for text in ("one\ntwo\r\nthree", "data: forged\n\nid: forged"):
        await _publish(server.node, userId="42", data=text)

    first, second = await peer.chunk(), await peer.chunk()
    assert first.endswith(b"\ndata: one\ndata: two\ndata: three\n\n")
    assert second.endswith(b"\ndata: data: forged\ndata: \ndata: id: forged\n\n")


async def test_stream_writes_a_burst_in_one_chunk(listen: Listen) -> None:
    server = await listen()
    peer = await _open_raw(server, "/v1/app/sse/42", mint("42"))

    await server.node.publisher.publish(*[_push(userId="42", data=number) for number in range(50)])

    burst = await peer.chunk()
    assert burst.count(b"\n\n") == 50
    assert burst.endswith(b"data: 49\n\n")


async def test_stream_over_http_1_0_is_not_chunked(listen: Listen) -> None:
    server = await listen()
    token = mint("42")
    peer = await server.connect(
        f"GET /v1/app/sse/42 HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    head = await peer.head()
    await until(lambda: len(server.node.connections) == 1)
    await _publish(server.node, userId="42", data="plain")

    assert head.startswith("HTTP/1.0 200 OK\r\n")
    assert "transfer-encoding" not in head.lower()
    first = await asyncio.wait_for(peer.reader.readuntil(b"\n\n"), 10)
    assert first.startswith(b"retry: ")
    assert (await asyncio.wait_for(peer.reader.readuntil(b"\n\n"), 10)).endswith(b"\ndata: plain\n\n")


async def test_stream_ends_when_its_token_expires(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock, heartbeat_s=0.6)
    stream = await service.open("/v1/app/sse", token=mint("42", lifetime=100))
    lasting = await service.open("/v1/app/sse", token=mint("42", lifetime=1000))
    await service.publish(userId="42", data="before")

    clock.advance(102)

    frames = [frame for frame in await stream.rest() if frame.data is not None]
    assert [frame.event for frame in frames] == [None, "sse.expired"]
    assert frames[-1].json.keys() == {"timestamp"}
    assert frames[-1].json["timestamp"].endswith("Z")
    await until(lambda: len(service.node.connections) == 1)
    await service.publish(userId="42", data="after")
    assert [event.data for event in await lasting.events(2)] == ["before", "after"]


async def test_stream_says_good_bye_when_the_node_goes_away(service: Service) -> None:
    stream = await service.open("/v1/app/sse", token=mint("42"))
    await service.publish(userId="42", data="last")

    await service.node.drain()

    *_, event, farewell = await stream.rest()
    assert event.data == "last"
    assert farewell.retry is not None
    answer = await service.get("/v1/app/sse", token=mint("42"))
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "settings"),
    [
        ("total", {"max_connections": 2}),
        ("user", {"max_connections_per_user": 2}),
        ("address", {"max_connections_per_address": 2}),
    ],
)
async def test_stream_over_a_limit_is_told_which_and_when(
    start: Start, limit: str, settings: dict[str, int]
) -> None:
    service = await start(**settings)
    first = await service.open("/v1/app/sse", token=mint("42"))
    await service.open("/notifications/stream", token=mint("42"))

    answer = await service.get("/realtime/stream", token=mint("42"))

    assert answer.status == 429
    assert answer.json["limit"] == limit
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    first.close()
    await until(lambda: len(service.node.connections) == 1)
    await service.open("/realtime/stream", token=mint("42"))


async def test_stream_of_another_user_is_not_over_the_limit_of_one(start: Start) -> None:
    service = await start(max_connections_per_user=1)
    await service.open("/v1/app/sse", token=mint("42"))

    await service.open("/v1/app/sse", token=mint("43"))
    await service.open("/custom/stream")
    await service.open("/custom/stream")


async def test_stream_that_is_reset_frees_its_slot_at_once(listen: Listen) -> None:
    server = await listen()
    peer = await _open_raw(server, "/v1/app/sse/42", mint("42"))

    peer.abort()

    await until(lambda: len(server.node.connections) == 0, 2)


async def test_stream_half_closed_by_its_client_frees_its_slot(listen: Listen) -> None:
    server = await listen()
    peer = await _open_raw(server, "/v1/app/sse/42", mint("42"))

    peer.writer.write_eof()

    await until(lambda: len(server.node.connections) == 0, 2)


async def test_stream_that_is_refused_takes_no_slot(start: Start) -> None:
    service = await start(max_connections=1)

    for path, status in (("/v1/app/sse/43", 403), ("/v1/stream?topics=x", 400), ("/sse/connect", 400)):
        assert (await service.get(path, token=mint("42"))).status == status

    await service.open("/v1/app/sse", token=mint("42"))


async def test_stream_that_is_not_read_is_cut_and_resumes_whole(listen: Listen) -> None:
    server = await listen(slow_reader_bytes=64 * 1024, max_event_bytes=32 * 1024, send_buffer_bytes=65536)
    peer = await _open_raw(server, "/v1/app/sse/42", mint("42"))
    [first] = await _publish(server.node, userId="42", data="first")

    ids = []
    while len(server.node.connections):  # the kernel's buffers fill first, then ours
        ids += await _publish(server.node, userId="42", data="x" * 30_000)
        assert len(ids) < 2000, "a reader that stopped is never cut"
        await asyncio.sleep(0)

    assert server.node.connections.closed_by_reason["slow_reader"] == 1
    again = await _open_raw(server, "/v1/app/sse/42", mint("42"), f"Last-Event-ID: {first}\r\n")
    got = b""
    while f"id: {ids[-1]}\n".encode() not in got:
        got += await again.chunk()
    # The first frame says where the stream stands, the others are what was missed.
    assert [line[4:].decode() for line in got.split(b"\n") if line.startswith(b"id: ")] == [first, *ids]
    peer.abort()


# -- in short -------------------------------------------------------------------------------------


def _asked_for(query: str) -> tuple[str, str]:
    given = dict(part.split("=") for part in query.lstrip("?").split("&") if part)
    return given.get("entityType", ""), given.get("entityId", "")


async def _open_raw(server: Any, path: str, token: str, more: str = "") -> Peer:
    """Open a stream on a plain socket; its head and its first chunk are read."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
    peer: Peer = await server.connect(request.encode())
    assert (await peer.head()).startswith("HTTP/1.1 200 OK\r\n")
    if not more:
        assert (await peer.chunk()).startswith(b"retry: ")
    return peer


def _push(**event: Any) -> Any:
    from events.event import PushEvent

    return PushEvent.model_validate(json.loads(json.dumps(event)))


async def _publish(node: Any, **event: Any) -> list[str]:
    ids: list[str] = await node.publisher.publish(_push(**event))
    return ids


async def _update(service: Service, type_: str, id_: str, data: Any = None) -> None:
    body = {"entityType": type_, "entityId": id_, "action": "updated", "data": data}
    assert (await service.post("/realtime/update", token=SERVICE, json=body)).status == 200


@pytest.mark.parametrize("path", ["/custom/stream", "/v1/stream?topics=custom"])
async def test_stream_waits_for_the_gate(start: Start, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A fleet that comes back at once is let in a few a turn, whatever it asks for."""
    service = await start()
    passes = 0

    async def enter() -> None:
        nonlocal passes
        passes += 1

    monkeypatch.setattr(service.node.gate, "enter", enter)
    await service.open(path, token=mint("42"))
    assert passes == 1
