"""Limits how much runs at once, and serves those who wait by caller in turn rather than by arrival.

A caller who asks a thousand times has one place in the line, like everybody else. Knows nothing of what runs or why.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class FairLimiter:
    """At most *limit* at once, at most *per_caller* of them of one caller.

    What waits is bounded by whoever asks: by the number of open streams, say.
    """

    def __init__(self, limit: int, per_caller: int) -> None:
        self._limit = limit
        self._per_caller = per_caller
        self._running = 0
        self._running_of: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # callers in the order of their turns

    @asynccontextmanager
    async def turn(self, caller: Hashable) -> AsyncIterator[None]:
        """Wait for a turn of *caller*, and hold it."""
        if self._may_run(caller):
            self._enter(caller)
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._leave(caller)

    def _may_run(self, caller: Hashable) -> bool:
        return self._running < self._limit and self._running_of[caller] < self._per_caller

    def _enter(self, caller: Hashable) -> None:
        self._running += 1
        self._running_of[caller] += 1

    def _leave(self, caller: Hashable) -> None:
        self._running -= 1
        self._running_of[caller] -= 1
        if not self._running_of[caller]:
            del self._running_of[caller]
        self._admit()

    async def _wait(self, caller: Hashable) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave(caller)  # its turn came just before it was cancelled
            raise

    def _admit(self) -> None:
        """Let the next in. Callers at their own limit are passed over, and few can be."""
        while self._running < self._limit:
            caller = next(filter(self._may_run, self._waiting), None)
            if caller is None:
                return
            self._admit_one(caller)

    def _admit_one(self, caller: Hashable) -> None:
        places = self._waiting.pop(caller)
        while places:
            place = places.popleft()
            if not place.done():  # cancelled while it waited
                self._enter(caller)
                place.set_result(None)
                break
        if places:
            self._waiting[caller] = places  # behind all others
