"""Turns whose caller is gone: what of them nobody has begun is taken out of the queue while their room is empty.

What has begun goes on, and reaches the room. Knows queues and rooms; does not know what a caller is.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from sse_push.events.errors import SsePushError
from sse_push.service.group_chat.queue import JobQueue
from sse_push.service.group_chat.rooms import Rooms
from sse_push.service.group_chat.turn import Turn

CHECK_EVERY_S = 1.0  # seconds: who was in the room may leave it too

_log = structlog.get_logger()


class AbandonedTurns:
    """Watches them from when their caller leaves until nothing of them waits.

    Args:
        withdrawn: Called with a turn and the ids of its jobs that were taken out.
    """

    def __init__(
        self, queue: JobQueue, rooms: Rooms, withdrawn: Callable[[Turn, Sequence[str]], object]
    ) -> None:
        self._queue = queue
        self._rooms = rooms
        self._withdrawn = withdrawn
        self._turns: dict[str, Turn] = {}
        self._more = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def add(self, turn: Turn) -> None:
        """Watch *turn*; returns at once."""
        self._turns[turn.id] = turn
        self._more.set()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    def discard(self, turn: Turn) -> None:
        self._turns.pop(turn.id, None)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while self._turns:
            self._more.clear()
            try:
                await self._check()
            except SsePushError:
                pass  # the queue or the engine can't be asked now: at the next check
            except Exception as error:  # noqa: BLE001 - or jobs of callers who are gone would be done from now on
                _log.error("group_chat.watch_crashed", exc_info=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._more.wait()

    async def _check(self) -> None:
        in_room: dict[str, list[Turn]] = {}
        for turn in self._turns.values():
            in_room.setdefault(turn.said.room, []).append(turn)
        for room, turns in in_room.items():
            if await self._rooms.has_listeners(room):
                continue
            for turn in turns:
                if job_ids := await self._queue.withdraw(turn.said.user_id, turn.job_ids):
                    self._withdrawn(turn, job_ids)
