"""What nginx says itself: no node, a refusal, a redirect, its log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.browserlike import Client, client_of
from tests.deploy.front import THROUGH_NGINX, front
from tests.deploy.nginx import Nginx
from tests.e2e.client import demo
from tests.ports import HOST
from tests.process import eventually

pytestmark = THROUGH_NGINX


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
