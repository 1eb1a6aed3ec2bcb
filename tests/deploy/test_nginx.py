"""The service through a real nginx with the configuration of deploy/nginx."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from handlers.guard import KEEPALIVE_S
from handlers.server import MAX_LINE_BYTES
from service.settings import Settings
from tests.conftest import DEADLINE_S
from tests.deploy.browserlike import NDJSON, BareHttp2, Client, client_of
from tests.deploy.nginx import CONFIG, NGINX, Nginx, check
from tests.e2e.client import demo
from tests.e2e.conftest import running
from tests.process import HOST, ServerProcess, eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(NGINX is None, reason="NOT TESTED: no nginx on PATH, so nothing was tried through it"),
]

PROXY_TIMEOUT_S = 1.5
PER_ADDRESS = 5  # streams, by the service
REQUESTS_PER_ADDRESS = 8  # by nginx
SHORTER = {
    "proxy_read_timeout 60s;": f"proxy_read_timeout {PROXY_TIMEOUT_S * 1000:.0f}ms;",
    "worker_shutdown_timeout 60s;": "worker_shutdown_timeout 1s;",
    "limit_conn sse_push_address 500;": f"limit_conn sse_push_address {REQUESTS_PER_ADDRESS};",
}


@asynccontextmanager
async def front(folder: Path, ports: list[int]) -> AsyncIterator[Nginx]:
    nginx = Nginx(folder, ports, SHORTER)
    try:
        await nginx.start()
        yield nginx
    finally:
        nginx.clean_up()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    settings = {
        "trusted_proxies": f"{HOST}/32",
        "max_connections_per_address": PER_ADDRESS,
        "heartbeat_s": PROXY_TIMEOUT_S / 6,
    }
    async with running(tmp_path_factory.mktemp("node"), **settings) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nginx(node: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nginx]:
    async with front(tmp_path_factory.mktemp("front") / "nginx", [node.port]) as nginx:
        yield nginx


@pytest_asyncio.fixture(params=[False, True], ids=["HTTP/1.1", "HTTP/2"], loop_scope="module")
async def client(nginx: Nginx, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with client_of(nginx, http2=request.param) as client:
        yield client


# -- streams --------------------------------------------------------------------------------------


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
        assert len(node.logged("stream.opened", user="idle")) == 2, "they are the same streams still"


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
    opened = len(node.logged("stream.opened", address=address))

    def closed() -> bool:
        return len(node.logged("stream.closed", address=address, reason="client_closed")) == opened

    await eventually(closed, "all are closed")


# -- addresses and limits -------------------------------------------------------------------------


async def test_address_is_the_clients_whatever_the_client_says(client: Client, node: ServerProcess) -> None:
    forged = {"X_Forwarded_For": "203.0.113.9", "X_Real_IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    streams = [await client.open("/v1/app/sse", f"user-{n}", **forged) for n in range(PER_ADDRESS)]
    assert len(node.logged("stream.opened", address=client.address)) == PER_ADDRESS
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


# -- publishing -----------------------------------------------------------------------------------


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


# -- going away -----------------------------------------------------------------------------------


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


# -- what nginx says itself -----------------------------------------------------------------------


async def test_no_node_is_an_answer_that_clients_understand(tmp_path: Path) -> None:
    async with await asyncio.start_server(lambda *_: None, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
    async with front(tmp_path / "nginx", [port, port]) as nginx, client_of(nginx) as client:
        answer = await client.http.get(f"/v1/app/sse?token={demo('secret')}")
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == 503 and answer.json()["request_id"]
        [line] = nginx.answered
        assert line["node"].split(", ") == [f"{HOST}:{port}"] * 2
        assert demo("secret") not in nginx.output


class Upstream:
    """Two ports that answer every request alike, or close without an answer; they count the requests."""

    def __init__(self, answer: bytes) -> None:
        self.requests: list[bytes] = []
        self._answer = answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self._answer)
        writer.close()

    @asynccontextmanager
    async def before(self, nginx_folder: Path) -> AsyncIterator[Client]:
        async with (
            await asyncio.start_server(self._serve, HOST, 0) as one,
            await asyncio.start_server(self._serve, HOST, 0) as two,
            front(nginx_folder, [server.sockets[0].getsockname()[1] for server in (one, two)]) as nginx,
            client_of(nginx) as client,
        ):
            yield client


async def test_refusal_of_both_nodes_passes_as_it_is(tmp_path: Path) -> None:
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 7\r\n"
    nodes = Upstream(f'{head}Content-Length: 14\r\n\r\n{{"status":503}}'.encode())
    async with nodes.before(tmp_path / "nginx") as client:
        for _ in range(3):  # no node is put aside for it
            answer = await client.http.get("/v1/app/sse")
            assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (
                503,
                "7",
                {"status": 503},
            )
    assert len(nodes.requests) == 2 * 3, "each was asked"


async def test_command_that_a_node_has_begun_upon_is_not_sent_again(tmp_path: Path) -> None:
    nodes = Upstream(b"")
    async with nodes.before(tmp_path / "nginx") as client:
        answer = await client.http.post("/v1/events", json={"userId": 1, "data": 1})
        assert answer.status_code == 503 and answer.headers["Retry-After"]
        assert len(nodes.requests) == 1
        await client.http.get("/v1/app/sse")
        assert len(nodes.requests) == 1 + 2, "a stream is asked of the other"


async def test_plain_http_leads_to_https(nginx: Nginx) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{HOST}:{nginx.plain_port}/v1/app/sse?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (308, f"https://{HOST}/v1/app/sse?x=1")


async def test_access_log_has_a_line_for_each_request_and_no_token(client: Client, nginx: Nginx) -> None:
    token = demo(f"logged-{client.address}")
    headers = {"Referer": f"{nginx.url}/?token={token}", "X-Request-ID": f"mine-{client.address}"}
    answer = await client.http.get(f"/sse/status?token={token}", headers=headers)
    assert answer.headers["X-Request-ID"] == f"mine-{client.address}"

    def lines() -> list[dict[str, Any]]:
        return [line for line in nginx.answered if line["address"] == client.address]

    [line] = await eventually(lines, "it is logged")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/sse/status", "200")
    assert line["request_id"] == f"mine-{client.address}"
    assert token not in nginx.output


async def test_configuration_has_no_fault(nginx: Nginx) -> None:
    said = [
        line for line in (await check(nginx)).splitlines() if "http2" not in line
    ]  # deprecated from 1.25.1 on
    assert said == []


async def test_configuration_fits_into_a_machines_own_nginx(nginx: Nginx, tmp_path: Path) -> None:
    """Debian's nginx.conf, in short: its directives of the http block stand there only once."""
    shutil.copytree(nginx.folder, tmp_path / "nginx")
    stock = """
        pid nginx.pid; events { worker_connections 768; }
        http {
            sendfile on; tcp_nopush on; types_hash_max_size 2048; default_type application/octet-stream;
            ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; gzip on;
            access_log access.log; error_log error.log;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; scgi_temp_path s; uwsgi_temp_path u;
            include sse-push.conf;
        }"""
    (tmp_path / "nginx" / "nginx.conf").write_text(stock)
    other = Nginx(tmp_path / "other", [])
    other.folder = tmp_path / "nginx"
    said = [line for line in (await check(other)).splitlines() if "http2" not in line]
    assert said == []
    assert "include sse-push.conf;" in (CONFIG / "nginx.conf").read_text()


# -- numbers that have to fit together --------------------------------------------------------------


async def test_times_and_sizes_fit_the_service() -> None:
    text = (CONFIG / "sse-push.conf").read_text()
    settings = Settings(auth_mode="demo")

    def set_to(name: str) -> list[int]:
        found = re.findall(rf"^ +{name} (?:\d+ )?(\d+)([kshd]?);", text, re.MULTILINE)
        unit = {"": 1, "s": 1, "h": 3600, "d": 86_400, "k": 1024}
        return [int(number) * unit[suffix] for number, suffix in found]

    upstream, clients = set_to("keepalive_timeout")
    assert upstream < KEEPALIVE_S, "nginx would send a request on a connection that the node is closing"
    assert clients >= 60
    for timeout in (*set_to("proxy_read_timeout"), *set_to("send_timeout")):
        assert timeout >= 3 * settings.heartbeat_s
    assert set_to("client_header_timeout") == [settings.request_timeout_s]
    assert set_to("large_client_header_buffers")[0] >= MAX_LINE_BYTES
    [at_once] = re.findall(r"limit_conn sse_push_address (\d+);", text)
    assert int(at_once) > 2 * settings.max_connections_per_address
