"""Which users of this node are online: their streams, heartbeats and grace periods.

Counts, and keeps two timers for all users; the notifier (notifier.py) does what follows.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from sse_push.events.emitter import Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable
from sse_push.events.event import Event
from sse_push.events.group import EventGroup, EventList
from sse_push.service.batches import Batch
from sse_push.service.presence.notifier import PresenceNotifier
from sse_push.service.presence.pending import BATCH_USERS
from sse_push.service.presence.registry.base import PresenceRegistry
from sse_push.service.presence.statuses import connected, heartbeat
from sse_push.service.presence.subscription import PresenceSubscription
from sse_push.service.streams.presence import TOPIC

if TYPE_CHECKING:
    from sse_push.service.presence.friend_lists import FriendLists

SLOTS = 60  # ticks that a heartbeat period is spread over


class _Here:
    """A user of this node: their streams, their slot on the wheel, and when the last stream was closed."""

    __slots__ = ("left", "slot", "subscriptions")

    def __init__(self, slot: int) -> None:
        self.subscriptions: set[PresenceSubscription] = set()
        self.slot = slot
        self.left = 0.0


class PresenceTracker:
    """The presence of this node's users.

    Args:
        friend_lists: Called when the database is first needed.
        grace: Seconds without a stream after which a user is offline: a page reload does not flicker.
        beat: Seconds between two heartbeats of a user.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        registry: PresenceRegistry,
        friend_lists: "Callable[[], FriendLists]",
        engine: Engine,
        emitter: Emitter,
        deliver: Callable[[EventGroup], object],
        *,
        grace: float,
        beat: float,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._friend_lists = friend_lists
        self._deliver = deliver
        self._grace = grace
        self._tick_s = beat / SLOTS
        self._clock = clock
        self._known: Batch[int, int] = Batch(lambda users: friend_lists().versions(users), size=BATCH_USERS)
        self._notifier = PresenceNotifier(registry, friend_lists, engine, emitter, self._reregister, clock)
        self._here: dict[int, _Here] = {}
        self._slots: list[set[int]] = [set() for _ in range(SLOTS)]
        self._cursor = 0
        # Users without a stream, and until when, by the loop's time, they may return.
        self._leaving: dict[int, float] = {}
        self._settled = 0.0  # by the loop's time before which nobody leaves
        self._beat: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._draining = False
        self.engine = engine

    def __len__(self) -> int:
        """Users of this node who are online."""
        return len(self._here)

    @property
    def is_idle(self) -> bool:
        """Nobody is about to leave, and nothing is pending."""
        return not self._leaving and self._notifier.is_idle

    @property
    def is_notifying(self) -> bool:
        """A change is being published right now."""
        return self._notifier.is_notifying

    def start(self) -> None:
        self._registry.start(self._notify_expired, self._notifier.updates.registration_lost)

    async def watch(self, user: int) -> PresenceSubscription | None:
        """For a stream of *user*'s that is about to open; ``None`` where there is no such user.

        Raises:
            DatabaseUnavailable: It can't be told now.
        """
        version = await self._known.get(user)
        return None if version is None else PresenceSubscription(self, TOPIC, user, version)

    def connected(self, user: int) -> Event:
        """What a stream of *user*'s begins with."""
        return connected(user, self._clock())

    def set_online(self, user: int, subscription: PresenceSubscription) -> None:
        """A stream of *user*'s is open."""
        here = self._here.get(user)
        if here is None:
            here = self._enter(user)
            self._notifier.updates.join(user)
        self._leaving.pop(user, None)
        here.subscriptions.add(subscription)
        self._notifier.send_initial([subscription])
        if self._beat is None and not self._draining:
            self._beat = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def set_offline(self, user: int, subscription: PresenceSubscription) -> None:
        """It is closed. If it was their last, *user* is offline when the grace is over."""
        here = self._here[user]
        here.subscriptions.discard(subscription)
        self._notifier.forget(subscription)
        if not here.subscriptions:
            here.left = self._clock()
            self._leaving[user] = max(asyncio.get_running_loop().time() + self._grace, self._settled)
            self._arm_sweep()

    def update_activity(self, users: Iterable[int]) -> None:
        """*users* are active now."""
        self._notifier.updates.touch(users)

    def met(self, one: int, other: int) -> None:
        """Two became friends: each learns at once how the other is."""
        self._notifier.announce_friendship(one, other)

    def refresh(self) -> None:
        """Events may have been missed: send every stream its initial state again."""
        self._notifier.updates.check()
        for here in self._here.values():
            self._notifier.send_initial(here.subscriptions)

    def check_friend_lists(self, users: Iterable[int]) -> None:
        """See whether the friend_lists of *users* have changed, and if so, tell their streams here who is in them."""
        here = [self._here[user] for user in users if user in self._here]
        self._notifier.check_versions(subscription for one in here for subscription in one.subscriptions)

    def resend_initial(self, subscription: PresenceSubscription) -> None:
        """What *subscription* is told is old already: tell it anew how all friends are."""
        self._notifier.send_initial([subscription])

    def drain(self) -> None:
        """This node goes away: who leaves it now is about to come to another."""
        self._draining = True
        for timer in (self._beat, self._sweep):
            if timer is not None:
                timer.cancel()

    async def close(self) -> None:
        """Leave the registry, and keep when those who are here were last seen."""
        self.drain()
        await self._notifier.close()
        now = self._clock()
        seen = {user: here.left if user in self._leaving else now for user, here in self._here.items()}
        try:
            if seen:
                await self._friend_lists().record_last_seen(seen)
        except DatabaseUnavailable:
            pass  # the database has said so itself; they were seen when they joined
        await self._registry.close()

    def _enter(self, user: int) -> _Here:
        here = self._here[user] = _Here(
            self._cursor - 1
        )  # the slot just served: the first beat is a period away
        self._slots[here.slot].add(user)
        return here

    def _tick(self) -> None:
        if not self._here:
            self._beat = None
            return
        self._beat = asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        users = self._slots[self._cursor]
        self._cursor = (self._cursor + 1) % SLOTS
        if users:
            self._deliver(EventList([heartbeat(users, self._clock())]))
            self.update_activity(users)
            self.check_friend_lists(users)

    def _arm_sweep(self) -> None:
        """Look again when the first to leave, who stands first, has no more grace."""
        if self._leaving and self._sweep is None and not self._draining:
            loop = asyncio.get_running_loop()
            due = next(iter(self._leaving.values()))
            self._sweep = loop.call_later(max(0.0, due - loop.time()), self._end_grace)

    def _end_grace(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        while self._leaving and next(iter(self._leaving.values())) <= now:
            user = next(iter(self._leaving))
            del self._leaving[user]
            here = self._here.pop(user)
            self._slots[here.slot].discard(user)
            self._notifier.updates.leave(user, here.left)
        self._arm_sweep()

    def _notify_expired(self, users: Mapping[str, float]) -> None:
        """A node died: of these it can't tell any more."""
        self._notifier.notify_for_expired({int(user): at for user, at in users.items()})

    def _reregister(self, resync_s: float) -> None:
        """The registry forgot this node: everybody onto it anew.

        Where it lost all, nobody was told of as gone, and nobody will be told that they joined. Who has left meanwhile leaves
        later, and nobody is told how all friends are before: other nodes may hold them, and must have said so.
        """
        if resync_s:
            self._settled = asyncio.get_running_loop().time() + resync_s
            self._notifier.pause_initial(resync_s)
            for user, left in self._notifier.updates.take_leaves().items():
                self._enter(user).left = left
                self._leaving[user] = 0.0
            self._leaving = dict.fromkeys(self._leaving, self._settled)
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
            self._arm_sweep()
        self._notifier.updates.rejoin(self._here.keys(), suppress=bool(resync_s))
