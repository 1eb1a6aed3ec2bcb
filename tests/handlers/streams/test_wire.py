"""How each stream of docs/protocol.md looks on the wire: headers, first frame, chunks, farewell."""

import asyncio

import pytest

from tests.conftest import Clock, Listen, Service, Start, mint, until
from tests.handlers.streams.every import (
    ALL,
    give_account,
)
from tests.handlers.streams.raw import open_raw, publish, push


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
    peer = await open_raw(server, "/v1/app/sse/42", mint("42"))

    for text in ("one\ntwo\r\nthree", "data: forged\n\nid: forged"):
        await publish(server.node, userId="42", data=text)

    first, second = await peer.chunk(), await peer.chunk()
    assert first.endswith(b"\ndata: one\ndata: two\ndata: three\n\n")
    assert second.endswith(b"\ndata: data: forged\ndata: \ndata: id: forged\n\n")


async def test_stream_writes_a_burst_in_one_chunk(listen: Listen) -> None:
    server = await listen()
    peer = await open_raw(server, "/v1/app/sse/42", mint("42"))

    await server.node.pipeline.publish(*[push(userId="42", data=number) for number in range(50)])

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
    await publish(server.node, userId="42", data="plain")

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
