"""Batches joins and leaves, updates the registry, then notifies friends: one background task, in bulk and in order.

Changes are noted in dictionaries at once. What can't be done now (registry or database unavailable) stays there, and the
last state of a user counts. Knows the registry, friend lists and the emitter; does not know streams or timers.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import structlog

from sse_push.events.emitter import SSE_PUSH, Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable, EngineUnavailable
from sse_push.events.event import MAX_USERS
from sse_push.service.presence.pending import put_back, take
from sse_push.service.presence.registry.base import PresenceRegistry
from sse_push.service.presence.registry_updates import PendingChanges, RegistryUpdates
from sse_push.service.presence.statuses import change, initial
from sse_push.service.presence.subscription import PresenceSubscription

if TYPE_CHECKING:
    from sse_push.service.presence.friend_lists import FriendList, FriendLists

NOTIFIED_PER_ITERATION = 5  # users per loop iteration, some ms: live events go on in between
CHECKED_VERSIONS = 500  # friend lists whose versions are checked at once: some ms
AGAIN_S = 1.0  # seconds until a failed attempt is repeated
NO_ACCOUNT = -1  # the version for a user whose account is gone

_log = structlog.get_logger()


class PresenceNotifier:
    """The pending work for the presence of one node's users.

    Args:
        friend_lists: Called when the database is first needed.
        on_registration_lost: As of :meth:`sse_push.service.presence.registry.base.PresenceRegistry.start`.
        clock: Seconds since the Unix epoch.

    Attributes:
        updates: The pending registry updates.
        is_notifying: A change is being published right now, in this call.
    """

    def __init__(
        self,
        registry: PresenceRegistry,
        friend_lists: "Callable[[], FriendLists]",
        engine: Engine,
        emitter: Emitter,
        on_registration_lost: Callable[[float], object],
        clock: Callable[[], float],
    ) -> None:
        self._friend_lists = friend_lists
        self._engine = engine
        self._emitter = emitter
        self._clock = clock
        self._changes: PendingChanges = {}  # to be published
        self._initial_due: dict[PresenceSubscription, None] = {}  # streams that need their initial state
        self._to_check: dict[PresenceSubscription, None] = {}  # streams whose friend list may have changed
        self._friendships: dict[tuple[int, int], None] = {}  # new friendships
        self._settled = 0.0  # loop time at which all nodes have registered their users again
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self.updates = RegistryUpdates(registry, self._wake, on_registration_lost, clock)
        self.is_notifying = False

    @property
    def is_idle(self) -> bool:
        return self._task is None

    # -- pending work ------------------------------------------------------------------------------

    def send_initial(self, subscriptions: Iterable[PresenceSubscription]) -> None:
        """Send the initial state to each of *subscriptions*."""
        self._initial_due.update(dict.fromkeys(subscriptions))
        self._wake()

    def forget(self, subscription: PresenceSubscription) -> None:
        """*subscription* is closed."""
        self._initial_due.pop(subscription, None)
        self._to_check.pop(subscription, None)

    def check_versions(self, subscriptions: Iterable[PresenceSubscription]) -> None:
        """Send the initial state again to those of *subscriptions* whose friend list has changed."""
        self._to_check.update(dict.fromkeys(subscriptions))
        self._wake()

    def announce_friendship(self, one: int, other: int) -> None:
        """Notify two new friends about each other."""
        self._friendships[one, other] = None
        self._wake()

    def notify_for_expired(self, users: Mapping[int, float]) -> None:
        """Notify for a node that has expired: *users* and when they were last active; most have left."""
        for user, active in users.items():
            self._changes[user] = max(active, self._changes.get(user) or 0.0)
        self._wake()

    def pause_initial(self, seconds: float) -> None:
        """Send no initial state for *seconds*: other nodes are registering their users again."""
        loop = asyncio.get_running_loop()
        self._settled = loop.time() + seconds
        loop.call_later(seconds, self._wake)

    async def close(self) -> None:
        """Stop; pending work is dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- the task ----------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._task is None and self._has_work():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="presence")

    def _has_work(self) -> bool:
        if self.updates.waiting or self._changes or self._friendships or self._to_check:
            return True
        return bool(self._initial_due) and self._is_settled()

    def _is_settled(self) -> bool:
        return asyncio.get_running_loop().time() >= self._settled

    async def _work(self) -> None:
        try:
            while self._has_work():
                try:
                    self._changes.update(await self.updates.work())
                    await self._compare()
                    await self._publish()
                    self._recovered()
                except (DatabaseUnavailable, EngineUnavailable) as error:
                    self._failed(error)
                    await asyncio.sleep(AGAIN_S)
                except Exception as error:  # noqa: BLE001 - these changes are lost, later ones must not be
                    _log.error("presence.unhandled_error", exc_info=error)
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._task = None

    async def _compare(self) -> None:
        """A check that fails is dropped: the next heartbeat repeats it."""
        subscriptions = take(self._to_check, CHECKED_VERSIONS)
        if subscriptions:
            versions = await self._friend_lists().versions(
                {subscription.user for subscription in subscriptions}
            )
            for subscription in subscriptions:
                version = versions.get(subscription.user, NO_ACCOUNT)
                if subscription.version != version:
                    subscription.version = version
                    self._initial_due[subscription] = None

    async def _publish(self) -> None:
        """Publish changes to the friends who are present, and send initial states."""
        changes, friendships = take(self._changes), take(self._friendships)
        subscriptions = (
            take(self._initial_due) if self._is_settled() and not self.updates.may_be_outdated else {}
        )
        if not (changes or subscriptions or friendships):
            return
        try:
            await self._publish_all(changes, subscriptions, friendships)
        except (DatabaseUnavailable, EngineUnavailable):
            put_back(self._changes, changes)
            put_back(self._friendships, friendships)
            self._send_initial_again(subscriptions)
            raise
        except Exception:
            self._send_initial_again(subscriptions)  # they buffer events until they get their initial state
            raise

    def _send_initial_again(self, subscriptions: Collection[PresenceSubscription]) -> None:
        put_back(
            self._initial_due, {subscription: None for subscription in subscriptions if subscription.is_open}
        )

    async def _publish_all(
        self,
        changes: PendingChanges,
        subscriptions: Collection[PresenceSubscription],
        friendships: Collection[tuple[int, int]],
    ) -> None:
        await self._begin(subscriptions, changes)
        new_friends = {user for pair in friendships for user in pair}
        friend_lists = await self._friend_lists().of(
            {*changes, *(subscription.user for subscription in subscriptions), *new_friends}
        )
        friends = {friend for friend_list in friend_lists.values() for friend in friend_list}
        present = await self.updates.present(friends | changes.keys() | new_friends)
        if not self._engine.reachable:
            raise EngineUnavailable("events would not reach other nodes")
        if self.updates.may_be_outdated:
            raise EngineUnavailable("the registry may have lost its data meanwhile")
        await self._publish_changes(changes, friend_lists, present)
        for one, other in friendships:
            self._introduce(one, other, friend_lists, present)
        if changes or friendships:
            await self._engine.wait_caught_up(())  # published on all nodes, or it is repeated
        await self._send_initial(subscriptions, friend_lists, present)
        await self._notify_returned([user for user, left in changes.items() if left is not None])
        self.updates.ack(user for user in changes if user not in self._changes)

    async def _begin(self, subscriptions: Collection[PresenceSubscription], changes: PendingChanges) -> None:
        if subscriptions:
            await self._engine.wait_caught_up(
                [key for subscription in subscriptions for key in subscription.keys]
            )
            for subscription in subscriptions:
                subscription.begin()
        if changes:
            now = self._clock()
            await self._friend_lists().record_last_seen(
                {user: now if left is None else left for user, left in changes.items()}
            )

    async def _publish_changes(
        self, changes: PendingChanges, friend_lists: "Mapping[int, FriendList]", present: Mapping[int, float]
    ) -> None:
        for count, (user, left) in enumerate(changes.items(), 1):
            if (user in present) is (left is None):  # else it changed meanwhile and is pending again
                self._change(
                    user, present, left, [friend for friend in friend_lists[user] if friend in present]
                )
            if count % NOTIFIED_PER_ITERATION == 0:
                await asyncio.sleep(0)

    async def _send_initial(
        self,
        subscriptions: Iterable[PresenceSubscription],
        friend_lists: "Mapping[int, FriendList]",
        present: Mapping[int, float],
    ) -> None:
        for count, subscription in enumerate(subscriptions, 1):
            subscription.send_initial(
                initial(subscription.user, friend_lists[subscription.user], present, self._clock())
            )
            if count % NOTIFIED_PER_ITERATION == 0:
                await asyncio.sleep(0)

    def _introduce(
        self, one: int, other: int, friend_lists: "Mapping[int, FriendList]", present: Mapping[int, float]
    ) -> None:
        for user, friend in ((one, other), (other, one)):
            if user in present and friend in friend_lists[user]:  # else the friendship has ended meanwhile
                self._change(friend, present, friend_lists[user][friend], [user])

    def _change(
        self, user: int, present: Mapping[int, float], seen: float | None, audience: Collection[int]
    ) -> None:
        friends = list(audience)
        self.is_notifying = True
        try:
            for start in range(0, len(friends), MAX_USERS):  # the limit of one event
                some = friends[start : start + MAX_USERS]
                self._emitter.emit(SSE_PUSH, change(user, present.get(user), seen, some))
        finally:
            self.is_notifying = False

    async def _notify_returned(self, gone: Collection[int]) -> None:
        """Whoever joined back on another node while this one told that they are gone is told of again: theirs is the last word."""
        for user in await self.updates.present(gone):
            self._changes.setdefault(user, None)

    def _failed(self, error: Exception) -> None:
        """Log once per outage, not per attempt."""
        if not self._failing:
            self._failing = True
            _log.error("presence.failed", error=str(error))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("presence.recovered")
