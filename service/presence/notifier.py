"""Notifies friends: of each change those who are online, and each stream that needs it of the status of all friends.

Work is queued at once and done in batches, in order; what fails because the database or Redis is unavailable stays queued.
Knows friend lists, the registry and the emitter; does not know timers, or why a user joined or left.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from sse_push.events.emitter import SSE_PUSH, Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable, EngineUnavailable
from sse_push.events.event import MAX_USERS
from sse_push.service.presence.pending import PendingChanges, put_back, take
from sse_push.service.presence.registry_updates import RegistryUpdates
from sse_push.service.presence.status_events import initial, status_change
from sse_push.service.presence.subscription import PresenceSubscription

if TYPE_CHECKING:
    from sse_push.service.presence.friend_lists import FriendList, FriendLists

NOTIFIED_PER_ITERATION = 5  # users announced, or streams written, per loop iteration (some ms)
CHECKED_VERSIONS = 500  # streams whose friend lists are checked at once: a number each, some ms
_NO_ACCOUNT = -1  # the version of the friend list of a user whose account was removed


class _Work(NamedTuple):
    """What one batch does."""

    changes: PendingChanges
    subscriptions: Collection[PresenceSubscription]
    friendships: Collection[tuple[int, int]]

    @property
    def users(self) -> set[int]:
        """The users whose friends are needed."""
        befriended = {user for pair in self.friendships for user in pair}
        return {*self.changes, *(subscription.user for subscription in self.subscriptions), *befriended}


class _Snapshot(NamedTuple):
    """What a batch read: friend lists of the users concerned, and when those who are online were last active."""

    friend_lists: "Mapping[int, FriendList]"
    online: Mapping[int, float]


class PresenceNotifier:
    """Notifies the friends of one node's users.

    Args:
        friend_lists: Returns the database's friend lists; called when they are first needed.
        updates: Answers who is online, and takes the acknowledgements.
        wake: Called when there is work.
        clock: Seconds since the Unix epoch.

    Attributes:
        is_announcing: A change is being published, in this very call.
    """

    def __init__(
        self,
        friend_lists: "Callable[[], FriendLists]",
        updates: RegistryUpdates,
        engine: Engine,
        emitter: Emitter,
        wake: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._friend_lists = friend_lists
        self._updates = updates
        self._engine = engine
        self._emitter = emitter
        self._wake = wake
        self._clock = clock
        self._changes: PendingChanges = {}
        self._initial_due: dict[PresenceSubscription, None] = {}
        self._check_due: dict[PresenceSubscription, None] = {}
        self._friendships: dict[tuple[int, int], None] = {}
        self._resynced_at = 0.0  # by the loop's time: all nodes have registered their users again
        self.is_announcing = False

    @property
    def has_work(self) -> bool:
        if self._changes or self._friendships or self._check_due:
            return True
        return bool(self._initial_due) and self._is_resynced()

    # -- queueing -------------------------------------------------------------------------------------

    def queue_changes(self, changes: PendingChanges) -> None:
        """Users joined or left."""
        self._changes.update(changes)
        self._wake()

    def queue_pending(self, users: Mapping[int, float]) -> None:
        """Take over notifications that no node has sent, with the time of the user's last activity."""
        for user, last_active in users.items():
            self._changes[user] = max(last_active, self._changes.get(user) or 0.0)
        self._wake()

    def queue_initial(self, subscriptions: Iterable[PresenceSubscription]) -> None:
        """Send each of *subscriptions* the status of all friends."""
        self._initial_due.update(dict.fromkeys(subscriptions))
        self._wake()

    def queue_check(self, subscriptions: Iterable[PresenceSubscription]) -> None:
        """Send those of *subscriptions* whose friend list has changed the status of all friends."""
        self._check_due.update(dict.fromkeys(subscriptions))
        self._wake()

    def queue_friendship(self, user: int, other: int) -> None:
        """Two users became friends: send each the other's status."""
        self._friendships[user, other] = None
        self._wake()

    def cancel(self, subscription: PresenceSubscription) -> None:
        """*subscription* is closed."""
        self._initial_due.pop(subscription, None)
        self._check_due.pop(subscription, None)

    def pause_initial(self, seconds: float) -> None:
        """Send no ``initial`` for *seconds*: other nodes register their users again."""
        loop = asyncio.get_running_loop()
        self._resynced_at = loop.time() + seconds
        loop.call_later(seconds, self._wake)

    def _is_resynced(self) -> bool:
        return asyncio.get_running_loop().time() >= self._resynced_at

    # -- working --------------------------------------------------------------------------------------

    async def check_versions(self) -> None:
        """Compare versions of friend lists. One that fails is left to the next heartbeat."""
        subscriptions = take(self._check_due, CHECKED_VERSIONS)
        if subscriptions:
            versions = await self._friend_lists().versions({item.user for item in subscriptions})
            for subscription in subscriptions:
                if subscription.update_version(versions.get(subscription.user, _NO_ACCOUNT)):
                    self._initial_due[subscription] = None

    async def notify(self) -> None:
        """Do a batch of the queued work.

        Raises:
            DatabaseUnavailable, EngineUnavailable: It could not be done, and is queued again.
        """
        changes, friendships = take(self._changes), take(self._friendships)
        can_send_initial = self._is_resynced() and not self._updates.may_be_outdated
        subscriptions = take(self._initial_due) if can_send_initial else {}
        if not (changes or subscriptions or friendships):
            return
        try:
            await self._notify(_Work(changes, subscriptions, friendships))
        except (DatabaseUnavailable, EngineUnavailable):
            put_back(self._changes, changes)
            put_back(self._friendships, friendships)
            self._retry_initial(subscriptions)
            raise
        except Exception:
            self._retry_initial(subscriptions)  # they buffer, or drop, events until their ``initial``
            raise

    def _retry_initial(self, subscriptions: Iterable[PresenceSubscription]) -> None:
        put_back(self._initial_due, {item: None for item in subscriptions if item.is_open})

    async def _notify(self, work: _Work) -> None:
        changes = work.changes
        await self._begin_snapshots(work.subscriptions)
        await self._record_last_seen(changes)
        snapshot = await self._read(work)
        await self._announce_changes(changes, snapshot)
        self._announce_friendships(work.friendships, snapshot)
        if changes or work.friendships:
            await self._engine.wait_caught_up(())  # Redis has them, or they are sent again
        await self._send_initials(work.subscriptions, snapshot)
        await self._queue_returned([user for user, since in changes.items() if since is not None])
        self._updates.ack(user for user in changes if user not in self._changes)

    async def _begin_snapshots(self, subscriptions: Collection[PresenceSubscription]) -> None:
        if subscriptions:
            await self._engine.wait_caught_up([key for item in subscriptions for key in item.keys])
            for subscription in subscriptions:
                subscription.begin_snapshot()

    async def _record_last_seen(self, changes: PendingChanges) -> None:
        if changes:
            now = self._clock()
            last_seen = {user: now if since is None else since for user, since in changes.items()}
            await self._friend_lists().record_last_seen(last_seen)

    async def _read(self, work: _Work) -> _Snapshot:
        users = work.users
        friend_lists = await self._friend_lists().of(users)
        friends = {friend for friend_list in friend_lists.values() for friend in friend_list}
        online = await self._updates.online(friends | users)
        if not self._engine.reachable:
            raise EngineUnavailable("events published now would not reach other nodes")
        if self._updates.may_be_outdated:
            raise EngineUnavailable("the presence registry may have lost its data meanwhile")
        return _Snapshot(friend_lists, online)

    async def _announce_changes(self, changes: PendingChanges, snapshot: _Snapshot) -> None:
        online = snapshot.online
        for count, (user, since) in enumerate(changes.items(), 1):
            if (user in online) is (since is None):  # else the user changed again: another change follows
                audience = [friend for friend in snapshot.friend_lists[user] if friend in online]
                self._announce(user, online.get(user), since, audience)
            if count % NOTIFIED_PER_ITERATION == 0:
                await asyncio.sleep(0)

    def _announce_friendships(self, friendships: Collection[tuple[int, int]], snapshot: _Snapshot) -> None:
        for pair in friendships:
            for user, friend in (pair, reversed(pair)):
                friend_list = snapshot.friend_lists[user]
                if user in snapshot.online and friend in friend_list:  # else the friendship ended again
                    self._announce(friend, snapshot.online.get(friend), friend_list[friend], [user])

    def _announce(
        self, user: int, last_active: float | None, last_seen: float | None, audience: list[int]
    ) -> None:
        self.is_announcing = True
        try:
            for start in range(0, len(audience), MAX_USERS):  # the most users that one event may name
                part = audience[start : start + MAX_USERS]
                self._emitter.emit(SSE_PUSH, status_change(user, last_active, last_seen, part))
        finally:
            self.is_announcing = False

    async def _send_initials(
        self, subscriptions: Iterable[PresenceSubscription], snapshot: _Snapshot
    ) -> None:
        for count, subscription in enumerate(subscriptions, 1):
            user = subscription.user
            event = initial(user, snapshot.friend_lists[user], snapshot.online, self._clock())
            if not subscription.send_initial(event):
                self.queue_initial([subscription])
            if count % NOTIFIED_PER_ITERATION == 0:
                await asyncio.sleep(0)

    async def _queue_returned(self, left: Collection[int]) -> None:
        """Announce users who came back on another node meanwhile as online: that must be the last word."""
        for user in await self._updates.online(left):
            self._changes.setdefault(user, None)
