"""The open streams of this node: admission, start position, replay, heartbeats, token expiry and shutdown.

Uses the engine and the router. Knows nothing of HTTP.
"""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager

import structlog

from sse_push.events import wire
from sse_push.events.engines.base import Engine
from sse_push.events.errors import EngineUnavailable, ShuttingDown, Unauthenticated
from sse_push.events.ids import parse_id
from sse_push.events.replay import Replay, gap_frame
from sse_push.events.router import BatchWrite, EncodingGroup, Filter, from_event, write_all
from sse_push.service.connection import Connection
from sse_push.service.fair_limiter import FairLimiter
from sse_push.service.identity import Caller
from sse_push.service.limits import ConnectionLimits
from sse_push.service.per_iteration_limiter import PerIterationLimiter
from sse_push.service.timestamps import timestamp
from sse_push.service.timing_wheel import SLOTS, TimingWheel

PAGE_BYTES = 128 * 1024  # bytes of a replay that may wait for their reader before the next are fetched
OPENS_PER_TURN = 32  # streams opened in one turn of the loop (about 5 ms): live events go on between
STALLED_S = 30.0  # seconds a reader may take for a page of its replay
CLOSED_PER_TURN = 200  # streams closed in one turn of the loop when the node goes away (about 2 ms)

_log = structlog.get_logger()


