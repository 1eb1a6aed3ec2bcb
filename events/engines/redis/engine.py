"""The engine of many nodes: what it promises is in events/engines/base.py, why it is so in docs/design/0006-redis.md.

Publishing is one round trip: a script numbers and keeps all that one turn of the loop appended, and publishes it to
the channels of its routing keys. Two connections: one for commands, one that messages come on. Knows the scripts and
when to call them; does not know who listens.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import hiredis
import structlog

from events.engines.base import Broken, Engine, Failed, Kept, Missed, Publish, Receipt
from events.engines.redis.audit import Audit
from events.engines.redis.feed import Feed
from events.engines.redis.inbox import Inbox
from events.engines.redis.link import Address, Link, forget
from events.engines.redis.outbox import Outbox
from events.engines.redis.store import RemoteStore
from events.errors import EngineUnavailable
from events.event import Event
from events.ids import format_id, new_epoch
from events.window import Window

READERS = 32  # replays read at once by a node: each is a script that Redis runs alone
RECOVER_EVENTS = 100_000  # events missed while the server was away that are read for all streams; past it they resume one by one
MAX_HELD_BYTES = (
    64 * 2**20
)  # bytes of messages held while a node catches up: seconds of the fastest publishers
RECOVER_PAGE = 1000  # events read at once for that
TICK_S = 1.0  # seconds between two marks of a node that hears nothing: they raise the floor and prove the connections alive
DEAD_S = 5.0  # seconds without the answer to a mark after which the connections are given up
START_S = 10.0  # seconds that a start tries to reach the server
BACKOFF_S = (0.05, 2.0)  # seconds between two tries to reconnect, doubled each time and jittered by half
CATCH_UP_S = 30.0  # seconds to connect and catch up in, before it is tried anew
FLUSH_S = 5.0  # seconds that a close waits for what was sent


# What a server that is full, busy or without a disk answers; a new connection would hear the same.
_REFUSALS = ("OOM", "MISCONF", "BUSY")

_log = structlog.get_logger()


class RedisEngine(Engine):
    """Keeps events on the server at *url* (:class:`events.engines.redis.link.Address`)."""

    def __init__(
        self,
        url: str,
        *,
        max_events: int,
        max_age: float,
        key_age: float = 600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._address = Address.parse(url)
        self._clock = clock
        self._name = secrets.token_hex(6)
        self._store = RemoteStore(
            self._address.prefix,
            self._name,
            max_events=max_events,
            max_age=max_age,
            key_age=key_age,
            clock=clock,
        )
        self._feed = Feed(self._store.prefix, self._store.own_channel)
        self._commands, self._messages = Link(), Link()
        self._past: list[
            int
        ] = []  # ids of connections that are lost here, as the server may not have noticed yet
        self._run_id = ""
        self._held_bytes = 0
        self._held: list[list[Any]] | None = []  # what came while the node catches up; None once it has
        self._outbox = Outbox(self._store, self._feed, self._was_kept, self._was_refused)
        self._audit = Audit(self._store, self._feed, lambda: self.window)
        self._flushing_keys = False
        self._reading = asyncio.Semaphore(READERS)
        self._broke = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._inbox: asyncio.Task[None] | None = None
        self.floor = 0
        self.failing = "Redis was not reached yet"
        self.reachable = False
        self.window = Window(0)

    @property
    def epoch(self) -> str:  # type: ignore[override]
        return self._feed.epoch

    @property
    def head(self) -> int:  # type: ignore[override]
        return self._feed.head

    # -- connecting, and catching up -----------------------------------------------------------------

    async def start(
        self, kept: Kept, failed: Failed = abs, broken: Broken = max, missed: Missed = tuple
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._kept, self._outbox.lost, self._broken, self._passed_by = kept, failed, broken, missed
        deadline = self._loop.time() + START_S
        for wait in _backoff():
            try:
                await self._connect()
                break
            except EngineUnavailable as error:
                if self._loop.time() + wait > deadline:
                    raise
                _log.warning("engine.unreachable", error=str(error))
                await asyncio.sleep(wait)
        self._spawn(self._keep_connected())
        self._spawn(self._keep_marking())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_connected(self) -> None:
        while True:
            await self._broke.wait()
            _log.error("engine.unreachable", error="the connection is lost")
            self._away()
            for wait in _backoff():
                await asyncio.sleep(wait)
                try:
                    await self._connect()
                    break
                except Exception as error:  # whatever it is, the next try may fare better
                    _log.warning("engine.unreachable", error=str(error) or repr(error))
            _log.info("engine.recovered", epoch=self.epoch, head=self.head)
            self._passed_by()

    def _away(self) -> None:
        self.reachable = False
        self.failing = "Redis is away"
        self._close_links()
        self._feed.disconnected()
        self._held = []
        self._outbox.drop()

    async def _connect(self) -> None:
        """Connect, listen, and catch up with what was missed.

        Raises:
            EngineUnavailable: It can't be done now.
        """
        self._broke.clear()
        self._past += [link.id for link in (self._commands, self._messages) if link.id]
        self._commands = Link(lost=self._broke.set)
        self._messages = Link(self._heard, self._broke.set)
        self._held, self._held_bytes = [], 0
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._commands.connect(self._address, f"sse-push-{self._name}")
                await self._messages.connect(self._address, f"sse-push-{self._name}-feed")
                await self._store.use(self._commands)
                await self._join()
                self._feed.connected(self._messages)
                while not self._feed.all_confirmed:
                    if not self._messages.open:
                        raise EngineUnavailable(self._messages.refusal or "the connection is lost")
                    await asyncio.sleep(0.001)
                await self._catch_up()
        except (hiredis.HiredisError, TimeoutError) as error:
            self._close_links()
            reason = "it takes too long" if isinstance(error, TimeoutError) else str(error)
            raise EngineUnavailable(f"can't use Redis at {self._address}: {reason}") from None
        except BaseException:
            self._close_links()
            raise
        self.reachable, self.failing = True, None

    def _close_links(self) -> None:
        self._commands.abort()
        self._messages.abort()

    async def _join(self) -> None:
        """Learn which store it is; where it is another one, say so."""
        facts = await self._store.facts()
        if facts.get("maxmemory_policy", "noeviction") != "noeviction":
            _log.warning("engine.may_forget", policy=facts["maxmemory_policy"])
        if facts["run_id"] == self._run_id:  # else they were another server's
            forget(self._store.end(self._past))
        self._past, self._run_id = [], facts["run_id"]
        known = max(self.head, self._outbox.given)
        epoch, head, floor, past = await self._store.join(self.epoch, known, facts["run_id"], new_epoch())
        before, stood = self.epoch, self.head
        parts = [entry.decode().partition(":") for entry in past]
        uptos = {name: int(upto) for upto, _, name in parts}
        self._feed.belong_to(epoch.decode(), uptos)
        if before == self.epoch or known <= uptos.get(before, -1):
            self.floor = max(self.floor, floor)
        else:
            self.floor = floor
            self._feed.head, self._outbox.given = head, 0
            self.window = Window(head)
            self._audit.forget()
            if before:
                self._broken("unknown", format_id(before, stood))

    async def _catch_up(self) -> None:
        """Hand on what was published between the last event heard and the first message to come."""
        _, head, floor = await self._store.mark()
        if self.head < floor or head - self.head > RECOVER_EVENTS:
            self._broken("behind", format_id(self.epoch, self.head))
            self.window = Window(head)
        else:
            while self.head < head:
                await self._read_missed(head)
        self._feed.caught_up(head)
        held, self._held = self._held or [], None
        self._hand_on(held)

    async def _read_missed(self, head: int) -> None:
        stood = self.head
        found = await self._store.all_between(self.head, head, RECOVER_PAGE)
        events = [self._feed.read(int(id_.partition(b"-")[0]), body) for id_, (_, body) in found]
        self._feed.head = events[-1].seq if len(events) == RECOVER_PAGE else head
        self._deliver([event for event in events if any(map(self._feed.listens, event.keys))])
        _, _, floor = await self._store.mark()
        if stood < floor:  # it has overtaken us: what was read may have a hole
            self.floor = max(self.floor, floor)
            self._broken("behind", format_id(self.epoch, stood))
            self.window = Window(self.head)

    async def _keep_marking(self) -> None:
        """Prove the connections alive, and let the floor rise where nothing is published."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self.reachable:
                continue
            try:
                async with asyncio.timeout(DEAD_S):
                    keys = self._feed.confirmed()  # of those whose own mark failed
                    await self._fresh()
                    self._have_settled(keys)
                    missing = await self._audit.missing()
                if missing:
                    self._missed(missing)
            except (
                Exception
            ) as error:  # whatever it is: a new connection may fare better, and must be watched too
                _log.warning("engine.unreachable", error="Redis does not answer" if isinstance(error, TimeoutError) else str(error) or repr(error))  # fmt: skip
                self._broke.set()

    def _missed(self, numbers: list[int]) -> None:
        """Events did not come here. Later ones did, so they can't be had in order any more: streams are told."""
        _log.error("engine.missed", events=len(numbers), first=numbers[0])
        self.window = Window(self.head)
        self._audit.forget()
        self._broken("unknown", format_id(self.epoch, numbers[0] - 1))
        self._broke.set()  # whatever the connection has, another may not

    async def _fresh(self) -> None:
        """Wait until all that the store has now was heard."""
        epoch, head, floor = await self._store.mark()
        if epoch.decode() != self.epoch:
            raise EngineUnavailable("the store is another one")
        self.floor = max(self.floor, floor)
        await self._feed.reached(head)

    # -- listening -----------------------------------------------------------------------------------

    def listen(self, keys: Sequence[str]) -> None:
        if self._feed.listen(keys):
            self._flush_keys_soon()

    def unlisten(self, keys: Sequence[str]) -> None:
        if self._feed.unlisten(keys):
            self._flush_keys_soon()

    def _flush_keys_soon(self) -> None:
        if not self._flushing_keys and self.reachable:
            self._flushing_keys = True
            self._loop.call_soon(self._flush_keys)

    def _flush_keys(self) -> None:
        self._flushing_keys = False
        if self.reachable:
            self._feed.flush()

    def current(self, keys: Sequence[str], seq: int | None) -> bool:
        return self.reachable and self._feed.since(keys) is not None and (seq is None or seq <= self.head)

    async def settle(self, keys: Sequence[str]) -> None:
        if not self.reachable:
            raise EngineUnavailable("Redis is away")
        await self._feed.settle(keys)
        try:
            await self._fresh()
        except hiredis.HiredisError as error:
            raise EngineUnavailable("Redis can't be read now") from error

    def knows(self, epoch: str, seq: int) -> bool:
        return self._feed.knows(epoch, seq)

    def holds(self, keys: Sequence[str], after: int) -> bool:
        since = self._feed.since(keys)
        return since is not None and since <= after and self.window.start <= after

    async def heard_elsewhere(self, key: str) -> bool:
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

    def _heard(self, messages: list[list[Any]]) -> None:
        rest = self._feed.split(messages)
        if self._held is not None:
            self._held += rest
            self._held_bytes += sum([len(message[2]) for message in rest])
            if self._held_bytes > MAX_HELD_BYTES:
                self._messages.abort()  # to be tried anew, with more to read and less to hold
            return
        self._hand_on(rest)
        if keys := self._feed.confirmed():
            self._spawn(self._settle(keys))

    async def _settle(self, keys: list[str]) -> None:
        try:
            await self._fresh()
            self._have_settled(keys)
        except (EngineUnavailable, hiredis.HiredisError):
            self._feed.not_settled(keys)  # the next mark may fare better; a reconnection settles all anew

    def _have_settled(self, keys: list[str]) -> None:
        if self._feed.settled(keys):
            self._flush_keys_soon()

    def _hand_on(self, messages: list[list[Any]]) -> None:
        self._deliver(self._feed.hear(messages))
        self._feed.wake()

    def _deliver(self, events: list[Event]) -> None:
        kept = [event for event in events if event.kept]
        if kept:
            self.window.append(kept, kept[-1].seq)
        if events:
            self._kept(events)

    # -- publishing ----------------------------------------------------------------------------------

    def append(self, events: Sequence[Event], receipt: Receipt | None = None) -> None:
        if self.reachable:
            self._outbox.append(events, receipt)
        else:
            self._outbox.refuse(events, receipt)

    def _was_kept(self, head: int, floor: int) -> None:
        self.floor = max(self.floor, floor)
        if self.failing and self.reachable:
            self.failing = None
            _log.info("engine.recovered", epoch=self.epoch, head=self.head)

    def _was_refused(self, error: BaseException) -> None:
        self.failing = self.failing or "Redis refuses to keep events"
        if not str(error).startswith(_REFUSALS):
            self._broke.set()  # another store, a replica, scripts forgotten: join it anew

    def pass_on(self, events: Sequence[Event]) -> None:
        if not self.reachable:
            self._kept(list(events))  # at least here
            return
        forget([self._store.pass_on(events)])

    def take_in(self, publish: Publish) -> None:
        self._inbox = self._loop.create_task(Inbox(self._address, self._name, publish).run())

    # -- reading -------------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        async with self._reading:
            try:
                upto, head, floor, *found = await self._store.read(self.epoch, after, max_bytes, keys)
            except hiredis.HiredisError as error:
                raise EngineUnavailable("history can't be read now") from error
        self.floor = max(self.floor, floor)
        await self._feed.reached(head)
        now = self._clock()
        events = [self._feed.read(seq, body) for seq, body in zip(found[::2], found[1::2], strict=True)]
        return [event for event in events if event.expires is None or event.expires > now], upto

    async def check(self) -> None:
        if not self.reachable:
            raise EngineUnavailable(self.failing or "Redis is away")
        if self.failing:
            try:
                await self._store.probe()
            except hiredis.HiredisError as error:
                raise EngineUnavailable(f"events can't be kept: {error}") from None
            self.failing = None

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
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.reachable = False
        self._close_links()
        self._feed.disconnected()


def _backoff() -> Iterator[float]:
    """Seconds to wait before each next try."""
    wait, most = BACKOFF_S
    while True:
        yield wait * random.uniform(0.5, 1.5)
        wait = min(2 * wait, most)
