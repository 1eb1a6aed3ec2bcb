"""A publisher of lines: what it sends, by aiohttp's client or as bytes of its own, and what it is answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.conftest import DEADLINE_S, Service, mint

SERVICE = mint("publisher", "service")
HEAD = (
    f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\n"
    "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
).encode()


def event_line(data: Any = 1, **more: Any) -> bytes:
    return json.dumps({"userId": "42", "data": data, **more}).encode() + b"\n"


class Lines:
    """A request whose lines the test writes as it goes, and its answers."""

    def __init__(self, service: Service, token: str = SERVICE) -> None:
        self._service = service
        self._token = token
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def _body(self) -> AsyncIterator[bytes]:
        while (part := await self._lines.get()) is not None:
            yield part

    async def open(self) -> "Lines":
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/x-ndjson"}
        self.say(b"\n")  # aiohttp's client sends the head with the first of the body
        self.response = await asyncio.wait_for(
            self._service.client.post("/v1/events", data=self._body(), headers=headers), DEADLINE_S
        )
        return self

    def say(self, part: bytes) -> None:
        self._lines.put_nowait(part)

    def end(self) -> None:
        self._lines.put_nowait(None)

    async def answer(self) -> dict[str, str]:
        line = await asyncio.wait_for(self.response.content.readline(), DEADLINE_S)
        assert line.endswith(b"\n"), line
        answer: dict[str, str] = json.loads(line)
        assert len(answer) == 1
        return answer

    async def over(self) -> bool:
        return not await asyncio.wait_for(self.response.content.readline(), DEADLINE_S)


async def answers_to(service: Service, body: bytes) -> list[dict[str, str]]:
    answer = await service.post(
        "/v1/events", token=SERVICE, data=body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    assert answer.body == b"" or answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]
