"""The engine that needs no server: SQLite in the data directory, one process.

What one turn of the event loop appends is a group: kept with one commit, then handed to the streams,
then acknowledged, all in that turn. A commit is a write to the system's page cache (about 15 us), which
survives the death of the process; what waits for a disk (checkpoints, chores, and with ``sync=full``
the commits too) runs on a thread, and commits are held meanwhile: docs/design/0002-history.md.
Knows the store's methods; does not know its tables.
"""

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Literal, NamedTuple

import structlog

from sse_push.events.engines.base import (
    NOT_PUBLISHED,
    EngineListener,
    Unreadable,
)
from sse_push.events.engines.embedded.ages import steady_clock
from sse_push.events.engines.embedded.damage import is_busy, is_damage, set_aside
from sse_push.events.engines.embedded.reader import HistoryReader
from sse_push.events.engines.embedded.sqlite_file import LOCK_WAIT_S
from sse_push.events.engines.embedded.store import Store
from sse_push.events.engines.single_node import SingleNodeEngine
from sse_push.events.errors import EngineUnavailable, KeyReused, OutcomeUnknown, Overloaded, StoreInUse
from sse_push.events.event import Event
from sse_push.events.group import EventGroup, EventList, concat, weight_of
from sse_push.events.ids import format_id
from sse_push.events.private_files import make_private_database, open_private
from sse_push.events.receipts import Receipt, fail
from sse_push.events.window import WINDOW_BYTES, Window

MAX_WAITING_EVENTS = 100_000  # events not yet kept: some seconds of the fastest publisher
MAX_WAITING_BYTES = 64 * 2**20  # bytes of their data and routing keys; past either, publishers are told 503
GROUP_EVENTS = 4096  # events in one commit: a few ms
GROUP_BYTES = 8 * 2**20  # bytes of their data and routing keys: 80,000 keys, some 10 ms
PRELOAD_EVENTS = 50_000  # events read into the window at a start (about 0.2 s), for those who come back
READERS = 4  # reads from disk at once, each a thread for a few ms; the rest of a storm waits its turn
CHORES_EVERY_S = 1.0  # seconds between looks at what has grown too old
PAGE_EVENTS = 1000  # events one read from disk gives at the most

_log = structlog.get_logger()
_Group = list[tuple[EventGroup, Receipt | None]]


class _Commit(NamedTuple):
    """What became of a group: what of it was to be kept, what was refused, and those that are new or the error."""

    group: _Group
    events: EventGroup
    refused: list[tuple[Receipt | None, KeyReused]]
    result: EventGroup | Exception


