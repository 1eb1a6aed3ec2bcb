"""Tracks who of this node's users is online: their streams, heartbeats, and the grace period after the last one closes.

Everything else follows in :meth:`PresenceTracker._step`: registry, diff, notifier. Two timers serve all users.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from sse_push.events.emitter import Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable
from sse_push.events.group import EventGroup, EventList
from sse_push.service.batches import Batch
from sse_push.service.presence.notifier import PresenceNotifier
from sse_push.service.presence.pending import BATCH_USERS
from sse_push.service.presence.registry.base import PresenceRegistry, RegistryListener
from sse_push.service.presence.registry_updates import RegistryUpdates
from sse_push.service.presence.status_events import heartbeat as heartbeat_event
from sse_push.service.presence.subscription import PresenceSubscription
from sse_push.service.presence.worker import Worker
from sse_push.service.timing_wheel import SLOTS, TimingWheel

if TYPE_CHECKING:
    from sse_push.service.presence.friend_lists import FriendLists


class _LocalUser:
    """A user who is online on this node: streams, slot of the wheel, and when the last stream was closed."""

    __slots__ = ("closed_at", "slot", "subscriptions")

    def __init__(self, slot: int, closed_at: float = 0.0) -> None:
        self.subscriptions: set[PresenceSubscription] = set()
        self.slot = slot
        self.closed_at = closed_at


class PresenceTracker(RegistryListener):
    """The presence of this node's users.

    Args:
        friend_lists: Returns the database's friend lists; called when they are first needed.
        deliver: Delivers events to streams of this node.
        grace: Seconds without a stream after which a user is offline: a page that reloads does not flicker.
        heartbeat: Seconds between two heartbeats of a user.
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
        heartbeat: float,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._friend_lists = friend_lists
        self._deliver = deliver
        self._grace = grace
        self._tick_s = heartbeat / SLOTS
        self._clock = clock
        self._versions: Batch[int, int] = Batch(
            lambda users: friend_lists().versions(users), size=BATCH_USERS
        )
        self._worker = Worker(self._has_work, self._step)
        wake = self._worker.wake
        self._updates = RegistryUpdates(registry, wake, clock)
        self._notifier = PresenceNotifier(friend_lists, self._updates, engine, emitter, wake, clock)
        self._users: dict[int, _LocalUser] = {}
        self._wheel: TimingWheel[int] = TimingWheel()
        # Users without a stream, and until when, by the loop's time, they may return. All have the same grace, so the
        # first one is always the next to leave.
        self._leaving: dict[int, float] = {}
        self._resynced_at = 0.0  # by the loop's time; nobody leaves before
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._draining = False

    def __len__(self) -> int:
        """The number of this node's users who are online."""
        return len(self._users)

    @property
    def is_idle(self) -> bool:
        """Nobody is about to leave, and everybody is notified."""
        return not self._leaving and self._worker.is_idle

    def is_announcing(self) -> bool:
        """A change is being published, in this very call."""
        return self._notifier.is_announcing

    def start(self) -> None:
        self._registry.start(self)

    # -- streams --------------------------------------------------------------------------------------

    async def subscribe(self, user: int) -> PresenceSubscription | None:
        """A subscription for a stream of *user* that is about to open; ``None`` if there is no such user.

        Raises:
            DatabaseUnavailable: The user can't be looked up now.
        """
        version = await self._versions.get(user)
        if version is None:
            return None
        return PresenceSubscription(user, version, self.is_announcing)

    def add(self, subscription: PresenceSubscription) -> None:
        """A stream is open: its user is online, and it gets the status of all friends."""
        user = subscription.user
        if user not in self._users:
            self._users[user] = _LocalUser(self._wheel.add(user))
            self._updates.join(user)
        self._leaving.pop(user, None)
        self._users[user].subscriptions.add(subscription)
        self._notifier.queue_initial([subscription])
        if self._heartbeat_timer is None and not self._draining:
            self._heartbeat_timer = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def remove(self, subscription: PresenceSubscription) -> None:
        """A stream is closed. If it was the user's last, the user is offline after the grace period."""
        user = subscription.user
        local = self._users[user]
        local.subscriptions.discard(subscription)
        self._notifier.cancel(subscription)
        if not local.subscriptions:
            local.closed_at = self._clock()
            self._leaving[user] = max(asyncio.get_running_loop().time() + self._grace, self._resynced_at)
            self._start_grace_timer()

    # -- friendships, and what may have been missed ---------------------------------------------------

    def announce_friendship(self, user: int, other: int) -> None:
        """Two users became friends: each gets the other's status at once."""
        self._notifier.queue_friendship(user, other)

    def check_friend_lists(self, users: Iterable[int]) -> None:
        """Send the streams of *users* the status of all friends, if their friend lists have changed."""
        local = [self._users[user] for user in users if user in self._users]
        self._notifier.queue_check(item for user in local for item in user.subscriptions)

    def refresh(self) -> None:
        """Events may have been missed: send every stream the status of all friends."""
        self._updates.verify()
        for local in self._users.values():
            self._notifier.queue_initial(local.subscriptions)

    # -- shutdown -------------------------------------------------------------------------------------

    def drain(self) -> None:
        """This node shuts down: users who leave it are about to connect to another."""
        self._draining = True
        for timer in (self._heartbeat_timer, self._grace_timer):
            if timer is not None:
                timer.cancel()

    async def close(self) -> None:
        """Leave the registry, and record when this node's users were last seen."""
        self.drain()
        await self._worker.close()
        now = self._clock()
        last_seen = {
            user: local.closed_at if user in self._leaving else now for user, local in self._users.items()
        }
        try:
            if last_seen:
                await self._friend_lists().record_last_seen(last_seen)
        except DatabaseUnavailable:
            pass  # logged by the database; the time when they joined is recorded
        await self._registry.close()

    # -- the way of a change --------------------------------------------------------------------------

    def _has_work(self) -> bool:
        return self._updates.has_work or self._notifier.has_work

    async def _step(self) -> None:
        resync_s = await self._updates.check_registration()
        if resync_s is not None:
            self._register_again(resync_s)
        self._notifier.queue_changes(await self._updates.flush())
        await self._notifier.check_versions()
        await self._notifier.notify()

    def _register_again(self, resync_s: float) -> None:
        """This node's registration was lost: register all users again.

        If the server lost all data (*resync_s* is not 0), friends were not notified that anybody left, and must not be
        notified that they joined. Until other nodes have registered their users too, nobody leaves, and no ``initial``
        is sent.
        """
        if resync_s:
            self._resynced_at = asyncio.get_running_loop().time() + resync_s
            self._notifier.pause_initial(resync_s)
            for user, since in self._updates.take_leaves().items():
                self._users[user] = _LocalUser(self._wheel.add(user), closed_at=since)
                self._leaving[user] = 0.0
            self._leaving = dict.fromkeys(self._leaving, self._resynced_at)
            if self._grace_timer is not None:
                self._grace_timer.cancel()
                self._grace_timer = None
            self._start_grace_timer()
        self._updates.rejoin(self._users.keys(), suppress=bool(resync_s))

    # -- RegistryListener -----------------------------------------------------------------------------

    def on_pending(self, users: Mapping[str, float]) -> None:
        self._notifier.queue_pending({int(user): last_active for user, last_active in users.items()})

    def on_registration_lost(self, resync_s: float) -> None:
        self._updates.registration_lost(resync_s)

    # -- timers ---------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._users:
            self._heartbeat_timer = None
            return
        self._heartbeat_timer = asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        users = self._wheel.advance()
        if users:
            self._deliver(EventList([heartbeat_event(users, self._clock())]))
            self._updates.touch(users)
            self.check_friend_lists(users)

    def _start_grace_timer(self) -> None:
        if self._leaving and self._grace_timer is None and not self._draining:
            loop = asyncio.get_running_loop()
            due = next(iter(self._leaving.values()))
            self._grace_timer = loop.call_later(max(0.0, due - loop.time()), self._end_grace)

    def _end_grace(self) -> None:
        self._grace_timer = None
        now = asyncio.get_running_loop().time()
        while self._leaving and next(iter(self._leaving.values())) <= now:
            user = next(iter(self._leaving))
            del self._leaving[user]
            local = self._users.pop(user)
            self._wheel.discard(user, local.slot)
            self._updates.leave(user, local.closed_at)
        self._start_grace_timer()
