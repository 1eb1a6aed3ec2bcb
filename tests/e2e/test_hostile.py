"""Bytes that are no request, and requests without an end: the process stays healthy, and others go on."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.e2e.client import SERVICE, Api, demo
from tests.e2e.stream import Stream, connect, rest
from tests.ports import HOST
from tests.process import ServerProcess, eventually

pytestmark = pytest.mark.process

REQUEST_TIMEOUT_S = 1
TOKEN = demo("mallory", "service")  # must not come up in the log either
BEARER = f"Authorization: Bearer {TOKEN}"


def request(line: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([line, "Host: localhost", *headers, "", body]).encode()


def post(*headers: str, body: str = "") -> bytes:
    return request("POST /v1/app/push HTTP/1.1", BEARER, *headers, body=body)


def health(*headers: str) -> bytes:
    return request("GET /healthz HTTP/1.1", *headers)


MALFORMED = {
    "binary": bytes(range(256)) * 4 + b"\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200 + b"\r\n\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http 0.9": f"GET /?token={TOKEN}\r\n\r\n".encode(),
    "space in target": request(f"GET /v1/app/sse?token={TOKEN} x HTTP/1.1"),
    "NUL in target": request(f"GET /v1/app/sse?token={TOKEN}\0 HTTP/1.1"),
    "NUL in header": health(f"{BEARER}\0"),
    "header without name": health(f": {TOKEN}"),
    "header without colon": health(f"Authorization {TOKEN}"),
    "long target": request(f"GET /v1/app/sse?token={TOKEN}{'a' * 20_000} HTTP/1.1"),
    "long header": health(BEARER + "a" * 500_000),
    "many headers": health(*(f"X-{number}: {number}" for number in range(20_000))),
    "negative length": post("Content-Length: -1"),
    "odd length": post("Content-Length: 1_0", body="0123456789"),
    "two lengths": post("Content-Length: 1", "Content-Length: 2", body="00"),
    "length and chunks": post("Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    "odd coding": post("Transfer-Encoding: xchunked", body="0\r\n\r\n"),
    "odd chunk": post("Transfer-Encoding: chunked", body="zz\r\n"),
    "huge chunk": post("Transfer-Encoding: chunked", body="ffffffffffffffffff\r\n"),
    "no gzip": post("Content-Encoding: gzip", "Content-Length: 4", body="evil"),
}
ENDLESS = {
    "nothing": b"",
    "half a line": b"GET /heal",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
    "half a body": post("Content-Length: 10000"),
    "half a chunk": post("Transfer-Encoding: chunked", body="ffff\r\n"),
    "half another": health() + b"GET /healthz HTTP/1.1\r\nX: ",
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
        writer.write(get + bytes(range(256)) + get)
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
    def publish(data: str, type_: str = "application/json") -> bytes:
        body = json.dumps({"userId": "ann", "data": data})
        headers = (
            f"Authorization: Bearer {SERVICE}",
            f"Content-Type: {type_}",
            f"Content-Length: {len(body)}",
        )
        return request("POST /v1/events HTTP/1.1", *headers, body=body)

    no_json = publish("x").replace(b"{", b"[", 1)
    reader, writer = await connect(hostile_server)
    try:
        writer.write(publish("the token becomes known"))
        await reader.readuntil(b'"}')
        some = publish("a") + health() + publish("b") + no_json + publish("c", "text/plain")
        writer.write(some * 20 + health("Connection: close"))
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
    got = await asyncio.gather(*(drip(beginning) for beginning in ENDLESS.values() for _ in range(20)))
    assert time.monotonic() - began < REQUEST_TIMEOUT_S + 1 + 2  # the time between two looks, a busy machine
    assert {answer[:12] for answer in got} <= {b"", b"HTTP/1.1 200"}
    await eventually(lambda: len(hostile_server.logged("request.timed_out")) >= len(got), "it is logged")
