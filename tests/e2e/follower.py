"""A client that follows a stream as a good one does, whatever becomes of its connections."""

import asyncio
import random
from collections.abc import Callable

from tests.e2e.stream import Frame, Stream
from tests.process import POLL_S, ServerProcess


class Follower:
    """Follows a stream through whatever becomes of its connections, as a good client does.

    Args:
        cuts: Breaks its own connection off after a random number of frames; ``None`` never.

    Attributes:
        frames: Every frame with data, in the order they came.
        last_id: What it would resume from.
        connects: How often it got a stream.
        started: Set once it has a place to resume from.
    """

    def __init__(
        self, server: ServerProcess, target: str, token: str, cuts: random.Random | None = None
    ) -> None:
        self._server = server
        self._target = target
        self._token = token
        self._cuts = cuts
        self.frames: list[Frame] = []
        self.last_id: str | None = None
        self.connects = 0
        self.started = asyncio.Event()

    async def follow(self, is_last: Callable[[Frame], bool]) -> None:
        """Go on until a frame *is_last*."""
        while not await self._connection(is_last):
            await asyncio.sleep(POLL_S)

    async def _connection(self, is_last: Callable[[Frame], bool]) -> bool:
        try:
            stream = await Stream.open(self._server, self._target, self._token, last_id=self.last_id)
        except (OSError, asyncio.IncompleteReadError):
            return False
        async with stream:
            if stream.status == 503:
                return False
            assert stream.status == 200
            self.connects += 1
            return await self._read(stream, is_last)

    async def _read(self, stream: Stream, is_last: Callable[[Frame], bool]) -> bool:
        left = self._cuts.choice([0, 1, 2, 5, 10, 30]) if self._cuts else -1
        try:
            async for frame in stream:
                self.last_id = frame.id or self.last_id
                if self.last_id:
                    self.started.set()
                if frame.data is not None:
                    self.frames.append(frame)
                    if is_last(frame):
                        return True
                if left == 0:
                    stream.reset() if self._cuts and self._cuts.random() < 0.5 else stream.close()
                    return False
                left -= 1
        except ConnectionError:
            pass
        return False
