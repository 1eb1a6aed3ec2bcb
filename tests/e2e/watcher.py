"""A client of presence streams as a reader of its guide would write it: lines, whose ``event: `` and ``data: `` it strips
by position. Keeps what it was told.
"""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.e2e.client import demo
from tests.process import ServerProcess, eventually


class Watcher:
    """One stream of *user*'s on *server*.

    Attributes:
        friends: How each friend is, as far as it was told.
        changes: What was told since ``initial``: ``(user, online)``.
        initials: How often all was told.
    """

    def __init__(self, server: ServerProcess, user: int) -> None:
        self.user = user
        self.friends: dict[int, dict[str, Any]] = {}
        self.changes: list[tuple[int, bool]] = []
        self.initials = self.heartbeats = 0
        self._url = f"{server.url}/api/presence/stream?token={demo(user)}"
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=5))
        response = await self._session.get(self._url)
        assert response.status == 200, await response.text()
        self._task = asyncio.create_task(self._read(response))
        await eventually(lambda: self.initials, "all was told")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the tab. Twice is once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def online(self) -> set[int]:
        return {user for user, status in self.friends.items() if status["is_online"]}

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        name = ""
        try:
            async for raw in response.content:
                line = raw.decode().removesuffix("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self._take(name, json.loads(line[6:]))
        finally:
            response.close()

    def _take(self, name: str, data: Any) -> None:
        if name == "initial":
            self.friends = {int(user): status for user, status in data.items()}
            self.initials += 1
        elif name == "status_change":
            self.friends[data["user_id"]] = data
            self.changes.append((data["user_id"], data["is_online"]))
        elif name == "heartbeat":
            self.heartbeats += 1
