"""Streams and publishers through a real nginx with the configuration of deploy/nginx."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.conftest import DEADLINE_S
from tests.deploy.browserlike import NDJSON, Client, client_of
from tests.deploy.front import PROXY_TIMEOUT_S, THROUGH_NGINX, front
from tests.deploy.nginx import Nginx
from tests.ports import HOST
from tests.process import ServerProcess, eventually

pytestmark = THROUGH_NGINX


async def test_stream_passes_at_once_and_in_whole_frames(client: Client) -> None:
    stream = await client.open("/v1/app/sse", 1)
    assert stream.response.http_version == ("HTTP/2" if client.http2 else "HTTP/1.1")
    assert stream.response.headers["Content-Type"].startswith("text/event-stream")
    assert (await stream.next()).retry is not None
    for number in range(3):
        # The stream stays open and is written nothing else: what was held back on the way would not come.
        id_ = await client.publish(userId=1, data={"number": number})
        frame = await stream.event()
        assert (frame.id, frame.json) == (id_, {"number": number})


async def test_burst_comes_through_in_order(client: Client) -> None:
    user = f"burst-{client.address}"
    stream = await client.open("/v1/app/sse", user)
    lines = [json.dumps({"userId": user, "data": f"{n} {'x' * 1000}"}) + "\n" for n in range(500)]
    answer = await client.http.post("/v1/events", content="".join(lines), headers=NDJSON)
    ids = [json.loads(line)["id"] for line in answer.text.splitlines()]
    frames = await stream.events(500)
    assert [(frame.id, int(str(frame.data).split()[0])) for frame in frames] == list(
        zip(ids, range(500), strict=True)
    )


async def test_stream_resumes_after_the_last_id(client: Client) -> None:
    user = f"resume-{client.address}"
    ids = [await client.publish(userId=user, data=n) for n in range(5)]
    by_header = await client.open("/v1/app/sse", user, Last_Event_ID=ids[1])
    by_query = await client.open(f"/v1/app/sse?lastEventId={ids[1]}", user)
    for stream in (by_header, by_query):
        assert [frame.id for frame in await stream.events(3)] == ids[2:]


async def test_idle_stream_outlives_the_proxys_timeout_by_its_heartbeats(
    nginx: Nginx, node: ServerProcess, tmp_path: Path
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 1\n\n")
        await reader.read()  # until nginx closes
        writer.close()

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(nginx, http2=http2)) for http2 in (False, True)]
        streams = [await client.open("/v1/app/sse", "idle") for client in clients]
        server = await stack.enter_async_context(await asyncio.start_server(silent, HOST, 0))
        port = server.sockets[0].getsockname()[1]
        other = await stack.enter_async_context(front(tmp_path / "nginx", [port]))
        cut = await (await stack.enter_async_context(client_of(other))).open("/v1/app/sse", "idle")
        opened = asyncio.get_running_loop().time()

        with pytest.raises(httpx.RemoteProtocolError):
            await cut.rest()  # so there is a timeout
        assert asyncio.get_running_loop().time() - opened > PROXY_TIMEOUT_S * 0.9

        id_ = await clients[0].publish(userId="idle", data=1)
        for stream in streams:
            assert (await stream.event()).id == id_
        await eventually(
            lambda: len(node.logged("stream.opened", user="idle")) == 2, "they are the same streams still"
        )


async def test_large_ndjson_streams_through(client: Client, nginx: Nginx) -> None:
    count = 8_000
    line = b'{"topic": "app", "userId": "nobody", "data": "%s"}\n' % (b"x" * 1000)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(count // 1000):
            yield line * 1000

    answer = await client.http.post("/v1/events", content=body(), headers=NDJSON)
    assert answer.status_code == 200
    assert len({json.loads(line)["id"] for line in answer.text.splitlines()}) == count
    assert not any(path.is_file() for path in (nginx.folder / "body").rglob("*"))


async def test_publisher_is_answered_while_its_request_goes_on(nginx: Nginx) -> None:
    reader, writer = await asyncio.open_connection(HOST, nginx.port, ssl=nginx.trust)
    head = f"POST /v1/events HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n"
    writer.write((head + "".join(f"{name}: {value}\r\n" for name, value in NDJSON.items()) + "\r\n").encode())
    line = b'{"userId": "nobody", "data": 1}\n'
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(3):
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            assert b'{"id"' in await reader.readuntil(b"}\n\r\n")
        writer.write(b"0\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_reload_of_nginx_loses_nothing(client: Client, nginx: Nginx) -> None:
    user = f"reload-{client.address}"
    events = client.follow("/v1/app/sse", user)
    assert await anext(events) is None
    sent = [await client.publish(userId=user, data=0)]
    before = await nginx.reload()
    async with client_of(nginx) as publisher:
        while set(before) & set(nginx.workers) or len(sent) < 20:
            sent.append(await publisher.publish(userId=user, data=len(sent)))
            await asyncio.sleep(0.02)
        sent.append(await publisher.publish(userId=user, data="last"))
    got, opened = [], 0
    async for frame in events:
        if frame is None:
            opened += 1
            continue
        got.append(frame.id)
        if frame.data == "last":
            break
    assert got == sent
    assert opened == 1  # the old worker closed the stream in the end, and a new one has it
