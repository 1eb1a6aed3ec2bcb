"""Limits how many callers pass in one iteration of the event loop; the rest wait in order for the next ones.

Without it, a fleet that reconnects at once would block the loop for seconds.
"""

import asyncio
from collections import deque


class PerIterationLimiter:
    """Lets ``limit`` callers pass in each iteration of the loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit
        self._woken = 0  # waiters woken, who pass in the next iteration
        self._is_scheduled = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Pass, in this iteration or a later one."""
        loop = asyncio.get_running_loop()
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._next_iteration)
        if self._left:
            self._left -= 1
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next_iteration(self) -> None:
        self._left = self._limit - self._woken
        self._woken = 0
        while self._waiting and self._woken < self._limit:
            waiter = self._waiting.popleft()
            if not waiter.done():  # cancelled: its client is gone
                waiter.set_result(None)
                self._woken += 1
        if self._woken:
            self._left = 0  # new callers queue behind those who wait
        self._is_scheduled = self._woken > 0 or self._left < self._limit
        if self._is_scheduled:
            asyncio.get_running_loop().call_soon(self._next_iteration)
