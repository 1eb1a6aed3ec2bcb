"""The roster of one node that is alone: a dictionary. Whoever it holds is present; when it dies, all is gone with it."""

from collections.abc import Collection

from sse_push.events.rosters.base import Forgotten, Moved, Roster, Untold


class LocalRoster(Roster):
    def __init__(self) -> None:
        self._active: dict[str, float] = {}

    def start(self, untold: Untold, forgotten: Forgotten) -> None:
        """There is no other node whose users could be gone, and no server that could forget this one."""

    async def check(self) -> None:
        """It is known as long as it lives."""

    async def told(self, users: Collection[str]) -> None:
        """Nobody could tell in its place."""

    async def move(self, joins: Collection[str], leaves: Collection[str], now: float) -> Moved:
        came = frozenset(user for user in joins if user not in self._active)
        self._active.update(dict.fromkeys(joins, now))
        gone = frozenset(user for user in leaves if self._active.pop(user, None) is not None)
        return Moved(came, gone)

    async def touch(self, users: Collection[str], now: float) -> None:
        self._active.update(dict.fromkeys([user for user in users if user in self._active], now))

    async def present(self, users: Collection[str]) -> dict[str, float]:
        active = self._active
        return {user: active[user] for user in users if user in active}

    async def close(self) -> None:
        self._active.clear()
