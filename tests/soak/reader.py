"""A reader that follows a stream through whatever becomes of its connections, and writes down what came.

It does what docs/protocol.md asks of a client, over bare sockets: it keeps the last id, takes silence for death, comes back.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.client import ADMIN, demo
from tests.e2e.stream import Frame, Stream, parse_frames
from tests.soak.checker import Received

SILENCE_S = 4.0  # seconds without a byte after which a connection is given up: eight heartbeats
RETRY_S = 0.05  # seconds before it comes back


class Reader:
    """Follows ``/v1/app/sse``, or with *many* the same topic on ``/v1/stream``.

    Args:
        server: Gives what has a ``port``: some node.
        user: Who reads; ``None`` for an admin, who gets everything.
        wanders: Breaks its own connection off now and then.

    Attributes:
        received: Every event and every gap, in the order they came.
        connects: How often it got a stream.
    """

    def __init__(
        self, server: Callable[[], Any], user: str | None, chance: random.Random, *, many: bool, wanders: bool
    ) -> None:
        self._server = server
        self._token = ADMIN if user is None else demo(user)
        self._target = "/v1/stream?topics=app" if many else "/v1/app/sse"
        self._chance = chance
        self._wanders = wanders
        self._last_id: str | None = None
        self._stream: Stream | None = None
        self.user = user
        self.name = f"{user or 'everything'} on {self._target}{' (wandering)' if wanders else ''}"
        self.received: list[Received] = []
        self.seen: set[str] = set()
        self.connects = 0
        self.wrong: list[str] = []
        self.reading = asyncio.Event()  # cleared to stop reading
        self.reading.set()
        self.started = asyncio.Event()  # it has a position to resume from

    async def follow(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    self._stream = await Stream.open(
                        self._server(), self._target, self._token, last_id=self._last_id
                    )
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                await asyncio.sleep(RETRY_S)
                continue
            async with self._stream as stream:
                if stream.status == 200:
                    self.connects += 1
                    await self._read(stream)
                elif stream.status not in (429, 503):
                    self.wrong.append(f"{self.name}: status {stream.status}")
            await asyncio.sleep(RETRY_S)

    async def _read(self, stream: Stream) -> None:
        left = self._chance.choice([1, 20, 100, 300]) if self._wanders else -1
        try:
            while True:
                await self.reading.wait()
                async with asyncio.timeout(SILENCE_S):
                    body = await stream.chunk()
                if not body:
                    return
                for frame in parse_frames(body):
                    self._take(frame)
                    left -= frame.data is not None
                    if left == 0:
                        stream.reset() if self._chance.random() < 0.5 else stream.close()
                        return
        except (ConnectionError, TimeoutError):
            return
        except (AssertionError, ValueError) as error:
            self.wrong.append(f"{self.name}: {error}")

    def _take(self, frame: Frame) -> None:
        if frame.data is not None:
            gap = frame.event == "sse.gap"
            data = frame.data.rstrip(" ")  # large events are padded
            self.received.append(Received(frame.id or "", data, time.monotonic(), gap, self._last_id))
            self.seen.add(data)
        self._last_id = frame.id or self._last_id
        if self._last_id:
            self.started.set()
