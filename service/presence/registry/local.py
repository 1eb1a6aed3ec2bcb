"""The registry of a single node: a dictionary."""

from collections.abc import Collection

from sse_push.service.presence.registry.base import (
    OnPending,
    OnRegistrationLost,
    PresenceDiff,
    PresenceRegistry,
)


class LocalRegistry(PresenceRegistry):
    def __init__(self) -> None:
        self._active: dict[str, float] = {}

    def start(self, on_pending: OnPending, on_registration_lost: OnRegistrationLost) -> None:
        """Needs no callbacks: there is no other node, and no server that could lose data."""

    async def check(self) -> None:
        """Always registered."""

    async def ack(self, users: Collection[str]) -> None:
        """No other node could notify instead."""

    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        joined = frozenset(user for user in joins if user not in self._active)
        self._active.update(dict.fromkeys(joins, now))
        left = frozenset(user for user in leaves if self._active.pop(user, None) is not None)
        return PresenceDiff(joined, left)

    async def touch(self, users: Collection[str], now: float) -> None:
        self._active.update(dict.fromkeys([user for user in users if user in self._active], now))

    async def present(self, users: Collection[str]) -> dict[str, float]:
        active = self._active
        return {user: active[user] for user in users if user in active}

    async def close(self) -> None:
        self._active.clear()
