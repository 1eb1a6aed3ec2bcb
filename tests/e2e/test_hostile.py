"""What must not work: forged frames, bytes that are no HTTP, requests without an end, tokens in the log."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.e2e.client import ADMIN, SERVICE, Api, Stream, connect, demo
from tests.e2e.conftest import Serve
from tests.process import HOST, ServerProcess, eventually

pytestmark = pytest.mark.process

FORGED = "id: forged-1\nevent: sse.gap\ndata: evil\n\nretry: 1\n\n"
LINE_ENDS = ["\r", "\n", "\r\n", "\n\n", "\r\r", "\0", "a\0b\r\nid: x-1\r\n\r\n"]
REQUEST_TIMEOUT_S = 1
SECRET = "a shared secret of more than thirty-two bytes"


# -- frames that can't be forged -------------------------------------------------------------------


async def test_data_can_not_forge_a_field_or_a_frame(serve: Serve, api: Api) -> None:
    server = await serve()
    texts = [
        *LINE_ENDS,
        *(end + FORGED + end for end in LINE_ENDS),
        ": hb",
        "data: x",
        "",
        " ",
        "\u2028\x85\x0b\x0c",
        "\ufeffid: 1",
    ]
    # Keys and values of objects too; NUL and line ends are escaped there, as JSON has it.
    objects = [{text: [text, {"nested": text}]} for text in texts]
    async with (
        await Stream.open(server, "/v1/app/sse", demo("ann")) as plain,
        await Stream.open(server, "/v1/stream?topics=app", demo("ann")) as named,
    ):
        ids = [await api.publish(server, {"userId": "ann", "data": data}) for data in (*texts, *objects)]
        for stream, event in ((plain, None), (named, "app")):
            assert await stream.frame()
            for id_, text in zip(ids, texts, strict=False):
                lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
                written = "".join(f"data: {line}\n" for line in lines)
                name = f"event: {event}\n" if event else ""
                assert await stream.chunk() == f"id: {id_}\n{name}{written}\n".encode()
            for id_, data in zip(ids[len(texts) :], objects, strict=True):
                frame = await stream.event()
                assert (frame.id, frame.event, frame.json) == (id_, event, data)


@pytest.mark.parametrize("end", LINE_ENDS)
async def test_names_with_line_ends_are_refused(hostile_server: ServerProcess, api: Api, end: str) -> None:
    name = f"a{end}b"
    event = {"userId": "ann", "data": "evil"}
    async with await Stream.open(hostile_server, "/v1/stream?topics=app", ADMIN) as stream:
        refused: list[dict[str, Any]] = [
            {**event, "event": name},
            {**event, "event": "sse.gap"},
            {**event, "userId": name},
            {"userIds": ["ann", name], "data": "evil"},
            {"room": name, "data": "evil"},
            {**event, "topic": f"app{end}"},
            {**event, "topic": f"chat:{name}"},
        ]
        for bad in refused:
            status, problem = await api.call(hostile_server, "POST", "/v1/events", bad, SERVICE)
            assert status == 422 and problem["errors"], bad
            lines = json.dumps(bad).encode() + b"\n"
            status, answer = await api.call(
                hostile_server, "POST", "/v1/events", lines, SERVICE, Content_Type="application/x-ndjson"
            )
            assert status == 200 and list(json.loads(answer)) == ["error"], bad
        commands: list[tuple[str, dict[str, Any]]] = [
            ("/v1/app/push", {"message": "evil", "userId": name}),
            ("/chat/send", {"roomId": name, "message": "evil"}),
            ("/notifications/send", {"title": "a", "message": "b", "type": "info", "userId": name}),
            ("/realtime/update", {"entityType": name, "entityId": "1", "action": "created", "data": 1}),
        ]
        for path, body in commands:
            status, _ = await api.call(hostile_server, "POST", path, body, ADMIN)
            assert status == 422, path
        # A publisher's key never goes out; whatever it holds, nothing is forged with it.
        key = f"{name}{FORGED}"
        status, answer = await api.call(
            hostile_server, "POST", "/v1/events", {**event, "data": "ok", "key": key}, SERVICE
        )
        assert status == 200
        assert (
            await stream.frame()
            and await stream.chunk() == f"id: {answer['id']}\nevent: app\ndata: ok\n\n".encode()
        )


async def test_a_last_event_id_is_shown_back_as_data_only(hostile_server: ServerProcess) -> None:
    for forged in (
        "%0Aid:%20x-1%0A%0Adata:%20evil",
        "%0D%0Aevent:%20evil",
        "%00",
        "x" * 5000,
        "%F0%9F%98%80",
        "%ff",
    ):
        async with await Stream.open(
            hostile_server, f"/v1/app/sse?lastEventId={forged}", demo("ann")
        ) as stream:
            gap = await stream.event()
            assert gap.event == "sse.gap" and gap.json["reason"] == "unknown"
            assert len(gap.json["requested"]) <= 256
            assert gap.id and "x-1" not in gap.id


async def test_a_request_id_that_could_forge_is_not_taken(hostile_server: ServerProcess, api: Api) -> None:
    async with await Stream.open(hostile_server, "/custom/stream\r\nX-Request-ID: a b;c") as stream:
        assert stream.status in (200, 400)
        assert "a b" not in stream.headers.get("x-request-id", "")


# -- bytes that are no request ---------------------------------------------------------------------

TOKEN = demo("mallory", "service")  # must not come up in the log either
MALFORMED = {
    "binary": bytes(range(256)) * 4 + b"\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200 + b"\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http 0.9": b"GET /?token=%b\r\n\r\n" % TOKEN.encode(),
    "space in target": b"GET /v1/app/sse?token=%b x HTTP/1.1\r\nHost: x\r\n\r\n" % TOKEN.encode(),
    "NUL in target": b"GET /v1/app/sse?token=%b\0 HTTP/1.1\r\nHost: x\r\n\r\n" % TOKEN.encode(),
    "NUL in header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\0\r\n\r\n"
    % TOKEN.encode(),
    "header without name": b"GET /healthz HTTP/1.1\r\nHost: x\r\n: %b\r\n\r\n" % TOKEN.encode(),
    "header without colon": b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization Bearer %b\r\n\r\n"
    % TOKEN.encode(),
    "long target": b"GET /v1/app/sse?token=%b%b HTTP/1.1\r\nHost: x\r\n\r\n"
    % (TOKEN.encode(), b"a" * 20_000),
    "long header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b%b\r\n\r\n"
    % (TOKEN.encode(), b"a" * 500_000),
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n%b\r\n"
    % b"".join(b"X-%d: 1\r\n" % n for n in range(20_000)),
    "behind a stream": b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(range(256)) + b"\r\n\r\n",
    "negative length": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "odd length": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\n0123456789",
    "two lengths": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n00",
    "length and chunks": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd coding": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "odd chunk": b"POST /v1/app/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    % TOKEN.encode(),
    "huge chunk": b"POST /v1/app/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "bad gzip": b"POST /v1/app/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nevil"
    % TOKEN.encode(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def survivor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """One process for all, which must live through each of them."""
    server = ServerProcess(
        tmp_path_factory.mktemp("hostile"), log_level="debug", request_timeout_s=REQUEST_TIMEOUT_S
    )
    try:
        await server.start()
        yield server
    finally:
        server.clean_up()


@pytest.fixture
def hostile_server(survivor: ServerProcess) -> Iterator[ServerProcess]:
    """That process; it may not die of a test, nor wake anybody up, nor tell a token."""
    before = len(survivor.complaints)
    yield survivor
    assert survivor.runs
    assert survivor.complaints[before:] == []
    assert TOKEN not in survivor.output


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes the connection."""
    got = b""
    async with asyncio.timeout(8):
        with suppress(ConnectionError):
            while part := await reader.read(65_536):
                got += part
    return got


