"""A presence tracker and all its collaborators, for tests: a registry, database and engine that can fail, and connections."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sse_push.events.emitter import Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable, EngineUnavailable
from sse_push.events.event import Event, PushEvent
from sse_push.events.group import EventList
from sse_push.events.router import Router
from sse_push.service.presence.friend_lists import FriendList
from sse_push.service.presence.registry.base import PresenceDiff, RegistryListener
from sse_push.service.presence.registry.local import LocalRegistry
from sse_push.service.presence.session import PresenceSession
from sse_push.service.presence.subscription import PresenceSubscription
from sse_push.service.presence.tracker import PresenceTracker
from tests.conftest import until
from tests.events.fakes import Clock


class FakeRegistry(LocalRegistry):
    """A registry that can be unavailable, and lose its replies or its data."""

    def __init__(self) -> None:
        super().__init__()
        self.unavailable = self.loses_replies = self.touch_fails = self.resyncing = False
        self.updates = self.verifications = 0
        self.closed = False
        self.listener = RegistryListener()
        self.registered_elsewhere: set[str] = set()
        self.lost_changes: dict[str, float] = {}
        self.acked: set[str] = set()
        self._unreported_loss: float | None = None

    def start(self, listener: RegistryListener) -> None:
        self.listener = listener

    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        self.updates += 1
        self._check()
        leaves = [user for user in leaves if user not in self.registered_elsewhere]
        diff = await super().update(joins, leaves, now)
        if self.loses_replies:
            self.lost_changes.update(dict.fromkeys(diff.joined | diff.left, now))
            raise EngineUnavailable("Redis is away")
        if self.lost_changes:
            self.listener.on_pending(self.lost_changes)
            self.lost_changes = {}
        return diff._replace(resyncing=self.resyncing)

    async def touch(self, users: Collection[str], now: float) -> None:
        if self.touch_fails:
            raise EngineUnavailable("Redis is away")
        await super().touch(users, now)

    async def verify(self) -> None:
        self._check()
        self.verifications += 1
        if self._unreported_loss is not None:
            resync_s, self._unreported_loss = self._unreported_loss, None
            self.listener.on_registration_lost(resync_s)

    async def ack(self, users: Collection[str]) -> None:
        self._check()
        self.acked.update(users)

    async def online(self, users: Collection[str]) -> dict[str, float]:
        self._check()
        return await super().online(users)

    async def close(self) -> None:
        self.closed = True

    def has(self, user: str) -> bool:
        return user in self._last_active

    def join_elsewhere(self, user: str, now: float) -> None:
        """Another node registers *user*."""
        self._last_active.setdefault(user, now)

    def lose_data(self, resync_s: float, *, report: bool = True) -> None:
        """Forget all users. All nodes register them again within *resync_s*.

        Args:
            report: Report it now, rather than when it is asked.
        """
        self._last_active.clear()
        self.resyncing = resync_s > 0
        if report:
            self.listener.on_registration_lost(resync_s)
        else:
            self._unreported_loss = resync_s

    def _check(self) -> None:
        if self.unavailable:
            raise EngineUnavailable("Redis is away")


class FakeFriendLists:
    """Everybody is everybody's friend."""

    def __init__(self, users: Collection[int]) -> None:
        self.users = users
        self.unavailable = False
        self.last_seen: dict[int, float] = {}
        self.version = 0

    async def versions(self, users: Collection[int]) -> dict[int, int]:
        self._check()
        return {user: self.version for user in users if user in self.users}

    async def of(self, users: Collection[int]) -> dict[int, FriendList]:
        self._check()
        return {
            user: {friend: self.last_seen.get(friend) for friend in self.users if friend != user}
            for user in users
        }

    async def record_last_seen(self, last_seen: Mapping[int, float]) -> None:
        self._check()
        self.last_seen.update(last_seen)

    def _check(self) -> None:
        if self.unavailable:
            raise DatabaseUnavailable("the database can't be reached now")


class FakeEngine:
    def __init__(self) -> None:
        self.subscribed: list[str] = []
        self.caught_up: list[str] = []
        self.reachable = True
        self.loses_events = False

    def subscribe(self, keys: Collection[str]) -> None:
        self.subscribed += keys

    async def wait_caught_up(self, keys: Collection[str]) -> None:
        assert set(keys) <= set(self.subscribed)
        self.caught_up += keys
        if self.loses_events:
            raise EngineUnavailable("Redis is away")


class FakeConnection:
    """The part of a connection that a subscription uses."""

    def __init__(self, router: Router) -> None:
        self.encoding = router.encodings[False, False]
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    @property
    def names(self) -> list[str]:
        """The names of the events that were written."""
        return [
            line[7:].decode() for part in self.written for line in part.split(b"\n") if line[:6] == b"event:"
        ]


class PresenceHarness:
    """A tracker with its collaborators.

    Attributes:
        announced: The status changes that were published: user, whether they are online, and the audience.
    """

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.registry = FakeRegistry()
        self.friend_lists = FakeFriendLists(range(1, 5))
        self.engine: Any = FakeEngine()
        self.router = Router()
        self.emitter = Emitter()
        self.emitter.on("sse.push", self._on_push)
        self.announced: list[tuple[int, bool, list[str]]] = []
        arguments: dict[str, Any] = {"grace": 0.0, "heartbeat": 30.0, "clock": self.clock, **settings}
        engine: Engine = self.engine
        friend_lists: Any = self.friend_lists
        deliver = self.router.deliver
        self.tracker = PresenceTracker(
            self.registry, lambda: friend_lists, engine, self.emitter, deliver, **arguments
        )
        self.tracker.start()

    def _on_push(self, push: PushEvent) -> None:
        assert push.user_ids is not None
        self.announced.append((push.data["user_id"], push.data["is_online"], push.user_ids))

    async def subscribe(self, user: int) -> PresenceSession | None:
        """A session for a stream of *user* that is not open yet."""
        subscription = await self.tracker.subscribe(user)
        return subscription and self._session(subscription)

    def open(self, user: int) -> tuple[PresenceSession, FakeConnection]:
        """Open a stream of *user*."""
        session = self._session(PresenceSubscription(user, 0, self.tracker.is_announcing))
        connection = FakeConnection(self.router)
        self.engine.subscribe(session.keys)  # as the handler does
        session.opened(connection)  # type: ignore[arg-type]
        return session, connection

    def _session(self, subscription: PresenceSubscription) -> PresenceSession:
        return PresenceSession(self.tracker, subscription, self.clock)

    def deliver(self, session: PresenceSession, name: str, size: int = 1) -> None:
        """An event for the user of *session* arrives from another node."""
        event = Event("presence", tuple(session.keys), b"1" * size, name, durable=False)
        self.router.deliver(EventList([event]))

    def on_friend_lists_read(self, callback: Callable[[], None]) -> None:
        """Call *callback* whenever friend lists are read: while a snapshot is taken."""
        original = self.friend_lists.of

        async def of(users: Collection[int]) -> dict[int, FriendList]:
            callback()
            return await original(users)

        self.friend_lists.of = of  # type: ignore[method-assign]

    async def idle(self) -> None:
        """Wait until all work is done."""
        await until(lambda: self.tracker.is_idle)

    async def close(self) -> None:
        await self.tracker.close()
        await self.emitter.close()
