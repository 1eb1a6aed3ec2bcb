"""A service in this process, seen through HTTP: calls, and streams that are read as they come."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient
from multidict import CIMultiDictProxy
from yarl import URL

from sse_push.handlers.keys import NODE
from sse_push.service.node import Node
from tests.clock import DEADLINE_S
from tests.frames import Frame, Frames
from tests.tokens import mint


class OpenStream(Frames):
    """A stream that was opened. ``first`` is its first frame."""

    first: Frame

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        super().__init__(response.content.readany)
        self.response = response
        self.headers = response.headers

    def close(self) -> None:
        self.response.close()


@dataclass(frozen=True)
class Answer:
    """A response that was read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A service that runs in this process, seen through HTTP; ``node`` is what it is inside."""

    def __init__(self, client: TestClient[web.Request, web.Application]) -> None:
        assert client.app is not None
        self.client = client
        self.node: Node = client.app[NODE]

    async def call(
        self, method: str, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:  # fmt: skip
        async with (
            asyncio.timeout(DEADLINE_S),
            self.client.request(method, path, headers=_headers(token, headers), **more) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.call("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Answer:
        return await self.call("POST", path, **more)

    async def put(self, path: str, **more: Any) -> Answer:
        return await self.call("PUT", path, **more)

    async def publish(self, **event: Any) -> str:
        """Publish an event as a service; its id."""
        answer = await self.post("/v1/events", token=mint("publisher", "service"), json=event)
        assert answer.status == 200, answer.body
        return str(answer.json["id"])

    async def open(
        self, path: str | URL, *, method: str = "GET", token: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> OpenStream:  # fmt: skip
        """Open a stream and read its first frame."""
        async with asyncio.timeout(DEADLINE_S):
            response = await self.client.request(method, path, headers=_headers(token, headers), **more)
        assert response.status == 200, await response.read()
        stream = OpenStream(response)
        stream.first = await stream.next()
        return stream


def _headers(token: str | None, more: dict[str, str] | None) -> dict[str, str]:
    return {**({} if token is None else {"Authorization": f"Bearer {token}"}), **(more or {})}
