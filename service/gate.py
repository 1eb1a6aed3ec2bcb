"""Lets a few through in each turn of the event loop, in order; the rest wait for the next turns.

A fleet that comes back at once would otherwise have the loop to itself for seconds. Knows nothing of what
waits or why.
"""

import asyncio
from collections import deque


class Gate:
    """A gate for ``per_turn`` passes in each turn of the loop."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._woken = 0  # of those who waited: they go through in the next turn
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Go through, in this turn or a later one."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        if self._left:
            self._left -= 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        await place

    def _turn(self) -> None:
        self._left = self._per_turn - self._woken
        self._woken = 0
        while self._waiting and self._woken < self._per_turn:
            place = self._waiting.popleft()
            if not place.done():  # cancelled: its client is gone
                place.set_result(None)
                self._woken += 1
        if self._woken:
            self._left = 0  # whoever comes now is behind those who wait
        self._turning = self._woken > 0 or self._left < self._per_turn
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)