@pytest.mark.parametrize("name", MALFORMED)
async def test_bytes_that_are_no_request_are_refused_and_hurt_nobody(
    hostile_server: ServerProcess, api: Api, name: str
) -> None:
    async with await Stream.open(hostile_server, "/v1/app/sse", demo("ann")) as stream:
        await stream.frame()
        reader, writer = await connect(hostile_server)
        try:
            writer.write(MALFORMED[name])
            got = await rest(reader)
        finally:
            writer.transport.abort()
        assert re.match(rb"HTTP/\d\.\d 4\d\d |$", got), got[:200]
        assert TOKEN.encode() not in got
        id_ = await api.publish(hostile_server, {"userId": "ann", "data": 1})
        assert (await stream.event()).id == id_


async def test_whatever_follows_the_request_of_a_stream_is_ignored(
    hostile_server: ServerProcess, api: Api
) -> None:
    reader, writer = await connect(hostile_server)
    get = f"GET /v1/app/sse HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {demo('ann')}\r\n\r\n".encode()
    before = hostile_server.rss_bytes
    try:
        writer.write(get + get)
        stream = Stream(reader, writer, await reader.readuntil(b"\r\n\r\n"))
        assert stream.status == 200 and await stream.frame()
        for _ in range(100):
            writer.write(b"garbage\r\n" * 20_000)
            async with asyncio.timeout(10):
                await writer.drain()
        id_ = await api.publish(hostile_server, {"userId": "ann", "data": 1})
        assert await stream.chunk() == f"id: {id_}\ndata: 1\n\n".encode()
    finally:
        writer.transport.abort()
    assert hostile_server.rss_bytes - before < 10 * 2**20, "it kept what nobody asked for"


