"""Background tasks of an object: kept until they end, because the loop itself holds tasks only weakly."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any


class BackgroundTasks:
    """Tasks that end by themselves or at :meth:`cancel`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start *work* in the running loop."""
        _ = self.spawn_task(work)

    def spawn_task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """As :meth:`spawn`, for a caller that needs the task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
