"""The registry of a single node: a dictionary. When the node dies, nobody is left to notify."""

from collections.abc import Collection

from sse_push.service.presence.registry.base import PresenceDiff, PresenceRegistry, RegistryListener


class LocalRegistry(PresenceRegistry):
    def __init__(self) -> None:
        self._last_active: dict[str, float] = {}

    def start(self, listener: RegistryListener) -> None:
        """Nothing to report: no other node can die, and no server can lose data."""

    async def verify(self) -> None:
        """The registration can't be lost."""

    async def ack(self, users: Collection[str]) -> None:
        """No other node could send notifications."""

    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        joined = frozenset(user for user in joins if user not in self._last_active)
        self._last_active.update(dict.fromkeys(joins, now))
        left = frozenset(user for user in leaves if self._last_active.pop(user, None) is not None)
        return PresenceDiff(joined, left)

    async def touch(self, users: Collection[str], now: float) -> None:
        self._last_active.update(dict.fromkeys([user for user in users if user in self._last_active], now))

    async def online(self, users: Collection[str]) -> dict[str, float]:
        last_active = self._last_active
        return {user: last_active[user] for user in users if user in last_active}

    async def close(self) -> None:
        self._last_active.clear()
