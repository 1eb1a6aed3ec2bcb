"""Exponential backoff with jitter: how long to wait between attempts at something that others may be attempting too."""

import random
from collections.abc import Callable

_JITTER = 0.5  # share by which a wait varies, so that nodes that failed together do not return together


class Backoff:
    """The waits between attempts.

    Args:
        first: Seconds before the second attempt; doubled with each failure in a row.
        longest: Seconds that no wait exceeds, apart from the jitter.
        chance: A number from -1 to 1.
    """

    def __init__(
        self, first: float, longest: float, chance: Callable[[], float] = lambda: random.uniform(-1, 1)
    ) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self._next = first

    def reset(self) -> None:
        """The last attempt succeeded."""
        self._next = self._first

    def next_wait(self) -> float:
        """Seconds to wait before the next attempt."""
        wait, self._next = self._next, min(2 * self._next, self._longest)
        return wait * (1 + _JITTER * self._chance())
