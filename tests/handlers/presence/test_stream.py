"""The presence stream itself: how it begins, its frames and heartbeats, alone and among other topics."""

import asyncio
from typing import Any

from tests.conftest import Service
from tests.handlers.presence.watching import (
    AT,
    People,
    offline,
    online,
    token,
    watch,
)


async def test_stream_begins_with_how_every_friend_is(people: People) -> None:
    service = await people(5, (1, 2), (1, 3), (2, 4))
    await watch(service, 2)
    _, initial = await watch(service, 1)
    assert initial == {"2": online(2), "3": offline(3, None)}
    assert list(initial["2"]) == ["user_id", "is_online", "last_activity"]
    assert (await watch(service, 5))[1] == {}


async def test_frames_are_as_the_guide_reads_them(people: People) -> None:
    service = await people(2, (1, 2))
    async with service.client.get(f"/api/presence/stream?token={token(1)}") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        seen = [(await response.content.readline()).decode() for _ in range(8)]
    assert seen[0].startswith("retry: ")
    assert [line[:7] for line in seen[2:8]] == ["event: ", "data: {", "\n", "event: ", "data: {", "\n"]
    assert (seen[2], seen[5]) == ("event: connected\n", "event: initial\n")
    assert seen[6] == 'data: {"2":{"user_id":2,"is_online":false}}\n'


async def test_last_event_id_is_ignored(people: People) -> None:
    service = await people(1)
    stream = await service.open("/api/presence/stream", token=token(1), headers={"Last-Event-ID": "x-1"})
    assert stream.first.id is None
    assert (await stream.event()).event == "connected"


async def test_heartbeats_are_events_and_refresh_the_users_activity(people: People) -> None:
    service = await people(2, (1, 2), presence_heartbeat_s=0.06)
    theirs, _ = await watch(service, 2)
    second, _ = await watch(service, 2)
    for stream in (theirs, second):
        frame = await stream.event()
        assert (frame.event, frame.id, frame.json) == ("heartbeat", None, {"timestamp": AT})
    service.node.clock.advance(1)  # type: ignore[attr-defined]
    later = "2026-01-18T10:30:01.000Z"
    while (await theirs.event()).json != {"timestamp": later}:
        pass
    await until_told(service, online(2, later))


async def until_told(service: Service, wanted: Any) -> None:
    async with asyncio.timeout(5):
        while (await watch(service, 1))[1]["2"] != wanted:
            pass


async def test_many_topics_over_one_connection_have_presence_among_them(people: People) -> None:
    service = await people(2, (1, 2))
    many = await service.open("/v1/stream?topics=app,presence", token=token(1))
    first, initial = await many.events(2)
    assert (first.event, initial.event, initial.json) == (
        "presence/connected",
        "presence/initial",
        {"2": offline(2, None)},
    )
    await service.publish(userId="1", data=7)
    assert (await many.event()).event == "app"
    await watch(service, 2)
    frame = await many.event()
    assert (frame.event, frame.id, frame.json) == ("presence/status_change", None, online(2))


async def test_topic_comes_after_what_was_missed_of_the_others(people: People) -> None:
    service = await people(2, (1, 2))
    first = await service.publish(userId="1", data=0)
    for number in range(3):
        await service.publish(userId="1", data=number)
    many = await service.open(
        "/v1/stream?topics=app,presence", token=token(1), headers={"Last-Event-ID": first}
    )
    assert [frame.event for frame in await many.events(5)] == ["app"] * 3 + [
        "presence/connected",
        "presence/initial",
    ]