class Connections:
    """The registry of open streams: admission, heartbeats, expiry and shutdown.

    Args:
        retry_ms: Reconnection time told to clients, jittered by half.
        heartbeat: Seconds between two comments on one stream.
        slow_reader_bytes: Bytes that may wait for one live stream; beyond that it is closed.
        batch_write: Writes to many subscribers.
    """

    def __init__(
        self,
        engine: Engine,
        limits: ConnectionLimits,
        *,
        retry_ms: int,
        heartbeat: float,
        slow_reader_bytes: int,
        batch_write: BatchWrite = write_all,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._batch_write = batch_write
        self._engine = engine
        self._limits = limits
        self._retry_ms = retry_ms
        self._tick_s = heartbeat / SLOTS
        self._slow_reader_bytes = slow_reader_bytes
        # A page must fit beside what is live, or the last page of a replay would look like a slow reader.
        self._page_bytes = min(PAGE_BYTES, slow_reader_bytes // 2)
        self._clock = clock
        self._second = int(clock())
        self._wheel: TimingWheel[Connection] = TimingWheel()
        self._expiring: dict[int, set[Connection]] = {}
        # One caller may hold half of the readers at most; waiting callers take turns.
        self._reading = FairLimiter(engine.readers, max(1, engine.readers // 2))
        self._opening: set[Connection] = set()  # admitted, and waiting for their subscriptions
        self._catching_up: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self.open_by_kind: Counter[str] = Counter()
        self.closed_by_reason: Counter[str] = Counter()
        self.accepting = True
        self.gate = PerIterationLimiter(OPENS_PER_TURN)

    def start(self) -> None:
        """Start sending heartbeats."""
        self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._wheel)

    def __len__(self) -> int:
        return self._limits.open

    @property
    def opening(self) -> Collection[Connection]:
        """Connections that were admitted and wait for their subscriptions."""
        return self._opening

    def admit(
        self,
        kind: str,
        encoding: EncodingGroup,
        caller: Caller,
        address: str,
        request_id: str,
        last: bytes = b"",
    ) -> Connection:
        """Take a slot for a stream that is about to open; :meth:`prepare` may, :meth:`open` or :meth:`refuse` must follow.

        Args:
            last: Frames that end it (:attr:`sse_push.service.connection.Connection.last`).

        Raises:
            ShuttingDown: The node is going away.
            OverLimit: Too many are open.
        """
        if not self.accepting:
            raise ShuttingDown("this node is going away")
        self._limits.take(caller.user_id, address)
        return Connection(self, kind, encoding, caller, address, request_id, last)

    async def prepare(
        self,
        connection: Connection,
        where: Filter,
        keys: Sequence[str],
        *,
        resume: tuple[str | None] | None = None,
    ) -> Replay | None:
        """Fix where the stream begins, before its response does: whatever is published from then on, anywhere, comes.

        Where this node hears *keys* it returns at once; else when the engine's server has said that it does.

        Args:
            where: What the stream may see.
            keys: What it needs to be heard of other nodes.
            resume: ``(Last-Event-ID or None,)`` for a stream that can be resumed, else ``None``.

        Returns:
            For :meth:`open`.

        Raises:
            EngineUnavailable, ShuttingDown, Unauthenticated: It can't open now.
        """
        engine = self._engine
        connection.keys = keys
        engine.subscribe(keys)
        requested = None if resume is None else resume[0]
        given = None if requested is None else parse_id(requested)
        waits = bool(keys) and not engine.is_caught_up(keys, given and given[1])
        start = await self._settle(connection) if waits else None
        return None if resume is None else Replay(engine, where.keys, requested, self._clock, start)

    async def _settle(self, connection: Connection) -> int:
        """Wait until the engine hears the keys of *connection*, then for its turn: one answer may settle hundreds."""
        self._opening.add(connection)
        try:
            start = await self._engine.wait_caught_up(connection.keys)
            await self.gate.enter()
        finally:
            self._opening.discard(connection)
        if not self.accepting:
            raise ShuttingDown("this node is going away")
        if connection.reason:  # revoked meanwhile
            raise Unauthenticated("the token is not valid any more")
        if not self._engine.is_caught_up(connection.keys, None):
            raise EngineUnavailable("events can't be had now")
        return start

    def open(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        head: bytes,
        where: Filter,
        *,
        replay: Replay | None = None,
        greeting: bytes = b"",
    ) -> None:
        """Take *transport* over and begin: head, ``retry:``, what was missed, then what comes.

        Args:
            head: The head of the HTTP response.
            where: What the stream may see.
            replay: What :meth:`prepare` gave.
            greeting: Frames to begin life with, of topics that are not kept or of what else feeds it.
        """
        connection.attach(transport)
        connection.opened = self._clock()
        connection.subject = where.user
        connection.resumable = replay is not None
        self._register(connection)
        encoding = connection.encoding
        if replay is None:
            self._go_live(connection, where)
            first = b"" if connection.last else wire.frame(retry=self._retry())
            connection.write(head + encoding.wrap(first + greeting))
            return
        first = wire.frame(retry=self._retry(), id=replay.position)
        if replay.in_memory:
            page = replay.next_from_memory(self._page_bytes)
            if page.live:
                self._go_live(connection, where)
            body = first + page.gap + encoding.join(page.events)
            connection.write(head + encoding.wrap(body + greeting if page.live else body))
        else:
            connection.write(head + encoding.wrap(first))
        if not connection.live:
            transport.set_write_buffer_limits(high=self._page_bytes)
            task = asyncio.get_running_loop().create_task(self._catch_up(connection, replay, where, greeting))
            self._catching_up.add(task)
            task.add_done_callback(self._catching_up.discard)

    def reading(self, caller: Caller, address: str) -> AbstractAsyncContextManager[None]:
        """Limit concurrent history reads: wrap every read for *caller* in it."""
        return self._reading.turn(self._limits.caller(caller.user_id, address))

    def refuse(self, connection: Connection) -> None:
        """Give back the slot of a stream that was admitted but not opened."""
        try:
            self._engine.unsubscribe(connection.keys)
        finally:
            self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        self._limits.give(connection.caller_id, connection.address)
        if not self._limits.open:
            self._empty.set()

    def unregister(self, connection: Connection) -> None:
        """Free what a closed connection held. Its slot is given back even if it had opened only in part."""
        try:
            self._remove(connection)
        finally:
            self._give_back(connection)

    def _remove(self, connection: Connection) -> None:
        self._engine.unsubscribe(connection.keys)
        self._wheel.discard(connection, connection.slot)
        if connection.expires is not None:
            expiring = self._expiring[math.ceil(connection.expires)]
            expiring.discard(connection)
            if not expiring:
                del self._expiring[math.ceil(connection.expires)]
        self.open_by_kind[connection.kind] -= 1
        self.closed_by_reason[connection.reason] += 1
        _log.info(
            "stream.closed",
            stream=connection.kind,
            user=connection.caller_id,
            address=connection.address,
            request_id=connection.request_id,
            reason=connection.reason,
            duration_s=round(self._clock() - connection.opened, 3),
        )

    async def drain(self, timeout: float) -> None:
        """Close every stream with a reconnection time; abort those that are still open after *timeout* seconds.

        Streams that end by themselves may do so until then.
        """
        self.accepting = False
        for count, connection in enumerate(list(self)):
            if not connection.last:
                connection.end("shutdown", wire.frame(retry=self._retry()))
            if count % CLOSED_PER_TURN == CLOSED_PER_TURN - 1:
                await asyncio.sleep(0)
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            for connection in list(self):
                connection.abort("shutdown")
            await asyncio.sleep(0)

    async def revoke(self, reason: str, is_revoked: Callable[[Connection], bool]) -> None:
        """Close the streams whose tokens were revoked, with jittered reconnection times."""
        frame = _expired_frame(self._clock())
        for connection in filter(is_revoked, self._opening):
            connection.reason = reason
        revoked = [connection for connection in self if is_revoked(connection)]
        for count, connection in enumerate(revoked):
            connection.end(reason, wire.frame(retry=self._retry()) + frame)
            if count % CLOSED_PER_TURN == CLOSED_PER_TURN - 1:
                await asyncio.sleep(0)

    def signal_discontinuity(self, reason: str, last_id: str, keys: Collection[str] | None = None) -> None:
        """Events after *last_id* may be missing: send a gap for ``unknown``, otherwise close, so that clients resume.

        Args:
            keys: The routing keys with missing events; ``None`` means all.
        """
        affected = [connection for connection in self if connection.resumable and connection.live]
        position = self._engine.head
        if keys is not None:
            affected = [connection for connection in affected if not {*keys}.isdisjoint(connection.keys)]
            # Events of other keys may have arrived meanwhile, so the gap ends where these keys stopped.
            position = parsed[1] if (parsed := parse_id(last_id)) else position
        gap = gap_frame(self._engine, reason, last_id, None, position)
        for connection in affected:
            if reason == "unknown":
                connection.write(connection.encoding.wrap(gap))
            else:
                connection.end("behind", wire.frame(retry=self._retry()))

    async def close(self) -> None:
        """Stop heartbeats and cancel replays."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._catching_up:
            task.cancel()
        await asyncio.gather(*self._catching_up, return_exceptions=True)

    def buffered_bytes(self) -> int:
        """Bytes in the write buffers of all streams."""
        return sum(connection.transport.get_write_buffer_size() for connection in self)

    def _register(self, connection: Connection) -> None:
        self._empty.clear()
        connection.slot = self._wheel.add(connection)
        if connection.expires is not None:
            self._expiring.setdefault(math.ceil(connection.expires), set()).add(connection)
        self.open_by_kind[connection.kind] += 1
        _log.info(
            "stream.opened",
            stream=connection.kind,
            user=connection.caller_id,
            address=connection.address,
            request_id=connection.request_id,
        )

    def is_slow(self, connection: Connection) -> bool:
        """True if its write buffer is over the limit."""
        return connection.transport.get_write_buffer_size() > self._slow_reader_bytes

    def _go_live(self, connection: Connection, where: Filter) -> None:
        """Subscribe to live events. From now on a write buffer over the limit means a slow reader."""
        connection.go_live()
        connection.subscription = from_event(connection.encoding, where, connection)
        for session in connection.sessions:
            session.opened(connection)

    async def _catch_up(self, connection: Connection, replay: Replay, where: Filter, greeting: bytes) -> None:
        """Write a replay that is too long for one write, page by page, as fast as the client reads."""
        try:
            while not connection.reason:
                if connection.write_resumed is not None:
                    async with asyncio.timeout(STALLED_S):
                        await connection.write_resumed
                    continue
                async with self._reading.turn(self._limits.caller(connection.caller_id, connection.address)):
                    page = await replay.next(self._page_bytes)
                # Leaving the turn waits for nothing: no event falls between the last page and going live.
                if connection.reason:
                    return
                if page.live:
                    self._go_live(connection, where)
                body = page.gap + connection.encoding.join(page.events) + (greeting if page.live else b"")
                if body:
                    connection.write(connection.encoding.wrap(body))
                if page.live:
                    return
        except TimeoutError:
            connection.abort("slow_reader")
        except EngineUnavailable:
            connection.end("history_unavailable", wire.frame(retry=self._retry()))
        except Exception as error:  # noqa: BLE001 - otherwise the stream would get heartbeats for ever and never go live
            _log.error("replay.failed", request_id=connection.request_id, error=repr(error), exc_info=error)
            connection.end("history_unavailable", wire.frame(retry=self._retry()))

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        due = [connection for connection in self._wheel.advance() if not connection.reason]
        self._batch_write(due, [connection.encoding.heartbeat for connection in due])
        now = self._clock()
        if int(now) != self._second:
            self._second = int(now)
            self._expire(now)

    def _expire(self, now: float) -> None:
        for second in [second for second in self._expiring if second <= now]:
            for connection in self._expiring[second]:
                connection.end("token_expired", _expired_frame(now))

    def _retry(self) -> int:
        return round(self._retry_ms * random.uniform(0.5, 1.5))


def _expired_frame(now: float) -> bytes:
    return wire.frame(b'data: {"timestamp":"%b"}\n' % timestamp(now).encode(), event="sse.expired")
