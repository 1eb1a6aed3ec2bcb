"""Bounds a start in time: it completes, times out or is stopped by a signal. Knows no command and no service."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

START_S = 60.0  # seconds; every single wait during a start is shorter
CLOSE_S = 10.0  # seconds to close what a failed start opened; then the process exits regardless
CANCEL_AGAIN_S = 0.1  # seconds between two cancellations: some libraries swallow one

Started = TypeVar("Started")


async def started(work: Coroutine[Any, Any, Started], stop: asyncio.Event) -> Started | None:
    """Run *work*; returns its result, or ``None`` if *stop* was set first. Then, and at a timeout, it is cancelled.

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
        raise TimeoutError(f"the start takes longer than {START_S:.0f} s")
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
    """Exits the process if closing hangs: a thread blocked on a file or a name lookup would keep it alive.

    Args:
        before: Called before the exit; takes at most a second.
    """

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._before = before
        self._timer: threading.Timer | None = None

    def end_within(self, seconds: float, status: int) -> None:
        """Exit with *status* after *seconds*, unless the ``with`` block is left before."""
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
