"""How old stored things are, whatever becomes of the system's clock. Knows no tables."""

import time
from collections.abc import Callable

# Goes on while the machine sleeps, where the system has such a clock.
_elapsed = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_clock() -> Callable[[], float]:
    """A clock that begins with the system's, in seconds since the Unix epoch, and that nobody sets."""
    ahead = time.time() - time.clock_gettime(_elapsed)
    return lambda: ahead + time.clock_gettime(_elapsed)


class Ages:
    """Ages by a clock that may be set forward and back: the system's, from one start to the next.

    What carries a time that is yet to come was written before the clock was set back. Its age counts from when that
    was first noticed.

    Args:
        latest: The latest time that anything carries.
        set_back_at: When it was noticed that the clock was set back; 0 where nothing is ahead of it.
        save: Called with both when the clock was set back, and when it has caught up.
    """

    def __init__(self, latest: float, set_back_at: float, save: Callable[[float, float], object]) -> None:
        self._latest = latest
        self._set_back_at = set_back_at
        self._save = save

    def note(self, now: float) -> None:
        """It is *now*. Call it before anything is written with that time, or looked at."""
        if now >= self._latest:
            self._latest, set_back_at = now, 0.0
        else:
            set_back_at = min(self._set_back_at or now, now)
        if set_back_at != self._set_back_at:
            self._set_back_at = set_back_at
            self._save(self._latest, set_back_at)

    def age(self, at: float, now: float) -> float:
        """Seconds since *at*, or where that is yet to come, since the clock was set back."""
        return now - (at if at <= now else self._set_back_at or now)

    def ahead_for(self, now: float) -> float:
        """Seconds for which something has been ahead of the clock; 0 where nothing is."""
        return now - self._set_back_at if self._set_back_at else 0.0
