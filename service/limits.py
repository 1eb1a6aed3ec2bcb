"""Limits: how many streams are open, and how fast a caller may command. Counting only; knows no HTTP."""

import math
import time
from collections.abc import Callable
from itertools import islice

from sse_push.events.errors import OverLimit
from sse_push.service.addresses import IPV6_PREFIX, network_of

RETRY_AFTER_S = 10  # seconds a client refused for its connections waits: tabs close, peers are found dead
REMEMBERED_CALLERS = 10_000  # callers whose pace is remembered; past it the least recent is forgotten
_LOOKED_AT_ONCE = 2  # callers looked at with each command: they go faster than they come
_EPSILON = 1e-6  # commands: what sums of floats are off by


class ConnectionLimits:
    """Counts open streams in total, by user and by address.

    Args:
        anonymous_share: Of *total* and of *per_address*, what streams without a token may take. The rest is for users:
            some addresses, or a neighbour behind the same NAT, can't take all there is from them.
        ipv6_prefix: Bits of an IPv6 address that count.
    """

    def __init__(
        self,
        total: int,
        per_user: int,
        per_address: int,
        *,
        anonymous_share: float = 1.0,
        ipv6_prefix: int = IPV6_PREFIX,
    ) -> None:
        self._ipv6_prefix = ipv6_prefix
        self._total = total
        self._per_user = per_user
        self._per_address = per_address
        self._anonymous_total = max(1, int(total * anonymous_share))
        self._anonymous_per_address = max(1, int(per_address * anonymous_share))
        self.open = 0
        self._anonymous = 0
        self._by_user: dict[str, int] = {}
        self._by_address: dict[str, int] = {}
        self._anonymous_by_address: dict[str, int] = {}

    def caller(self, user: str | None, address: str) -> tuple[str, str]:
        """Who counts as one caller: a user, or without a token a network address."""
        return ("user", user) if user is not None else ("address", network_of(address, self._ipv6_prefix))

    def take(self, user: str | None, address: str) -> None:
        """Take a slot; every slot taken must be given back.

        Raises:
            OverLimit: ``total``, ``user``, ``address`` or ``anonymous``; nothing was taken.
        """
        address = network_of(address, self._ipv6_prefix)
        if self.open >= self._total:
            raise OverLimit("total", RETRY_AFTER_S)
        if user is not None and self._by_user.get(user, 0) >= self._per_user:
            raise OverLimit("user", RETRY_AFTER_S)
        if self._by_address.get(address, 0) >= self._per_address:
            raise OverLimit("address", RETRY_AFTER_S)
        if user is None and (
            self._anonymous >= self._anonymous_total
            or self._anonymous_by_address.get(address, 0) >= self._anonymous_per_address
        ):
            raise OverLimit("anonymous", RETRY_AFTER_S)
        self._count(user, address, 1)

    def give(self, user: str | None, address: str) -> None:
        """Give a slot back."""
        self._count(user, network_of(address, self._ipv6_prefix), -1)

    def _count(self, user: str | None, network: str, change: int) -> None:
        self.open += change
        _add(self._by_address, network, change)
        if user is None:
            self._anonymous += change
            _add(self._anonymous_by_address, network, change)
        else:
            _add(self._by_user, user, change)


def _add(counts: dict[str, int], name: str, change: int) -> None:
    """Nothing is remembered of those who have none."""
    count = counts.get(name, 0) + change
    if count:
        counts[name] = count
    else:
        del counts[name]


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
        self._full_at: dict[
            str, float
        ] = {}  # when the bucket of each will be full again, the least recent first

    def take(self, caller: str) -> None:
        """Count one command of *caller*.

        Raises:
            OverLimit: It was one too many.
        """
        if not self._per_second:
            return
        now = self._clock()
        full_at = max(now, self._full_at.pop(caller, now))
        left = self._burst - (full_at - now) * self._per_second
        allowed = left >= 1 - _EPSILON
        self._full_at[caller] = full_at + 1 / self._per_second if allowed else full_at
        self._forget_full(now)
        if not allowed:
            raise OverLimit(self._name, max(1, math.ceil((1 - left) / self._per_second)))

    def give(self, caller: str) -> None:
        """What was taken for *caller* does not count after all."""
        if caller in self._full_at:
            self._full_at[caller] -= 1 / self._per_second

    def _forget_full(self, now: float) -> None:
        """Forget some of those whose buckets are full by now, and the least recent where there are too many."""
        for caller in list(islice(self._full_at, _LOOKED_AT_ONCE)):
            if self._full_at[caller] <= now or len(self._full_at) > REMEMBERED_CALLERS:
                del self._full_at[caller]
