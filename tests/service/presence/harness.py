"""A presence with everything around it, made for tests: registry, database, engine and connections that can fail."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sse_push.events.emitter import Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable, EngineUnavailable
from sse_push.events.event import Event, PushEvent
from sse_push.events.group import EventList
from sse_push.events.router import Router
from sse_push.service.presence.friend_lists import FriendList
from sse_push.service.presence.registry.base import OnPending, OnRegistrationLost, PresenceDiff
from sse_push.service.presence.registry.local import LocalRegistry
from sse_push.service.presence.subscription import PresenceSubscription
from sse_push.service.presence.tracker import PresenceTracker
from sse_push.service.streams.presence import TOPIC
from tests.conftest import until
from tests.events.fakes import Clock


class FakeRegistry(LocalRegistry):
    """A registry that can be away: before a move is done, or before it is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.answers_away = self.resyncing = False
        self.updates = self.checks = 0
        self.closed = False
        self._unsaid: float | None = None
        self.held_elsewhere: set[str] = set()
        self.lost_replies: dict[str, float] = {}  # answers that were lost
        self.acknowledged: set[str] = set()

    def start(self, on_pending: OnPending, on_registration_lost: OnRegistrationLost) -> None:
        self.on_pending, self.on_registration_lost = on_pending, on_registration_lost

    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        self.updates += 1
        self._check()
        moved = await super().update(joins, [user for user in leaves if user not in self.held_elsewhere], now)
        if self.answers_away:
            self.lost_replies.update(dict.fromkeys(moved.joined | moved.left, now))
            raise EngineUnavailable("Redis is away")
        if self.lost_replies:
            self.on_pending(self.lost_replies)
            self.lost_replies = {}
        return moved._replace(resyncing=self.resyncing)

    async def check(self) -> None:
        self._check()
        self.checks += 1
        if self._unsaid is not None:
            settles, self._unsaid = self._unsaid, None
            self.on_registration_lost(settles)

    async def ack(self, users: Collection[str]) -> None:
        self._check()
        self.acknowledged.update(users)

    async def present(self, users: Collection[str]) -> dict[str, float]:
        self._check()
        return await super().present(users)

    async def close(self) -> None:
        self.closed = True

    def holds(self, user: str) -> bool:
        return user in self._active

    def lose(self, settles: float, *, asked: bool = False) -> None:
        """It holds nobody any more, and says so, at once or when it is *asked*: in *settles* seconds all nodes will have
        said whom they hold.
        """
        self._active.clear()
        self.resyncing = settles > 0
        if asked:
            self._unsaid = settles
        else:
            self.on_registration_lost(settles)

    def _check(self) -> None:
        if self.away:
            raise EngineUnavailable("Redis is away")


class FakeFriendLists:
    """Everybody is everybody's friend."""

    def __init__(self, users: Collection[int]) -> None:
        self.users = users
        self.away = False
        self.seen: dict[int, float] = {}
        self.version = 0

    async def versions(self, users: Collection[int]) -> dict[int, int]:
        self._check()
        return {user: self.version for user in users if user in self.users}

    async def of(self, users: Collection[int]) -> dict[int, FriendList]:
        self._check()
        return {
            user: {friend: self.seen.get(friend) for friend in self.users if friend != user} for user in users
        }

    async def record_last_seen(self, seen: Mapping[int, float]) -> None:
        self._check()
        self.seen.update(seen)

    def _check(self) -> None:
        if self.away:
            raise DatabaseUnavailable("the database can't be reached now")


class FakeEngine:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.settled: list[str] = []
        self.reachable = True
        self.loses = False

    def subscribe(self, keys: Collection[str]) -> None:
        self.heard += keys

    def unsubscribe(self, keys: Collection[str]) -> None:
        for key in keys:
            self.heard.remove(key)

    async def wait_caught_up(self, keys: Collection[str]) -> None:
        assert set(keys) <= set(self.heard)
        self.settled += keys
        if self.loses:
            raise EngineUnavailable("Redis is away")


class FakeConnection:
    """What a watch knows of a connection."""

    def __init__(self, router: Router) -> None:
        self.encoding = router.encodings[False, False]
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    @property
    def names(self) -> list[str]:
        return [
            line[7:].decode() for part in self.written for line in part.split(b"\n") if line[:6] == b"event:"
        ]


class PresenceHarness:
    """A presence with everything around it, and what it tells friends: ``(user, online, audience)``."""

    def __init__(self, **more: Any) -> None:
        self.clock = Clock()
        self.registry = FakeRegistry()
        self.friend_lists = FakeFriendLists(range(1, 5))
        self.engine: Any = FakeEngine()
        self.router = Router()
        self.emitter = Emitter()
        self.emitter.on("sse.push", self._pushed)
        self.told: list[tuple[int, bool, list[str]]] = []
        given: dict[str, Any] = {"grace": 0.0, "beat": 30.0, **more}
        engine: Engine = self.engine
        friend_lists: Any = self.friend_lists
        self.presence = PresenceTracker(
            self.registry,
            lambda: friend_lists,
            engine,
            self.emitter,
            self.router.deliver,
            clock=self.clock,
            **given,
        )
        self.presence.start()

    def _pushed(self, push: PushEvent) -> None:
        assert push.user_ids is not None
        self.told.append((push.data["user_id"], push.data["is_online"], push.user_ids))

    def open(self, user: int) -> tuple[PresenceSubscription, FakeConnection]:
        watch, connection = PresenceSubscription(self.presence, TOPIC, user, 0), FakeConnection(self.router)
        self.engine.subscribe(watch.keys)  # as whoever opens a stream does
        watch.opened(connection)  # type: ignore[arg-type]
        return watch, connection

    def deliver(self, watch: PresenceSubscription, name: str, size: int = 1) -> None:
        """Something comes for *watch* from another node."""
        self.router.deliver(EventList([Event("presence", watch.keys, b"1" * size, name, durable=False)]))

    def happens_while_looking(self, happen: Callable[[], None]) -> None:
        """*happen* is called each time when it is looked who the friends are."""
        original = self.friend_lists.of

        async def of(users: Collection[int]) -> dict[int, FriendList]:
            happen()
            return await original(users)

        self.friend_lists.of = of  # type: ignore[method-assign]

    async def idle(self) -> None:
        await until(lambda: self.presence.is_idle)
