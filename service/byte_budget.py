"""How many bytes of the history each caller may fill: a share of it, whatever the history may take just now.

Counting only; knows no HTTP and no engine.
"""

import math
import time
from collections.abc import Callable

from sse_push.events.errors import OverLimit
from sse_push.service.limits import REMEMBERED_CALLERS

EVENT_COST_BYTES = 600  # bytes that an event costs beside its data: its place in the history, and in an index
BURST = 0.5  # of a share, that may be filled at once; the rest comes back over the time that events are kept


class ByteBudget:
    """A token bucket of bytes for each caller.

    What a caller fills at once and what comes back meanwhile make up their share within any *period*: whoever publishes
    as fast as they may never has more of the history than that.

    Args:
        share: Of the history, for each caller; 0 is no limit.
        history_bytes: What the history may take now.
        period: Seconds that events are kept.
    """

    def __init__(
        self,
        share: float,
        history_bytes: Callable[[], int],
        period: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._history_bytes = history_bytes
        self._period = period
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}  # how much, and when that was so

    @property
    def is_limited(self) -> bool:
        return self._share > 0

    def take(self, caller: str, data_bytes: int, events: int = 1) -> None:
        """Count *events* with *data_bytes* of data that *caller* is about to publish.

        Raises:
            OverLimit: ``bytes``: there is no room for them now.
        """
        if not self.is_limited:
            return
        burst, per_second = self._burst()
        cost = data_bytes + events * EVENT_COST_BYTES
        spent = self._spent_by(caller, per_second)
        # What is larger than all that may be filled at once goes when nothing is.
        missing = spent + min(cost, burst) - burst
        if missing > 0:
            raise OverLimit("bytes", max(1, math.ceil(missing / per_second)))
        self._remember(caller, spent + cost)

    def charge(self, caller: str, data_bytes: int) -> None:
        """Count an event that others publish because of *caller*, and that is not refused for it."""
        if self.is_limited:
            _, per_second = self._burst()
            self._remember(caller, self._spent_by(caller, per_second) + data_bytes + EVENT_COST_BYTES)

    def _burst(self) -> tuple[float, float]:
        """Bytes that may be filled at once, and that come back each second."""
        share = max(1.0, self._share * self._history_bytes())
        return BURST * share, (1 - BURST) * share / self._period

    def _spent_by(self, caller: str, per_second: float) -> float:
        spent, then = self._spent.get(caller, (0.0, 0.0))
        return max(0.0, spent - (self._clock() - then) * per_second)

    def _remember(self, caller: str, spent: float) -> None:
        self._spent.pop(caller, None)
        self._spent[caller] = spent, self._clock()
        if len(self._spent) > REMEMBERED_CALLERS:
            del self._spent[next(iter(self._spent))]