class EmbeddedEngine(SingleNodeEngine):
    """Keeps events in ``data_dir/events.db``; the arguments are the store's."""

    epoch = ""  # until it is started
    head = floor = 0
    readers = READERS
    window = Window(0)
    failing: str | None = None

    def __init__(
        self,
        data_dir: Path,
        *,
        max_events: int,
        max_age: float,
        max_bytes: int = 2**30,
        key_age: float = 600.0,
        sync: Literal["normal", "full"] = "normal",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dir = data_dir
        self._max_bytes = max_bytes
        self._limits: dict[str, Any] = {"max_events": max_events, "max_age": max_age, "max_bytes": max_bytes, "key_age": key_age, "sync": sync}  # fmt: skip
        self._commits_wait_for_disk = sync == "full"
        self._clock = clock
        # Nobody may set the clock by which things grow old: a step of the system's would age all, or nothing.
        self._age_clock = steady_clock() if clock is time.time else clock
        self._waiting: _Group = []
        self._weights: list[int] = []  # of what waits, in the same order
        self._waiting_events = 0
        self._waiting_bytes = 0
        self._scheduled = False
        self._store_lent = asyncio.Lock()  # held while the thread has the store: the loop keeps off
        self._commits: set[asyncio.Task[None]] = set()
        self._chores: asyncio.Task[None] | None = None
        self._replacing: asyncio.Task[None] | None = None

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    async def start(self, listener: EngineListener) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        path = self._dir / "events.db"
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(self._dir / "lock")
        except OSError as error:
            raise EngineUnavailable(f"can't use {self._dir}: {error}") from error
        self._thread = ThreadPoolExecutor(1, "sse-push-store")
        opening = self._loop.run_in_executor(self._thread, self._open)  # another process may hold it locked
        try:
            events = await asyncio.shield(opening)
        except (OSError, ValueError, TypeError, sqlite3.Error) as error:
            self._lock.close()
            self._thread.shutdown()
            wait = f": another process holds it locked for {LOCK_WAIT_S:g} s" if is_busy(error) else ""
            raise EngineUnavailable(f"can't open {path}: {error}{wait}") from error
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            if opening.exception() is None:
                self._close_files()
            self._lock.close()
            self._thread.shutdown()
            raise
        self._begin(events)
        self._reading = asyncio.Semaphore(READERS)
        self._read_threads = ThreadPoolExecutor(READERS, "sse-push-read")
        self._timer = self._loop.call_later(CHORES_EVERY_S, self._tick)

    def _open(self) -> EventGroup:
        """Open the store, on the thread; a damaged one is put aside, for another. The newest events."""
        path = self._dir / "events.db"
        try:
            return self._open_store(path)
        except (sqlite3.Error, ValueError, TypeError) as error:
            if not is_damage(error):
                raise
            _log.error("engine.store_replaced", error=str(error), kept_as=str(set_aside(path)))
        return self._open_store(path)

    def _open_store(self, path: Path) -> EventGroup:
        make_private_database(path)
        store = Store(path, **self._limits)
        readers: SimpleQueue[HistoryReader] = SimpleQueue()
        try:
            events = store.newest(PRELOAD_EVENTS, WINDOW_BYTES // 2)
            sound: dict[tuple[int, int, int | None], bool] = {}
            for _ in range(READERS):
                readers.put(HistoryReader(path, store.epoch, store.unchecked, sound))
        except BaseException:
            store.close()
            raise
        self._store, self._free_readers = store, readers
        return events

    def _begin(self, events: EventGroup) -> None:
        """The store is open; *events* are its newest."""
        store = self._store
        self.epoch, self.head, self.floor = store.epoch, store.head, store.floor
        self.window = Window(events[0].seq - 1 if events else self.head)
        self.window.append(events, store.indexed)

    def _close_files(self) -> None:
        while not self._free_readers.empty():
            self._free_readers.get().close()
        self._store.close()

    # -- keeping -----------------------------------------------------------------------------------

    def append(self, events: EventGroup, receipt: Receipt | None = None) -> None:
        if self._waiting_events >= MAX_WAITING_EVENTS or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._listener.failed(len(events))
            fail(receipt, Overloaded("too many events wait to be kept; nothing was published"))
            return
        self._waiting.append((events, receipt))
        self._waiting_events += len(events)
        self._weights.append(weight_of(events))
        self._waiting_bytes += self._weights[-1]
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled and not self._store_lent.locked():
            self._scheduled = True
            # Not at once: whatever else this turn of the loop appends belongs to the same group.
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        if self._store_lent.locked():
            return  # scheduled again when the thread has finished
        group, events = self._next_group()
        if not self._commits_wait_for_disk:
            commit = self._keep(group, events)
            if not is_busy(commit.result):
                self._committed(commit)
                return
        task = self._loop.create_task(self._commit_in_thread(group, events))
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)

    async def _commit_in_thread(self, group: _Group, events: EventGroup) -> None:
        """Keep *events* on the thread. While another process holds the file locked all that comes waits, for a while."""
        waits = 0.0 if self.failing else LOCK_WAIT_S
        deadline = self._loop.time() + waits
        pause = 0.005
        async with self._store_lent:
            while True:
                commit = await self._loop.run_in_executor(self._thread, self._keep, group, events)
                if not is_busy(commit.result) or self._loop.time() >= deadline:
                    break
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.1)
        self._committed(commit)

    def _next_group(self) -> tuple[_Group, EventGroup]:
        size = weight = count = 0
        for (entry, _), entry_weight in zip(self._waiting, self._weights, strict=True):
            size += len(entry)
            weight += entry_weight
            if count and (size > GROUP_EVENTS or weight > GROUP_BYTES):
                weight -= entry_weight
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        del self._weights[:count]
        events = concat([entry for entry, _ in group])
        self._waiting_events -= len(events)
        self._waiting_bytes -= weight
        return group, events

    def _keep(self, group: _Group, events: EventGroup) -> "_Commit":
        """Keep *events*, which are those of *group*, but for what uses an idempotency key for something else."""
        refused: list[tuple[Receipt | None, KeyReused]] = []
        try:
            now = self._age_clock()
            if events.has_idempotency_keys and (reused := self._store.reused([its for its, _ in group], now)):
                refused = [(group[place][1], error) for place, error in reused.items()]
                group = [entry for place, entry in enumerate(group) if place not in reused]
                events = concat([its for its, _ in group]) if group else EventList()
            return _Commit(group, events, refused, self._store.append(events, now))
        except Exception as error:
            return _Commit(group, events, refused, error)

    def _committed(self, commit: "_Commit") -> None:
        group, events, refused, result = commit
        for receipt, fault in refused:
            fail(receipt, fault)
        if isinstance(result, Exception):
            self._failed(group, result)
        else:
            self._succeeded()
            self.floor = self._store.floor
            if result:
                self.window.append(result, self._store.indexed)
                self.head = self._store.head
                self._listener.stored(result)
            ids = iter(events.ids())
            for entry, receipt in group:
                its = [*islice(ids, len(entry))]
                if receipt is not None and not receipt.done():
                    receipt.set_result(its)
        self._schedule()
        if self._store.chores_due:
            self._start_chores()

    def _succeeded(self) -> None:
        if self.failing:
            self.failing = None
            _log.info("engine.recovered", epoch=self.epoch, head=self.head)

    def _failed(self, group: _Group, error: Exception) -> None:
        self.failing = str(error)
        count = sum([len(events) for events, _ in group])
        _log.error("engine.failed", error=self.failing, events=count)
        self._listener.failed(count)
        unavailable = EngineUnavailable(NOT_PUBLISHED) if _did_nothing(error) else OutcomeUnknown()
        for _, receipt in group:
            fail(receipt, unavailable)
        if is_damage(error):
            self._replace_soon(error)

    def _replace_soon(self, error: Exception) -> None:
        if self._replacing is None or self._replacing.done():
            self._replacing = self._loop.create_task(self._replace(error))
            self._commits.add(self._replacing)
            self._replacing.add_done_callback(self._commits.discard)

    async def _replace(self, error: Exception) -> None:
        """The file is damaged, and would fail every commit: put it aside, and go on with another."""
        stood = format_id(self.epoch, self.head)
        async with AsyncExitStack() as stack:
            for _ in range(READERS):  # readers are given back first
                await self._reading.acquire()
                stack.callback(self._reading.release)
            await stack.enter_async_context(self._store_lent)
            try:
                events = await self._loop.run_in_executor(self._thread, self._reopen, error)
            except (OSError, ValueError, TypeError, sqlite3.Error) as fault:
                self.failing = str(fault)
                _log.error("engine.failed", error=self.failing, events=0)
                return
            self._begin(events)
            self._listener.discontinued("unknown", stood)
            self._succeeded()
        self._schedule()

    def _reopen(self, error: Exception) -> EventGroup:
        path = self._dir / "events.db"
        with suppress(sqlite3.Error):
            self._close_files()
        _log.error("engine.store_replaced", error=str(error), kept_as=str(set_aside(path)))
        return self._open_store(path)

    def publish_ephemeral(self, events: EventGroup) -> None:
        self._listener.stored(events)  # there is no other node

    # -- chores ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self._loop.call_later(CHORES_EVERY_S, self._tick)
        self._start_chores()

    def _start_chores(self) -> None:
        if self._chores is None or self._chores.done():
            self._chores = self._loop.create_task(self._do_chores())

    async def _do_chores(self) -> None:
        """Run the store's chores on the thread, a slice at a time; between two, what waits is committed."""
        slices = self._store.chores(self._age_clock())
        try:
            while await self._in_thread(lambda: next(slices, self)) is not self:
                self.floor = self._store.floor  # before the next slice takes what is below it
                await self._let_commit()
        except (
            sqlite3.Error,
            ValueError,
            TypeError,
        ) as error:  # a full disk, say: due again at the next look
            if is_damage(error):
                self._replace_soon(error)
            elif not is_busy(error):
                _log.error("engine.chores_failed", error=str(error))
        self.floor = self._store.floor

    async def _let_commit(self) -> None:
        """What waits is committed before the thread has the store again; once, or a steady load would starve chores."""
        await asyncio.sleep(0)
        await asyncio.gather(*self._commits)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Run *work* on the thread, which has the store to itself meanwhile."""
        try:
            async with self._store_lent:
                return await self._loop.run_in_executor(self._thread, work)
        finally:
            self._schedule()

    # -- reading -----------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        # What has no routes yet is in the window: see Window.append's may_drop_to.
        upto = self._store.indexed
        after = max(after, self.floor)
        if after >= upto:
            return [], max(after, self.window.start)
        async with self._reading:
            reader = self._free_readers.get_nowait()
            try:
                return await self._loop.run_in_executor(
                    self._read_threads,
                    lambda: reader.read(keys, after, upto, self._clock(), PAGE_EVENTS, max_bytes),
                )
            except Unreadable as hole:
                if hole.upto > self.floor:
                    raise
                return [], self.floor  # a sweep took them
            except sqlite3.Error as error:
                raise EngineUnavailable("history can't be read now") from error
            finally:
                self._free_readers.put(reader)

    async def check(self) -> None:
        if self.failing:
            try:
                await self._in_thread(self._store.probe)
            except sqlite3.Error as error:
                raise EngineUnavailable(f"events can't be kept: {error}") from error
            self._succeeded()

    async def close(self) -> None:
        self._timer.cancel()
        while self._waiting or self._commits or not (self._chores is None or self._chores.done()):
            if self._chores is not None:
                await self._chores  # the last commits may start it once more
            await asyncio.gather(*self._commits)
            await asyncio.sleep(0)  # the turn in which what waits is committed
        await asyncio.to_thread(self._read_threads.shutdown)
        await asyncio.sleep(0)  # the turn in which the last reads give their readers back
        try:
            await self._loop.run_in_executor(
                self._thread, self._close_files
            )  # it waits for a disk, and for locks
        except sqlite3.Error as error:  # a full disk: what was acknowledged is kept all the same
            _log.error("engine.failed", error=str(error), events=0)
        finally:
            self._thread.shutdown()
            self._lock.close()


def _did_nothing(error: Exception) -> bool:
    """Whether it is sure that the commit which failed by *error* has kept nothing.

    After an I/O error the commit may be on the disk all the same, whole, for the next start to find.
    """
    return isinstance(error, sqlite3.Error) and not getattr(error, "sqlite_errorname", "").startswith(
        "SQLITE_IOERR"
    )


def _lock(path: Path) -> IO[str]:
    """Hold *path* for this process alone, for as long as the file stays open."""
    file = open_private(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreInUse(
            f"another process uses {path.parent}; give each its own SSE_PUSH_DATA_DIR"
        ) from error
    return file