async def test_pipelined_requests_are_answered_in_their_order(hostile_server: ServerProcess) -> None:
    def post(data: str, type_: str = "application/json") -> bytes:
        body = json.dumps({"userId": "ann", "data": data}).encode()
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\nContent-Type: {type_}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    bad = post("x").replace(b"{", b"[", 1)
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    reader, writer = await connect(hostile_server)
    try:
        writer.write(post("warms up"))
        await reader.readuntil(b'"}')
        writer.write((post("a") + get + post("b") + bad + post("c", "text/plain")) * 20 + last)
        got = await rest(reader)
    finally:
        writer.transport.abort()
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", got)]
    assert statuses == [200, 200, 200, 400, 200] * 20 + [200]
    numbers = [int(number) for number in re.findall(rb'"id":"\w+-(\d+)"', got)]
    assert len(numbers) == 60 and numbers == sorted(set(numbers))


async def test_http_1_0_gets_its_stream_without_chunks(hostile_server: ServerProcess, api: Api) -> None:
    reader, writer = await connect(hostile_server)
    try:
        writer.write(f"GET /v1/app/sse HTTP/1.0\r\nAuthorization: Bearer {demo('ann')}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 ") and b"chunked" not in head
        assert re.fullmatch(rb"retry: \d+\nid: \S+\n\n", await reader.readuntil(b"\n\n"))
        id_ = await api.publish(hostile_server, {"userId": "ann", "data": 1})
        assert await reader.readuntil(b"\n\n") == f"id: {id_}\ndata: 1\n\n".encode()
    finally:
        writer.transport.abort()


async def test_requests_without_an_end_are_cut_off_in_time(hostile_server: ServerProcess) -> None:
    beginnings = {
        "nothing": b"",
        "half a line": b"GET /heal",
        "half a head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        "half a body": b"POST /v1/app/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: 10000\r\n\r\n" % TOKEN.encode(),
        "half a chunk": b"POST /v1/app/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" % TOKEN.encode(),
        "another": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nX: ",
    }  # fmt: skip

    async def drip(beginning: bytes) -> bytes:
        reader, writer = await connect(hostile_server)
        writer.write(beginning)
        closed = asyncio.create_task(rest(reader))
        try:
            while beginning and not closed.done():  # a byte now and then does not put it off
                writer.write(b"a")
                await asyncio.wait([closed], timeout=0.1)
            return await closed
        finally:
            writer.transport.abort()

    began = time.monotonic()
    got = await asyncio.gather(*(drip(beginning) for beginning in beginnings.values() for _ in range(20)))
    assert time.monotonic() - began < REQUEST_TIMEOUT_S + 1 + 2  # the time between two looks, a busy machine
    assert {answer[:12] for answer in got} <= {b"", b"HTTP/1.1 200"}
    assert len(hostile_server.logged("request.timed_out")) >= len(got)


