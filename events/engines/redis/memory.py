"""The server's memory: how much of it the history may take, and whether the server throws keys away to have more.

Knows what INFO says, and what to make of it where it says less; does not know who asks, nor what is done about it.
"""

from collections.abc import Mapping

from sse_push.events.errors import EvictingServer

HISTORY_SHARE = (
    0.5  # of the server's maxmemory that the history may take: keys, queues and buffers need some too
)
FULL_AT = (
    0.9  # of it, from where on the history makes room, so that nobody is refused by a server that is full
)


class ServerMemory:
    """What a server's memory leaves to the history, as far as the server says.

    Args:
        max_bytes: What the history may take where the server has enough.

    Attributes:
        bound: Bytes that the history may take now.
        gives_way: The history may go where the server is full: it is the history that fills it.
        evicting: The server may throw keys away, by its settings.
        evicted: How many it has thrown away since it was started; ``None`` if it does not say.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self.bound = max_bytes
        self.gives_way = False
        self.evicting = ""
        self.evicted: int | None = None

    def update(self, facts: Mapping[str, str], history_bytes: int) -> int:
        """Take what INFO says, and what the history takes; how many keys were evicted since the last time."""
        total, policy = _number(facts, "maxmemory"), facts.get("maxmemory_policy", "noeviction")
        self.evicting = policy if total != 0 and policy != "noeviction" else ""
        before, self.evicted = self.evicted, _number(facts, "evicted_keys")
        used = _number(facts, "used_memory")
        self.bound, self.gives_way = self._max_bytes, False
        if total and used is not None:
            used -= _number(facts, "mem_not_counted_for_evict") or 0
            room = int(FULL_AT * total) - (used - history_bytes)
            if room > 0:  # else the server would be full without any history too
                self.gives_way = True
                self.bound = min(self._max_bytes, int(HISTORY_SHARE * total), room)
        return 0 if before is None or self.evicted is None else max(0, self.evicted - before)

    def forget_evicted(self) -> None:
        """The server is another one, or was restarted."""
        self.evicted = None

    def require_no_eviction(self) -> None:
        """See that the server keeps what it has.

        Raises:
            EvictingServer: It may throw keys away.
        """
        if self.evicting:
            raise EvictingServer(self.evicting)


def _number(facts: Mapping[str, str], name: str) -> int | None:
    value = facts.get(name, "")
    return int(value) if value.isdecimal() else None
