"""Whose request it is and how many there may be, through a real nginx."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from tests.deploy.browserlike import NDJSON, BareHttp2, Client, client_of
from tests.deploy.front import PER_ADDRESS, REQUESTS_PER_ADDRESS, THROUGH_NGINX
from tests.deploy.nginx import Nginx
from tests.ports import HOST
from tests.process import ServerProcess, eventually

pytestmark = THROUGH_NGINX


async def test_slot_is_free_when_a_client_hung_up_on_the_proxy(nginx: Nginx, node: ServerProcess) -> None:
    async with client_of(nginx, http2=False) as client:
        for _ in range(2):
            streams = [await client.open("/v1/app/sse", "leaver") for _ in range(PER_ADDRESS)]
            assert [stream.response.status_code for stream in streams] == [200] * PER_ADDRESS
            for stream in streams:
                await stream.close()
            await all_closed(node, client.address)


async def test_slot_is_free_when_a_tab_gave_up_one_stream_of_its_connection(
    nginx: Nginx, node: ServerProcess
) -> None:
    browser = BareHttp2(nginx)
    await browser.connect()
    for _ in range(2):
        streams = [await browser.open("/v1/app/sse", "leaver") for _ in range(PER_ADDRESS)]
        for stream in streams:
            browser.give_up(stream)
        await all_closed(node, browser.address)
    browser.close()


async def all_closed(node: ServerProcess, address: str) -> None:
    """Wait until the streams that were opened from *address* are closed, each because its client left."""

    def closed() -> bool:
        opened = len(node.logged("stream.opened", address=address))
        return 0 < opened == len(node.logged("stream.closed", address=address, reason="client_closed"))

    await eventually(closed, "all are closed")


async def test_address_is_the_clients_whatever_the_client_says(client: Client, node: ServerProcess) -> None:
    forged = {"X_Forwarded_For": "203.0.113.9", "X_Real_IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    streams = [await client.open("/v1/app/sse", f"user-{n}", **forged) for n in range(PER_ADDRESS)]
    opened = partial(node.logged, "stream.opened", address=client.address)
    await eventually(lambda: len(opened()) == PER_ADDRESS, "all are logged")
    assert not node.logged("stream.opened", address="203.0.113.9")

    refused = await client.open("/v1/app/sse", "another", **forged)

    problem = json.loads(await refused.response.aread())
    assert refused.response.status_code == 429
    assert problem["limit"] == "address" and problem["status"] == 429
    assert refused.response.headers["Content-Type"] == "application/problem+json"
    assert int(refused.response.headers["Retry-After"]) > 0
    for stream in streams:
        await stream.close()


async def test_too_many_requests_of_an_address_are_refused_like_the_service_refuses(
    client: Client, nginx: Nginx
) -> None:
    over = asyncio.Event()

    async def body(begun: asyncio.Event) -> AsyncIterator[bytes]:
        begun.set()
        yield b"\n"
        await over.wait()

    async def publish() -> asyncio.Task[httpx.Response]:
        begun = asyncio.Event()
        task = asyncio.create_task(client.http.post("/v1/events", content=body(begun), headers=NDJSON))
        await begun.wait()
        return task

    streams = [await client.open("/v1/app/sse", f"user-{n}") for n in range(PER_ADDRESS)]
    publishers = [await publish() for _ in range(REQUESTS_PER_ADDRESS - PER_ADDRESS)]

    async def refusal() -> httpx.Response | None:
        # One that was refused itself, for what a test before had still open, is not there to be counted.
        publishers[:] = [await publish() if publisher.done() else publisher for publisher in publishers]
        answer = await client.http.get("/healthz")
        return answer if answer.status_code == 429 else None

    refused = await eventually(refusal, "nginx has enough of it")
    over.set()
    await asyncio.gather(*publishers)
    for stream in streams:
        await stream.close()

    problem = refused.json()
    assert (problem["status"], problem["title"], problem["limit"]) == (429, "Too Many Requests", "address")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    async with client_of(nginx) as another:
        assert (await another.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/metrics?x=1", "/%6detrics", "//metrics", "/x/../metrics", "/./metrics", "/metrics/"],
)
async def test_figures_are_not_for_strangers(nginx: Nginx, node: ServerProcess, path: str) -> None:
    async with client_of(nginx, http2=False) as client:
        answer = await client.http.get(httpx.URL(nginx.url, raw_path=path.encode()))
        assert answer.status_code == 404
        own = await client.http.get(f"{node.url}/metrics")
        assert b"sse_push_connections" in own.content


async def test_longest_token_passes(client: Client) -> None:
    token = "x" * 7900  # what a line of 8190 bytes has room for
    assert (await client.http.get("/v1/app/sse", params={"token": token})).status_code == 401
    assert (
        await client.http.get("/v1/app/sse", headers={"Authorization": f"Bearer {token}"})
    ).status_code == 401


@pytest.mark.parametrize("path", ["/v1/events", "/nothing"])
async def test_compressed_body_is_refused_by_the_node(client: Client, path: str) -> None:
    bomb = zlib.compress(b"0" * 10_000_000, wbits=31)

    answer = await client.http.post(path, content=bomb, headers={"Content-Encoding": "gzip"})

    assert (answer.status_code, answer.json()["status"]) == (415, 415)
    assert answer.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n" + b"x" * 9, 400),
        (b"hello\r\n\r\n", 400),
    ],
    ids=["target", "head", "no host", "no header", "no http"],
)
async def test_request_that_nginx_refuses_is_refused_like_the_service_refuses(
    nginx: Nginx, request_: bytes, status: int
) -> None:
    reader, writer = await asyncio.open_connection(HOST, nginx.port, ssl=nginx.trust)
    writer.write(request_)

    head, _, body = (await reader.read()).partition(b"\r\n\r\n")

    writer.close()
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"application/problem+json" in head
    document = json.loads(body)
    assert document["status"] == status and document["request_id"]
