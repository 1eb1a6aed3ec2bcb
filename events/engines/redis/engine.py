"""The engine of many nodes: what it promises is in events/engines/base.py, why it is so in docs/design/0006-redis.md.

Publishing is one round trip: a script numbers and keeps all that one turn of the loop appended, and publishes it to
the channels of its routing keys. This is the face of the parts beside it; it does not know connections, who listens,
nor what the scripts do.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

import hiredis
import structlog

from sse_push.events.engines.base import (
    Engine,
    EngineListener,
    Publish,
    until_unreadable,
)
from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.engines.redis.connection import ignore_result
from sse_push.events.engines.redis.feed import Feed
from sse_push.events.engines.redis.inbox import Inbox
from sse_push.events.engines.redis.outbox import Outbox
from sse_push.events.engines.redis.recovery import Recovery
from sse_push.events.engines.redis.session import DEAD_S, Session
from sse_push.events.engines.redis.standing import Standing
from sse_push.events.engines.redis.store import RemoteStore
from sse_push.events.errors import EngineUnavailable
from sse_push.events.event import Event
from sse_push.events.group import EventGroup, EventList
from sse_push.events.receipts import Receipt
from sse_push.events.window import Window

READERS = 32  # replays read at once by a node: each is a script that Redis runs alone
FLUSH_S = 5.0  # seconds that a close waits for what was sent

# What a server answers that is full, busy or without a disk; a new connection would hear the same.
_REFUSALS = ("OOM", "MISCONF", "BUSY")

_log = structlog.get_logger()


class RedisEngine(Engine):
    """Keeps events on the server at *url* (:class:`sse_push.events.engines.redis.address.RedisAddress`)."""

    readers = READERS

    def __init__(
        self,
        url: str,
        *,
        max_events: int,
        max_age: float,
        max_bytes: int = 2**30,
        key_age: float = 600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._address = RedisAddress.parse(url)
        self._clock = clock
        self._name = secrets.token_hex(6)
        self._store = RemoteStore(
            self._address.prefix,
            self._name,
            max_events=max_events,
            max_age=max_age,
            max_bytes=max_bytes,
            key_age=key_age,
            clock=clock,
        )
        self._feed = Feed(self._store.prefix, self._store.own_channel)
        self._standing = Standing(self._feed)
        self._outbox = Outbox(self._store, self._feed, self._was_kept, self._was_refused)
        recovery = Recovery(self._store, self._feed, self._outbox, self._standing)
        self._session = Session(self._address, self._name, self._store, self._feed, self._standing, recovery)
        self._reading = asyncio.Semaphore(READERS)
        self._inbox: asyncio.Task[None] | None = None

    @property
    def epoch(self) -> str:
        return self._feed.epoch

    @property
    def head(self) -> int:
        return self._feed.head

    @property
    def floor(self) -> int:
        return self._standing.floor

    @property
    def window(self) -> Window:
        return self._standing.window

    @property
    def max_bytes(self) -> int:
        return self._store.memory.bound

    @property
    def failing(self) -> str | None:
        return self._session.failing

    @property
    def reachable(self) -> bool:
        return self._session.reachable

    async def start(self, listener: EngineListener) -> None:
        self._standing.listener = self._outbox.listener = listener
        await self._session.start(listener.ephemeral_missed)

    async def close(self) -> None:
        if self._inbox is not None:  # what it holds and has not put away is another node's soon
            self._inbox.cancel()
            await asyncio.gather(self._inbox, return_exceptions=True)
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._outbox.empty()
                if self.reachable:
                    await self._feed.reached(self._outbox.given)
        except (TimeoutError, EngineUnavailable) as error:
            _log.error("engine.failed", error=str(error) or "Redis does not answer", events=0)
        await self._session.close()

    # -- listening -----------------------------------------------------------------------------------

    def subscribe(self, keys: Sequence[str]) -> None:
        if self._feed.listen(keys):
            self._session.tell_keys_soon()

    def unsubscribe(self, keys: Sequence[str]) -> None:
        if self._feed.unlisten(keys):
            self._session.tell_keys_soon()

    def is_caught_up(self, keys: Sequence[str], seq: int | None) -> bool:
        return self.reachable and self._feed.since(keys) is not None and (seq is None or seq <= self.head)

    async def wait_caught_up(self, keys: Sequence[str]) -> int:
        stood = self.head
        try:
            async with asyncio.timeout(DEAD_S):
                while (
                    True
                ):  # once, unless the mark overtakes what the server is told of keys on the other connection
                    if not self.reachable:
                        raise EngineUnavailable("Redis is away")
                    await self._session.hear_all()
                    if (since := self._feed.since(keys)) is not None:
                        return max(stood, since)
        except TimeoutError:
            raise EngineUnavailable("Redis does not answer") from None
        except hiredis.HiredisError as error:
            raise EngineUnavailable("Redis can't be read now") from error

    def is_known_position(self, epoch: str, seq: int) -> bool:
        return self._feed.knows(epoch, seq)

    def cache_covers(self, keys: Sequence[str], after: int) -> bool:
        since = self._feed.since(keys)
        return since is not None and since <= after and self.window.start <= after

    async def has_remote_subscribers(self, key: str) -> bool:
        try:
            async with asyncio.timeout(DEAD_S):
                while True:
                    here = self._feed.counted(key)
                    if here is not None:
                        _, count = await self._store.listeners(self._feed.channel(key))
                        if here == self._feed.counted(key):
                            return int(count) > here
                    elif not self.reachable:
                        raise EngineUnavailable("Redis is away")
                    await asyncio.sleep(0.001)
        except (hiredis.HiredisError, TimeoutError) as error:
            raise EngineUnavailable("Redis can't be asked now") from error

    # -- publishing ----------------------------------------------------------------------------------

    def append(self, events: EventGroup, receipt: Receipt | None = None) -> None:
        if self.reachable:
            self._outbox.append(EventList(events), receipt)  # Redis numbers event by event
        else:
            self._outbox.refuse(events, receipt)

    def _was_kept(self, head: int, floor: int) -> None:
        self._standing.raise_floor(floor)
        if self.failing and self.reachable:
            self._session.failing = None
            _log.info("engine.recovered", epoch=self.epoch, head=self.head)

    def _was_refused(self, error: BaseException) -> None:
        self._session.failing = self.failing or "Redis refuses to keep events"
        if not str(error).startswith(_REFUSALS):
            self._session.begin_again()  # another store, a replica, scripts forgotten: join it anew

    def publish_ephemeral(self, events: EventGroup) -> None:
        if not self.reachable:
            self._standing.listener.stored(events)  # at least on this node
            return
        ignore_result([self._store.pass_on(events)])

    def consume_inbox(self, publish: Publish) -> None:
        inbox = Inbox(self._address, self._name, publish)
        self._inbox = asyncio.get_running_loop().create_task(inbox.run())

    # -- reading -------------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        async with self._reading:
            try:
                upto, head, floor, *found = await self._store.read(self.epoch, after, max_bytes, keys)
            except hiredis.HiredisError as error:
                if str(error).startswith("MISSING"):
                    self._session.lose()
                raise EngineUnavailable("history can't be read now") from error
        self._standing.raise_floor(floor)
        await self._feed.reached(head)
        now = self._clock()
        events, unreadable = self._feed.read_all(zip(found[::2], found[1::2], strict=True))
        if unreadable:
            events, upto = until_unreadable(events, unreadable, upto)
        return [event for event in events if event.expires is None or event.expires > now], upto

    async def check(self) -> None:
        if not self.reachable:
            raise EngineUnavailable(self.failing or "Redis is away")
        if self.failing:
            try:
                await self._store.probe()
            except hiredis.HiredisError as error:
                raise EngineUnavailable(f"events can't be kept: {error}") from None
            self._session.failing = None
