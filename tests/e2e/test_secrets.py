"""Tokens: none is ever logged or shown, and a stream ends with its own."""

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.e2e.client import Api, demo
from tests.e2e.stream import Stream, connect, rest
from tests.process import ServerProcess, eventually, running

pytestmark = pytest.mark.process

SECRET = "a shared secret of more than thirty-two bytes"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    settings = {"log_level": "debug", "jwt_secret": SECRET, "cors_origins": "https://example.com"}
    async with running(tmp_path_factory.mktemp("secrets"), **settings) as server:
        yield server


async def test_neither_a_token_nor_an_events_data_is_ever_logged(server: ServerProcess, api: Api) -> None:
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
    shown = server.output + repr(said)
    assert len(server.records) > 100
    for secret in secrets:
        # A JWT's last part is its signature; without it the others are worth nothing.
        assert secret.rpartition(".")[2] not in shown
    assert body not in server.output
    assert SECRET not in shown


async def test_a_stream_ends_when_its_token_expires(server: ServerProcess) -> None:
    token = jwt.encode({"sub": "soon", "exp": time.time() + 1}, SECRET)
    async with await Stream.open(server, "/v1/app/sse", token) as stream:
        frames = [frame async for frame in stream]
        assert frames[-1].event == "sse.expired" and list(frames[-1].json) == ["timestamp"]
    async with await Stream.open(server, "/v1/app/sse", token) as stream:
        assert stream.status == 401
    [closed] = await eventually(lambda: server.logged("stream.closed", user="soon"), "it is logged")
    assert closed["reason"] == "token_expired"
