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
from functools import lru_cache
from importlib.resources import files
from typing import Any

import hiredis
import structlog

from events.engines.base import Broken, Engine, Failed, Kept, Receipt
from events.engines.packs import pack
from events.engines.redis.feed import Feed
from events.engines.redis.link import Address, Link, forget
from events.errors import EngineUnavailable, Overloaded
from events.event import Event
from events.ids import format_id, new_epoch
from events.window import Window

MAX_WAITING_EVENTS = (
    100_000  # events sent and not yet answered, or waiting to be sent: past it publishers are told 503
)
MAX_WAITING_BYTES = 64 * 2**20  # bytes of their data, the same
GROUP_EVENTS = (
    256  # events one script keeps, unless one append has more: Redis does nothing else meanwhile (2 ms)
)
READERS = 32  # replays read at once by a node: each is a script that Redis runs alone
PAGE_EVENTS = 500  # events one read gives at the most
RECOVER_EVENTS = 100_000  # events missed while the server was away that are read for all streams; past it they resume one by one
RECOVER_PAGE = 1000  # events read at once for that
TICK_S = 1.0  # seconds between two marks of a node that hears nothing: they raise the floor and prove the connections alive
DEAD_S = 5.0  # seconds without the answer to a mark after which the connections are given up
START_S = 10.0  # seconds that a start tries to reach the server
BACKOFF_S = (0.05, 2.0)  # seconds between two tries to reconnect, doubled each time and jittered by half
CATCH_UP_S = 30.0  # seconds to connect and catch up in, before it is tried anew
FLUSH_S = 5.0  # seconds that a close waits for what was sent

_SCRIPTS = ("join", "mark", "publish", "read", "pass")
_log = structlog.get_logger()
_Group = list[tuple[Sequence[Event], Receipt | None]]


