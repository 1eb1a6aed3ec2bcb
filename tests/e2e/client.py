"""Callers of the service: their tokens, as docs/protocol.md describes them, and their commands."""

import base64
import json
import re
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.e2e.stream import READ_WITHIN_S
from tests.process import ServerProcess


def demo(user: object, *roles: str) -> str:
    """A demo token, as docs/protocol.md describes it."""
    text = f"{user}:name of {user}:{user}@example.com:{','.join(roles or ('user',))}"
    return base64.b64encode(text.encode()).decode()


SERVICE = demo("billing", "service")
ADMIN = demo("root", "admin")


class Api:
    """Commands: JSON in, ``(status, JSON)`` out."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=READ_WITHIN_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(
        self,
        server: ServerProcess,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        **headers: str,
    ) -> tuple[int, Any]:
        """One call; *body* is JSON, or bytes as they are."""
        assert self._session is not None
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given.setdefault("Content-Type", "application/json")
        async with self._session.request(method, server.url + path, data=data, headers=given) as answer:
            text = await answer.text()
            is_json = "json" in answer.content_type and "ndjson" not in answer.content_type
            return answer.status, json.loads(text) if is_json else text

    async def publish(self, server: ServerProcess, event: Any, token: str = SERVICE) -> Any:
        """Publish an event, or a list of them; its id, or theirs."""
        status, answer = await self.call(server, "POST", "/v1/events", event, token)
        assert status == 200, answer
        return answer["ids"] if isinstance(event, list) else answer["id"]

    async def publish_lines(
        self, server: ServerProcess, events: list[Any], token: str = SERVICE
    ) -> list[str]:
        """Publish *events* as NDJSON; their ids."""
        lines = b"".join(json.dumps(event).encode() + b"\n" for event in events)
        status, answer = await self.call(
            server, "POST", "/v1/events", lines, token, Content_Type="application/x-ndjson"
        )
        assert status == 200
        return [json.loads(line)["id"] for line in answer.splitlines()]

    async def metric(self, server: ServerProcess, name: str) -> float:
        """The sum of a metric's values over all its labels; 0 while nothing was counted."""
        _, text = await self.call(server, "GET", "/metrics")
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert f"# TYPE {name} " in text, f"no metric {name}"
        return sum(map(float, found))
