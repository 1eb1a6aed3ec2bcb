"""Turns whose caller has disconnected: their queued jobs are withdrawn while the room is empty.

A job that a worker has begun continues, and its answer reaches the room. Knows queues and rooms, not callers.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from sse_push.events.errors import SsePushError
from sse_push.service.group_chat.queue import JobQueue
from sse_push.service.group_chat.rooms import Rooms
from sse_push.service.group_chat.turn import Turn

CHECK_EVERY_S = 1.0  # seconds between checks: the other listeners of the room may leave later

_log = structlog.get_logger()


class AbandonedTurns:
    """Watches turns from when their caller disconnects until none of their jobs is queued.

    Args:
        withdrawn: Called with a turn and the ids of its withdrawn jobs.
    """

    def __init__(
        self, queue: JobQueue, rooms: Rooms, withdrawn: Callable[[Turn, Sequence[str]], object]
    ) -> None:
        self._queue = queue
        self._rooms = rooms
        self._withdrawn = withdrawn
        self._turns: dict[str, Turn] = {}
        self._added = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, turn: Turn) -> None:
        """Watch *turn*; does not wait."""
        self._turns[turn.id] = turn
        self._added.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def discard(self, turn: Turn) -> None:
        self._turns.pop(turn.id, None)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while self._turns:
            self._added.clear()
            try:
                await self._check()
            except SsePushError:
                pass  # the queue or the engine is unavailable: try at the next check
            except Exception as error:  # noqa: BLE001 - otherwise no abandoned job would be withdrawn any more
                _log.error("group_chat.watch_unhandled_error", exc_info=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._added.wait()

    async def _check(self) -> None:
        turns_by_room: dict[str, list[Turn]] = {}
        for turn in self._turns.values():
            turns_by_room.setdefault(turn.request.room, []).append(turn)
        for room, turns in turns_by_room.items():
            if await self._rooms.has_listeners(room):
                continue
            for turn in turns:
                if job_ids := await self._queue.withdraw(turn.request.user_id, turn.job_ids):
                    self._withdrawn(turn, job_ids)
