"""The session with the server: two connections, made, watched, and made anew when they are lost.

One is for commands, messages come on the other. Marks prove both alive, and an audit looks at times whether all that
should have come did. Knows links and when to begin again; what was missed meanwhile is for recovery.py to find.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import hiredis
import structlog

from sse_push.events.backoff import Backoff
from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.engines.redis.audit import Audit
from sse_push.events.engines.redis.connection import (
    RedisConnection,
    describe,
    ignore_result,
    unexpected_error,
)
from sse_push.events.engines.redis.feed import Feed
from sse_push.events.engines.redis.recovery import Recovery
from sse_push.events.engines.redis.standing import Standing
from sse_push.events.engines.redis.store import RemoteStore
from sse_push.events.errors import EngineUnavailable
from sse_push.events.tasks import BackgroundTasks

TICK_S = 1.0  # seconds between two marks of a node that hears nothing: they raise the floor and prove the connections alive
DEAD_S = 5.0  # seconds without the answer to a mark after which the connections are given up
START_S = 10.0  # seconds that a start tries to reach the server
BACKOFF_S = (0.05, 2.0)  # seconds between two attempts to reconnect: the first wait and the longest
CATCH_UP_S = 30.0  # seconds to connect and catch up in, before it is tried anew

_log = structlog.get_logger()


class Session:
    """Keeps *store* and *feed* connected to the server at *address*.

    Args:
        name: The node's, for those who look at the server's list of clients.

    Attributes:
        reachable: They are there, and the node has caught up.
        failing: Why events can't be kept now; ``None`` while they can, as far as is known.
    """

    def __init__(
        self,
        address: RedisAddress,
        name: str,
        store: RemoteStore,
        feed: Feed,
        standing: Standing,
        recovery: Recovery,
    ) -> None:
        self._address, self._name = address, name
        self._store, self._feed = store, feed
        self._standing, self._recovery = standing, recovery
        self._audit = Audit(store, feed, lambda: standing.window)
        self._commands, self._messages = RedisConnection(), RedisConnection()
        self._past: list[int] = []  # ids of links that are lost here, as the server may not have noticed yet
        self._run_id = ""
        self._started = False
        self._lost = False
        self._history_bytes = 0
        self._broke = asyncio.Event()
        self._flushing_keys = False
        self._marking: asyncio.Task[None] | None = None  # the mark that whoever asks now waits for
        self._barriers = 0  # marks asked for
        self._tasks = BackgroundTasks()
        self.reachable = False
        self.failing: str | None = "Redis was not reached yet"

    async def start(self, on_reconnected: Callable[[], object]) -> None:
        """Connect, and from now on stay so.

        Args:
            on_reconnected: Called after each loss of the connection, once the node has caught up.

        Raises:
            EngineUnavailable: The server can't be used; the message says why.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        backoff = Backoff(*BACKOFF_S)
        while True:
            try:
                await self._connect()
                break
            except EngineUnavailable as error:
                wait = backoff.next_wait()
                if loop.time() + wait > deadline:
                    raise
                _log.warning("engine.connect_failed", error=str(error))
                await asyncio.sleep(wait)
        self._started = True
        self._tasks.spawn(self._keep_connected(on_reconnected))
        self._tasks.spawn(self._keep_marking())

    def begin_again(self) -> None:
        """What these connections have can't be gone on with: make new ones."""
        self._broke.set()

    def lose(self) -> None:
        """Something of the store is missing: it is another one from now on."""
        self._lost = True
        self.begin_again()

    async def close(self) -> None:
        await self._tasks.cancel()
        self.reachable = False
        self._close_links()
        self._feed.disconnected()

    # -- connecting ----------------------------------------------------------------------------------

    async def _keep_connected(self, on_reconnected: Callable[[], object]) -> None:
        while True:
            await self._broke.wait()
            _log.error("engine.disconnected", error="the connection is lost")
            self._away()
            backoff = Backoff(*BACKOFF_S)
            while True:
                await asyncio.sleep(backoff.next_wait())
                try:
                    await self._connect()
                    break
                except Exception as error:  # noqa: BLE001 - whatever it is, the next try may fare better
                    _log.warning(
                        "engine.connect_failed", error=describe(error), exc_info=unexpected_error(error)
                    )
            _log.info("engine.recovered", epoch=self._feed.epoch, head=self._feed.head)
            on_reconnected()

    def _away(self) -> None:
        self.reachable, self.failing = False, "Redis is away"
        self._close_links()
        self._feed.disconnected()

    async def _connect(self) -> None:
        """Connect, listen, and catch up with what was missed.

        Raises:
            EngineUnavailable: It can't be done now.
        """
        self._broke.clear()
        self._past += [link.id for link in (self._commands, self._messages) if link.id]
        self._commands, self._messages = (
            RedisConnection(on_lost=self._broke.set),
            RedisConnection(self._heard, self._broke.set),
        )
        self._standing.hold()
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._commands.connect(self._address, f"sse-push-{self._name}")
                await self._messages.connect(self._address, f"sse-push-{self._name}-feed")
                await self._store.use(self._commands)
                await self._join()
                await self._listen()
                await self._recovery.catch_up()
        except (hiredis.HiredisError, TimeoutError) as error:
            self._close_links()
            reason = "it takes too long" if isinstance(error, TimeoutError) else str(error)
            raise EngineUnavailable(f"can't use Redis at {self._address}: {reason}") from None
        except BaseException:
            self._close_links()
            raise
        self._audit.forget()
        self.reachable, self.failing = True, None
        self._tell_keys()  # those that were wanted meanwhile

    def _close_links(self) -> None:
        self._commands.abort()
        self._messages.abort()

    async def _join(self) -> None:
        facts = await self._store.facts()
        if facts["run_id"] == self._run_id:  # else they were another server's
            ignore_result(self._store.end(self._past))
        else:
            self._store.memory.forget_evicted()
        self._past, self._run_id = [], facts["run_id"]
        lost, self._lost = self._has_evicted(facts) or self._lost, False
        if not self._started:
            self._store.memory.require_no_eviction()
        await self._recovery.join(self._run_id, lost=lost)

    def _has_evicted(self, facts: Mapping[str, str]) -> bool:
        """See how much memory the history may take, and whether the server has thrown keys away since the last look."""
        memory = self._store.memory
        evicting = memory.evicting
        evicted = memory.update(facts, self._history_bytes)
        if memory.evicting != evicting and memory.evicting and self._started:
            _log.error("engine.eviction_allowed", policy=memory.evicting)
        if evicted:
            _log.error("engine.keys_evicted", keys=evicted)
        return evicted > 0

    async def _listen(self) -> None:
        self._feed.connected(self._messages)
        while not self._feed.all_confirmed:
            if not self._messages.open:
                raise EngineUnavailable(self._messages.rejection or "the connection is lost")
            await asyncio.sleep(0.001)

    # -- hearing, and what proves that all is heard -----------------------------------------------------

    def _heard(self, messages: list[list[Any]]) -> None:
        if not self._standing.hear(messages):
            self._messages.abort()  # to be tried anew, with more to read and less to hold
        elif self._feed.owes_news:
            self.tell_keys_soon()

    def tell_keys_soon(self) -> None:
        """Tell the server at the end of this turn which keys are listened to by then."""
        if not self._flushing_keys and self.reachable:
            self._flushing_keys = True
            asyncio.get_running_loop().call_soon(self._tell_keys)

    def _tell_keys(self) -> None:
        self._flushing_keys = False
        if self.reachable:
            self._feed.flush()

    async def hear_all(self) -> None:
        """Wait until all that the store has now was heard. One mark is for all who ask in one iteration of the loop.

        Raises:
            EngineUnavailable, hiredis.HiredisError: That can't be now.
        """
        if self._marking is None:
            self._marking = self._tasks.spawn_task(self._mark())
            ignore_result([self._marking])
        await asyncio.shield(self._marking)

    async def _mark(self) -> None:
        self._marking = None  # whoever asks from now on waits for a later one
        self._tell_keys()  # first: once the mark is heard, they are
        self._barriers += 1
        barrier, known = self._barriers, self._feed.head
        epoch, head, floor, self._history_bytes = await self._store.mark(barrier)
        if epoch.decode() != self._feed.epoch or head < known:
            raise EngineUnavailable("the store is another one")
        self._standing.raise_floor(floor)
        await self._feed.passed(barrier)

    async def _keep_marking(self) -> None:
        """Prove the connections alive, and let the floor rise where nothing is published."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self.reachable:
                continue
            try:
                async with asyncio.timeout(DEAD_S):
                    await self.hear_all()
                    if self._has_evicted(
                        await self._store.facts("memory") | await self._store.facts("stats")
                    ):
                        self.lose()
                    missing = await self._audit.missing()
                if missing:
                    self._missed(missing)
            except Exception as error:  # noqa: BLE001 - new connections may fare better, and must be watched too
                _log.warning("engine.connect_failed", error=describe(error), exc_info=unexpected_error(error))
                self.begin_again()

    def _missed(self, numbers: list[int]) -> None:
        """Events did not come here. Later ones did, so they can't be had in order any more: streams are told."""
        _log.error("engine.events_missed", events=len(numbers), first=numbers[0])
        self._standing.break_off("unknown", numbers[0] - 1, self._feed.head)
        self.begin_again()  # whatever the connection has, another may not