# -- tokens and bodies in the log ------------------------------------------------------------------


async def test_neither_a_token_nor_an_events_data_is_ever_logged(serve: Serve, api: Api) -> None:
    server = await serve(
        log_level="debug", jwt_secret=SECRET, request_timeout_s=1, cors_origins="https://example.com"
    )
    bearer, query, cookie = (
        jwt.encode({"sub": user, "roles": ["user", "service"], "exp": time.time() + 600}, SECRET)
        for user in ("b", "q", "c")
    )
    spent = jwt.encode({"sub": "x", "exp": 1}, SECRET)
    forged = jwt.encode({"sub": "x", "exp": time.time() + 600}, SECRET[::-1])
    demos = [demo(user, "service") for user in ("demo-b", "demo-q")]
    secrets = [bearer, query, cookie, spent, forged, *demos]
    body = "the body of an event"
    said: list[Any] = []
    targets = [
        "/v1/app/sse",
        "/nowhere",
        "/v1/app/sse/other",
        "/sse/status",
        "/v1/stream?topics=nonsense",
        "/metrics",
        "/v1/events",
    ]
    for secret in secrets:
        for target in targets:
            mark = "&" if "?" in target else "?"
            async with await Stream.open(server, f"{target}{mark}token={secret}") as by_query:
                said.append(by_query.headers)
                if by_query.status != 200:
                    said.append(await by_query.body())
            async with await Stream.open(server, f"{target}{mark}access_token={secret}", secret) as by_header:
                said.append(by_header.headers)
            async with await Stream.open(
                server, f"{target}\r\nCookie: access_token={secret}\r\nX: "
            ) as by_cookie:
                said.append(by_cookie.status)
        for data in (
            f"{{{body}",
            {"data": body, "userId": [body]},
            {"data": body, "userId": 1},
            [{"data": body}],
            {"topic": body},
        ):
            sent = data.encode() if isinstance(data, str) else data
            said.append(await api.call(server, "POST", "/v1/events", sent, secret))
            said.append(await api.call(server, "POST", f"/v1/app/push?token={secret}", sent))
            said.append(await api.call(server, "PUT", f"/functions?token={secret}", sent, secret))
        for bad in (
            b"GET /%b?token=%b x\r\n\r\n",
            b"GET /%b?token=%b\0 HTTP/1.1\r\n\r\n",
            b"\x16%b token=%b\r\n\r\n",
        ):
            reader, writer = await connect(server)
            writer.write(bad % (b"", secret.encode()))
            said.append(await rest(reader))
            writer.transport.abort()
    said.append(await api.call(server, "GET", "/metrics"))
    await server.terminate()
    shown = server.output + repr(said)
    assert len(server.records) > 100
    for secret in secrets:
        # A JWT's last part is its signature; without it the others are worth nothing.
        assert secret.rpartition(".")[2] not in shown
    assert body not in server.output
    assert SECRET not in shown


async def test_a_stream_ends_when_its_token_expires(serve: Serve) -> None:
    server = await serve(auth_mode="jwt", jwt_secret=SECRET)
    token = jwt.encode({"sub": "42", "exp": time.time() + 1}, SECRET)
    async with await Stream.open(server, "/v1/app/sse", token) as stream:
        frames = [frame async for frame in stream]
        assert frames[-1].event == "sse.expired" and list(frames[-1].json) == ["timestamp"]
    async with await Stream.open(server, "/v1/app/sse", token) as stream:
        assert stream.status == 401
    [closed] = await eventually(lambda: server.logged("stream.closed"), "it is logged")
    assert closed["reason"] == "token_expired"
