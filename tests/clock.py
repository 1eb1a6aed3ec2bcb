"""Time in tests: a clock that stands until it is told to go on, and how long anything is waited for."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_S = 10.0  # seconds; a passing test needs milliseconds, a busy machine some hundred


class Clock:
    """Seconds since the Unix epoch, as the test says. Begins at the real time: tokens are checked against that."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


async def until(condition: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """Wait for *condition* to hold.

    Raises:
        TimeoutError: It did not within *seconds*.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
