"""A stream that comes back with the id of what it got last: nothing is missing, or it is told."""

from typing import Any

import pytest

from sse_push.events.topics import user_keys
from sse_push.service.streams import TOPICS
from tests.conftest import Clock, Service, Start, mint
from tests.handlers.streams.every import STREAMS_FOR_ANYONE

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


async def test_only_streams_of_an_event_that_cannot_be_read_are_told(service: Service) -> None:
    mine = await service.open("/v1/app/sse", token=mint("42"))
    other = await service.open("/v1/app/sse", token=mint("43"))
    many = await service.open("/v1/stream?topics=notifications,app", token=mint("42"))
    before = await service.publish(broadcast=True, data="before")
    [key] = [key for key in user_keys(TOPICS["app"], "app", "42") if "42" in key]
    service.node.connections.signal_discontinuity("unknown", before, {key})
    after = await service.publish(broadcast=True, data="after")

    assert [event.id for event in await other.events(2)] == [before, after]
    for stream in (mine, many):
        first, gap, last = await stream.events(3)
        assert (first.id, gap.id, last.id) == (before, before, after)
        assert gap.json == {"reason": "unknown", "requested": before, "resumed_from": None}
