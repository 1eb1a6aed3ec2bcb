"""A start ends, well or badly: within its time, at a signal, and the process with it. Knows no command and no service."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

START_S = 60.0  # seconds of a start: every wait in it is shorter, and all of them together hardly ever longer
CLOSE_S = 10.0  # seconds to close what a start that failed had opened; then the process ends as it is
CANCEL_AGAIN_S = 0.1  # seconds between two tries to cancel: some libraries lose one

Started = TypeVar("Started")


async def started(work: Coroutine[Any, Any, Started], stop: asyncio.Event) -> Started | None:
    """What *work* gives; ``None`` if *stop* was set before that. Then, and when its time is over, it is cancelled.

    Raises:
        TimeoutError: It took longer than ``START_S``.
    """
    task = asyncio.get_running_loop().create_task(work)
    stopping = asyncio.get_running_loop().create_task(stop.wait())
    try:
        await asyncio.wait([task, stopping], timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return await task
        if stop.is_set():
            return None
        raise TimeoutError(f"it takes longer than {START_S:.0f} s")
    finally:
        await _cancel(stopping)
        await _cancel(task)


async def _cancel(task: asyncio.Task[Any]) -> None:
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()


class Watchdog:
    """Ends the process where closing does not: a thread that waits for a file or a name would keep it for ever.

    Args:
        before: Is called before that; it ends within a second.
    """

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._before = before
        self._timer: threading.Timer | None = None

    def end_within(self, seconds: float, status: int) -> None:
        """End the process with *status* in *seconds*, unless the block that this guards is left before."""
        self._timer = threading.Timer(seconds, self._abandon, (status,))
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _abandon(self, status: int) -> None:
        self._before()
        os._exit(status)