@lru_cache
def _script(name: str) -> str:
    folder = files("events.engines.redis") / "scripts"
    return (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()


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
        self._max_events = max_events
        self._max_age_ms = round(max_age * 1000)
        self._key_age_ms = round(key_age * 1000)
        self._clock = clock
        self._prefix = f"{{{self._address.prefix}}}:"
        self._name = secrets.token_hex(6)
        self._own = f"{self._prefix}node:{self._name}"
        self._feed = Feed(self._prefix, self._own)
        self._shas: dict[str, str] = {}
        self._commands, self._messages = Link(), Link()
        self._held: list[list[Any]] | None = []  # what came while the node catches up; None once it has
        self._waiting: _Group = []
        self._waiting_events = self._waiting_bytes = 0
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._flushing = self._flushing_keys = False
        self._passed = 0
        self._reading = asyncio.Semaphore(READERS)
        self._broke = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._given = 0  # the highest number that this node has answered with
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

    async def start(self, kept: Kept, failed: Failed = abs, broken: Broken = max) -> None:
        self._loop = asyncio.get_running_loop()
        self._kept, self._lost, self._broken = kept, failed, broken
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
                except EngineUnavailable as error:
                    _log.warning("engine.unreachable", error=str(error))
            _log.info("engine.recovered", epoch=self.epoch, head=self.head)

    def _away(self) -> None:
        self.reachable = False
        self.failing = "Redis is away"
        self._close_links()
        self._feed.disconnected()
        self._held = []
        waiting, self._waiting = self._waiting, []
        self._waiting_events = self._waiting_bytes = 0
        self._fail(waiting, self.failing)

    async def _connect(self) -> None:
        """Connect, listen, and catch up with what was missed.

        Raises:
            EngineUnavailable: It can't be done now.
        """
        self._broke.clear()
        self._commands = Link(lost=self._broke.set)
        self._messages = Link(self._heard, self._broke.set)
        self._held = []
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._commands.connect(self._address, f"sse-push-{self._name}")
                await self._messages.connect(self._address, f"sse-push-{self._name}-feed")
                for name in _SCRIPTS:
                    self._shas[name] = (await self._commands.call("SCRIPT", "LOAD", _script(name))).decode()
                await self._join()
                self._feed.connected(self._messages)
                while not self._feed.all_confirmed:
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
        info = (await self._commands.call("INFO")).decode()
        facts = dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)
        if facts.get("maxmemory_policy", "noeviction") != "noeviction":
            _log.warning("engine.may_forget", policy=facts["maxmemory_policy"])
        known = max(self.head, self._given)
        epoch, head, floor = await self._run(
            "join", self.epoch, known, facts["run_id"], facts.get("aof_enabled", "0"), new_epoch()
        )
        before, stood = self.epoch, self.head
        self.floor = max(self.floor if before == epoch.decode() else 0, floor)
        if before != epoch.decode():
            self._feed.epoch, self._feed.head, self._given = epoch.decode(), head, 0
            self.window = Window(head)
            if before:
                self._broken("unknown", format_id(before, stood))

    async def _catch_up(self) -> None:
        """Hand on what was published between the last event heard and the first message to come."""
        _, head, floor = await self._mark()
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
        found = await self._commands.call(
            "XRANGE", f"{self._prefix}events", str(self.head + 1), str(head), "COUNT", RECOVER_PAGE
        )
        events = [self._feed.read(int(id_.partition(b"-")[0]), body) for id_, (_, body) in found]
        self._feed.head = events[-1].seq if len(events) == RECOVER_PAGE else head
        self._deliver([event for event in events if any(map(self._feed.listens, event.keys))])

    async def _keep_marking(self) -> None:
        """Prove the connections alive, and let the floor rise where nothing is published."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self.reachable:
                continue
            try:
                async with asyncio.timeout(DEAD_S):
                    await self._fresh()
            except (TimeoutError, EngineUnavailable, hiredis.HiredisError) as error:
                _log.warning("engine.unreachable", error=str(error) or "Redis does not answer")
                self._broke.set()

    async def _fresh(self) -> None:
        """Wait until all that the store has now was heard."""
        epoch, head, floor = await self._mark()
        if epoch.decode() != self.epoch:
            raise EngineUnavailable("the store is another one")
        self.floor = max(self.floor, floor)
        await self._reached(head)

    async def _reached(self, head: int) -> None:
        try:
            await self._feed.reached(head)
        except asyncio.CancelledError:
            if self.reachable:
                raise
            raise EngineUnavailable("Redis is away") from None

    def _mark(self) -> asyncio.Future[Any]:
        return self._run("mark", self._own, self._now(), self._max_age_ms, self._max_events)

    def _run(self, name: str, *arguments: str | bytes | int) -> asyncio.Future[Any]:
        return self._commands.call(
            "EVALSHA",
            self._shas[name],
            2,
            f"{self._prefix}store",
            f"{self._prefix}events",
            self._prefix,
            *arguments,
        )

    def _now(self) -> int:
        return round(self._clock() * 1000)

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

    def holds(self, keys: Sequence[str], after: int) -> bool:
        since = self._feed.since(keys)
        return since is not None and since <= after and self.window.start <= after

    async def heard_elsewhere(self, key: str) -> bool:
        try:
            _, count = await self._commands.call("PUBSUB", "NUMSUB", self._feed.channel(key))
        except (hiredis.HiredisError, EngineUnavailable):
            return False
        return int(count) > self._feed.confirmed_here(key)

    def _heard(self, messages: list[list[Any]]) -> None:
        rest = self._feed.split(messages)
        if self._held is not None:
            self._held += rest
            return
        self._hand_on(rest)
        if keys := self._feed.confirmed():
            self._spawn(self._settle(keys))

    async def _settle(self, keys: list[str]) -> None:
        try:
            await self._fresh()
        except (EngineUnavailable, hiredis.HiredisError):
            return  # after a reconnection all keys are settled anew
        self._feed.settled(keys)

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
        group: _Group = [(events, receipt)]
        if not self.reachable:
            return self._fail(group, self.failing or "Redis is away")
        if self._waiting_events >= MAX_WAITING_EVENTS or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._lost(len(events))
            return _refuse(receipt, Overloaded("too many events wait to be kept"))
        self._waiting += group
        self._waiting_events += len(events)
        self._waiting_bytes += _size(events)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)  # with whatever else this turn appends
        return None

    def _flush(self) -> None:
        self._flushing = False
        while self._waiting:
            count = events = 0
            for count, (its, _) in enumerate(self._waiting):
                events += len(its)
                if count and events > GROUP_EVENTS:
                    break
            else:
                count += 1
            group, self._waiting = self._waiting[:count], self._waiting[count:]
            answer = self._run("publish", *self._publish_arguments(group))
            self._unanswered.add(answer)
            answer.add_done_callback(lambda answer, group=group: self._answered(group, answer))  # type: ignore[misc]

    def _publish_arguments(self, group: _Group) -> list[str | bytes | int]:
        known = max(self.head, self._given)
        arguments: list[str | bytes | int] = [
            self.epoch, known, self._now(), self._max_age_ms, self._key_age_ms, self._max_events,
        ]  # fmt: skip
        for events, _ in group:
            for event in events:
                arguments += [event.key or "", len(event.keys), *event.keys, pack([event])]
        return arguments

    def _answered(self, group: _Group, answer: asyncio.Future[Any]) -> None:
        self._unanswered.discard(answer)
        self._waiting_events -= sum(len(events) for events, _ in group)
        self._waiting_bytes -= sum(_size(events) for events, _ in group)
        error = answer.exception()
        if error is not None:
            if str(error).startswith("EPOCH"):
                self._broke.set()  # join it anew
            self.failing = self.failing or "Redis refuses to keep events"
            _log.error("engine.failed", error=str(error), events=sum(len(events) for events, _ in group))
            return self._fail(group, self.failing)
        if self.failing and self.reachable:
            self.failing = None
            _log.info("engine.recovered", epoch=self.epoch, head=self.head)
        head, floor, *numbers = answer.result()
        self._given, self.floor = max(self._given, head), max(self.floor, floor)
        prefix = format_id(self.epoch, 0)[:-1]
        following = iter(numbers)
        for events, receipt in group:
            ids = []
            for event in events:
                event.seq = next(following)
                event.id = f"{prefix}{event.seq}"
                ids.append(event.id)
            if receipt is not None and not receipt.done():
                receipt.set_result(ids)
        return None

    def _fail(self, group: _Group, reason: str) -> None:
        if group:
            self._lost(sum(len(events) for events, _ in group))
        for _, receipt in group:
            _refuse(receipt, EngineUnavailable(f"events can't be kept now: {reason}"))

    def pass_on(self, events: Sequence[Event]) -> None:
        if not self.reachable:
            self._kept(list(events))  # at least here
            return
        arguments: list[str | bytes | int] = []
        for event in events:
            self._passed += 1
            token = f"0 {self._name}:{self._passed}\n".encode()
            arguments += [len(event.keys), *event.keys, token + pack([event])]
        forget([self._run("pass", *arguments)])

    # -- reading -------------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        async with self._reading:
            try:
                upto, head, floor, *found = await self._run(
                    "read", self._own, self.epoch, after, PAGE_EVENTS, max_bytes, *keys
                )
            except hiredis.HiredisError as error:
                raise EngineUnavailable("history can't be read now") from error
        self.floor = max(self.floor, floor)
        await self._reached(head)
        now = self._clock()
        events = [self._feed.read(seq, body) for seq, body in zip(found[::2], found[1::2], strict=True)]
        return [event for event in events if event.expires is None or event.expires > now], upto

    async def check(self) -> None:
        if not self.reachable:
            raise EngineUnavailable(self.failing or "Redis is away")
        if self.failing:
            try:
                await self._commands.call("SET", f"{self._prefix}probe", "", "PX", 1)
            except hiredis.HiredisError as error:
                raise EngineUnavailable(f"events can't be kept: {error}") from None
            self.failing = None

    async def close(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_S):
                while self._waiting or self._unanswered:
                    await asyncio.sleep(0)
                    await asyncio.wait([*self._unanswered]) if self._unanswered else None
                if self.reachable:
                    await self._reached(self._given)
        except (TimeoutError, EngineUnavailable) as error:
            _log.error(
                "engine.failed", error=str(error) or "Redis does not answer", events=self._waiting_events
            )
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


def _size(events: Sequence[Event]) -> int:
    return sum([len(event.data) for event in events])


def _refuse(receipt: Receipt | None, error: Exception) -> None:
    if receipt is None:
        _log.error("event.lost", error=str(error))
    elif not receipt.done():
        receipt.set_exception(error)
