"""Batched updates of the registry: what this node's users do goes there, and the resulting changes come back.

Updates that fail stay pending; of a user the newest state counts. Knows the registry; does not know who is notified.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Set

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.pending import PendingChanges, put_back, take
from sse_push.service.presence.registry.base import PresenceRegistry


class RegistryUpdates:
    """Updates of *registry* that are pending.

    Args:
        wake: Called when there is work.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self, registry: PresenceRegistry, wake: Callable[[], object], clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._wake = wake
        self._clock = clock
        self._changes: PendingChanges = {}
        self._suppressed: set[int] = set()  # friends know them as online, though the registry lost them
        self._active: dict[int, None] = {}
        self._acks: dict[int, None] = {}
        self._must_verify = False
        self._resync_s: float | None = None  # set when the registration was lost

    @property
    def has_work(self) -> bool:
        return bool(self._changes or self._active or self._acks) or self.may_be_outdated

    @property
    def may_be_outdated(self) -> bool:
        """The registry may have lost its data, and nodes may not have registered their users again yet."""
        return self._must_verify or self._resync_s is not None

    def join(self, user: int) -> None:
        """*user* is online on this node."""
        self._changes[user] = None
        self._wake()

    def leave(self, user: int, since: float) -> None:
        """*user* is offline on this node, since *since*."""
        self._changes[user] = since
        self._wake()

    def touch(self, users: Iterable[int]) -> None:
        """*users*, who are online on this node, are active."""
        self._active.update(dict.fromkeys(users))
        self._wake()

    def ack(self, users: Iterable[int]) -> None:
        """The friends of *users* are notified: if this node dies, no other needs to do it."""
        self._acks.update(dict.fromkeys(users))
        self._wake()

    def verify(self) -> None:
        """The registry may have lost data: check this node's registration before anything else."""
        self._must_verify = True
        self._wake()

    def registration_lost(self, resync_s: float) -> None:
        """This node's registration is lost (:meth:`RegistryListener.on_registration_lost`)."""
        self._resync_s = resync_s
        self._wake()

    def take_leaves(self) -> dict[int, float]:
        """Remove and return the pending leaves, with their times."""
        leaves = {user: since for user, since in self._changes.items() if since is not None}
        for user in leaves:
            del self._changes[user]
        return leaves

    def rejoin(self, users: Set[int], *, suppress: bool) -> None:
        """Register all of *users* again.

        Args:
            suppress: Friends were never notified that they left, so do not notify them that they joined. Counts only
                while all nodes register again.
        """
        again = users - {user for user, since in self._changes.items() if since is None}
        self._changes.update(dict.fromkeys(again))
        if suppress:
            self._suppressed |= again

    async def check_registration(self) -> float | None:
        """Check the registration if that is due.

        Returns:
            ``None`` if it holds; if it was lost, the seconds in which all nodes register their users again.

        Raises:
            EngineUnavailable: It can't be checked now, and stays due.
        """
        if self._must_verify:
            self._must_verify = False  # a loss from now on is another one
            try:
                await self._registry.verify()
            except Exception:
                self._must_verify = True
                raise
        resync_s, self._resync_s = self._resync_s, None
        return resync_s

    async def flush(self) -> PendingChanges:
        """Send a batch of updates; returns which users joined and left.

        Raises:
            EngineUnavailable: The registry can't be reached; the updates stay pending.
        """
        await self._flush_acks()  # first: a change of the same user may follow
        changes, active = take(self._changes), take(self._active)
        try:
            if active:
                await self._registry.touch([str(user) for user in active], self._clock())
            return await self._update(changes) if changes else {}  # last: what it returns must not be lost
        except EngineUnavailable:
            put_back(self._changes, changes)
            raise

    async def online(self, users: Collection[int]) -> dict[int, float]:
        """Those of *users* who are online on any node, and when they were last active.

        Raises:
            EngineUnavailable: The registry can't be reached.
        """
        last_active = await self._registry.online([str(user) for user in users]) if users else {}
        return {int(user): at for user, at in last_active.items()}

    async def _flush_acks(self) -> None:
        users = [*self._acks]
        if users:
            await self._registry.ack([str(user) for user in users])
        for user in users:
            self._acks.pop(user, None)

    async def _update(self, changes: Mapping[int, float | None]) -> PendingChanges:
        joins = {user for user, since in changes.items() if since is None}
        leaves = changes.keys() - joins
        diff = await self._registry.update(list(map(str, joins)), list(map(str, leaves)), self._clock())
        joined = {int(user) for user in diff.joined}
        suppressed = joined & self._suppressed if diff.resyncing else set[int]()
        self.ack(suppressed)
        self._suppressed -= joins
        left = {int(user) for user in diff.left}
        return dict.fromkeys(joined - suppressed) | {user: changes[user] for user in left}
