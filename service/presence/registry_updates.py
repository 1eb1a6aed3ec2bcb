"""Batched registry updates; they return the resulting joins and leaves.

What fails stays pending; a registry may lose this node's registration. Knows the registry, not who is notified.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Set

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.pending import put_back, take
from sse_push.service.presence.registry.base import PresenceRegistry

PendingChanges = dict[int, float | None]  # users: None if online, else when they left


class RegistryUpdates:
    """Pending updates of the registry.

    Args:
        wake: Called when there is something to do.
        on_registration_lost: Called before an update if this node's registration is lost
            (:meth:`sse_push.service.presence.registry.base.PresenceRegistry.start`).
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        registry: PresenceRegistry,
        wake: Callable[[], object],
        on_registration_lost: Callable[[float], object],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._wake = wake
        self._forgotten = on_registration_lost
        self._clock = clock
        self._pending: PendingChanges = {}
        self._suppressed: set[int] = set()  # not to be published: friends still see them as online
        self._active: dict[int, None] = {}
        self._to_ack: dict[int, None] = {}
        self._missed = False
        self._lost_for: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether anything is pending."""
        return (
            bool(self._pending or self._active or self._to_ack or self._missed) or self._lost_for is not None
        )

    @property
    def may_be_outdated(self) -> bool:
        """The registry's answers may be wrong: it may have lost its data, and nodes may not have registered again."""
        return self._missed or self._lost_for is not None

    def join(self, user: int) -> None:
        """*user* joined this node."""
        self._pending[user] = None
        self._wake()

    def leave(self, user: int, left: float) -> None:
        """*user* left this node at *left*."""
        self._pending[user] = left
        self._wake()

    def touch(self, users: Iterable[int]) -> None:
        """*users* of this node are active."""
        self._active.update(dict.fromkeys(users))
        self._wake()

    def ack(self, users: Iterable[int]) -> None:
        """The friends of *users* are notified; if this node crashes, no other node has to do it."""
        self._to_ack.update(dict.fromkeys(users))
        self._wake()

    def check(self) -> None:
        """Messages may have been missed: check first whether this node is still registered."""
        self._missed = True
        self._wake()

    def registration_lost(self, resync_s: float) -> None:
        """This node's registration is lost."""
        self._lost_for = resync_s
        self._wake()

    def rejoin(self, users: Set[int], *, suppress: bool) -> None:
        """All of *users* onto the registry anew; *suppress*: nobody was to_ack of them as gone, and
        they need not be to_ack of if this is done before anybody looks.
        """
        again = users - {user for user, left in self._pending.items() if left is None}
        self._pending.update(dict.fromkeys(again))
        if suppress:
            self._suppressed |= again

    def take_leaves(self) -> dict[int, float]:
        """Remove and return pending leaves, with their times: they happen later."""
        leaves = {user: left for user, left in self._pending.items() if left is not None}
        for user in leaves:
            del self._pending[user]
        return leaves

    async def work(self) -> PendingChanges:
        """Update the registry; returns the changes to publish.

        Raises:
            EngineUnavailable: The registry can't be reached; everything stays pending.
        """
        if self._missed:
            self._missed = False  # what is missed from now on needs another check
            try:
                await self._registry.check()
            except Exception:
                self._missed = True
                raise
        if self._lost_for is not None:
            resync_s, self._lost_for = self._lost_for, None
            self._forgotten(resync_s)
        await self._note()  # before newer changes of the same users
        pending, active = take(self._pending), take(self._active)
        try:
            changes = await self._write(pending) if pending else {}
            if active:
                await self._registry.touch([str(user) for user in active], self._clock())
        except EngineUnavailable:
            put_back(self._pending, pending)
            raise
        return changes

    async def _note(self) -> None:
        to_ack = [*self._to_ack]
        if to_ack:
            await self._registry.ack([str(user) for user in to_ack])
        for user in to_ack:
            self._to_ack.pop(user, None)

    async def _write(self, pending: Mapping[int, float | None]) -> PendingChanges:
        joins = {user for user, left in pending.items() if left is None}
        leaves = pending.keys() - joins
        diff = await self._registry.update(list(map(str, joins)), list(map(str, leaves)), self._clock())
        joined = {int(user) for user in diff.joined}
        quiet = joined & self._suppressed if diff.resyncing else set[int]()
        self.ack(quiet)
        changes = dict.fromkeys(joined - quiet) | {int(user): pending[int(user)] for user in diff.left}
        self._suppressed -= joins
        return changes

    async def present(self, users: Collection[int]) -> dict[int, float]:
        """Those of *users* who are present on any node, and when they were last active.

        Raises:
            EngineUnavailable: The registry can't be reached.
        """
        found = await self._registry.present([str(user) for user in users]) if users else {}
        return {int(user): at for user, at in found.items()}
