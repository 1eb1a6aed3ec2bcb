"""The background task of presence: runs steps while there is work, and retries those that fail."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sse_push.events.errors import DatabaseUnavailable, EngineUnavailable

RETRY_S = 1.0  # seconds after a failed step until the next attempt

_log = structlog.get_logger()


class Worker:
    """Runs *step* in one task, which ends when there is no work left.

    Args:
        has_work: Whether there is something to do.
        step: Does some of it. What fails because the database or Redis is unavailable must stay pending.
    """

    def __init__(self, has_work: Callable[[], bool], step: Callable[[], Awaitable[None]]) -> None:
        self._has_work = has_work
        self._step = step
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    @property
    def is_idle(self) -> bool:
        return self._task is None

    def wake(self) -> None:
        """There may be work: start the task if it is not running."""
        if self._task is None and self._has_work():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="presence")

    async def close(self) -> None:
        """Stop, and leave the pending work undone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._has_work():
                try:
                    await self._step()
                    self._succeeded()
                except (DatabaseUnavailable, EngineUnavailable) as error:
                    self._failed(error)
                    await asyncio.sleep(RETRY_S)
                except Exception as error:  # noqa: BLE001 - this step's changes are lost, later ones must not be
                    _log.error("presence.unhandled_error", exc_info=error)
                    await asyncio.sleep(RETRY_S)
        finally:
            self._task = None

    def _failed(self, error: Exception) -> None:
        """Log the first failure in a row."""
        if not self._failing:
            self._failing = True
            _log.error("presence.failed", error=str(error))

    def _succeeded(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("presence.recovered")
