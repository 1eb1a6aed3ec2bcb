"""Limits: how many streams are open, and how fast a caller may command. Counting only; knows no HTTP."""

import math
import time
from collections.abc import Callable

from events.errors import OverLimit
from service.addresses import IPV6_PREFIX, network_of

RETRY_AFTER_S = 10  # seconds a client refused for its connections waits: tabs close, peers are found dead
REMEMBERED_CALLERS = 10_000  # callers whose pace is remembered; past it the least recent is forgotten


class ConnectionLimits:
    """Counts open streams in total, by user and by address.

    Args:
        ipv6_prefix: Bits of an IPv6 address that count.
    """

    def __init__(
        self, total: int, per_user: int, per_address: int, *, ipv6_prefix: int = IPV6_PREFIX
    ) -> None:
        self._ipv6_prefix = ipv6_prefix
        self._total = total
        self._per_user = per_user
        self._per_address = per_address
        self.open = 0
        self._by_user: dict[str, int] = {}
        self._by_address: dict[str, int] = {}

    def take(self, user: str | None, address: str) -> None:
        """Take a slot; every slot taken must be given back.

        Raises:
            OverLimit: ``total``, ``user`` or ``address``; nothing was taken.
        """
        address = network_of(address, self._ipv6_prefix)
        if self.open >= self._total:
            raise OverLimit("total", RETRY_AFTER_S)
        if user is not None and self._by_user.get(user, 0) >= self._per_user:
            raise OverLimit("user", RETRY_AFTER_S)
        if self._by_address.get(address, 0) >= self._per_address:
            raise OverLimit("address", RETRY_AFTER_S)
        self.open += 1
        if user is not None:
            self._by_user[user] = self._by_user.get(user, 0) + 1
        self._by_address[address] = self._by_address.get(address, 0) + 1

    def give(self, user: str | None, address: str) -> None:
        """Give a slot back."""
        self.open -= 1
        address = network_of(address, self._ipv6_prefix)
        for counts, name in ((self._by_user, user), (self._by_address, address)):
            if name is None:
                continue
            if counts[name] == 1:
                del counts[name]
            else:
                counts[name] -= 1


class RateLimit:
    """A token bucket for each caller: ``per_second`` commands, and a burst of twice as many.

    Args:
        name: Of the limit, for those who are over it.
        burst: Where it is another.
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        name: str = "rate",
        burst: float | None = None,
    ) -> None:
        self._name = name
        self._per_second = per_second
        self._burst = max(1.0, per_second * 2 if burst is None else burst)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and when that was so

    def take(self, caller: str) -> None:
        """Count one command of *caller*.

        Raises:
            OverLimit: It was one too many.
        """
        if not self._per_second:
            return
        now = self._clock()
        left, then = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_second)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)
        if len(self._buckets) > REMEMBERED_CALLERS:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            raise OverLimit(self._name, max(1, math.ceil((1 - left) / self._per_second)))
