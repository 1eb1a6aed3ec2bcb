"""The engine that needs no server: SQLite in the data directory, one process.

The event loop collects what is appended in one turn into a group; a thread of its own keeps the group
with one commit; back on the loop the group goes to the window, to the streams and to its publishers.
While a commit runs the next group gathers, so that a burst costs few commits. Knows the store's
methods; does not know its tables.
"""

import asyncio
import concurrent.futures
import fcntl
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Literal

import structlog

from events.engines.base import Engine, Kept, Receipt
from events.engines.store import Reader, Store
from events.errors import EngineUnavailable, Overloaded, StoreInUse
from events.event import Event
from events.window import WINDOW_BYTES, Window

MAX_WAITING_EVENTS = 100_000  # events not yet kept: some seconds of the fastest publisher
MAX_WAITING_BYTES = 64 * 2**20  # bytes of memory they take; past either, publishers are told 503
GROUP_EVENTS = 4096  # events in one commit: a few ms
PRELOAD_EVENTS = 50_000  # events read into the window at a start (about 0.2 s), for those who come back
READERS = 4  # reads from disk at once, each a thread for a few ms; the rest of a storm waits its turn
CHORES_EVERY_S = 1.0  # seconds between looks at what has grown too old
PAGE_EVENTS = 1000  # events one read from disk gives at the most

_log = structlog.get_logger()


class EmbeddedEngine(Engine):
    """Keeps events in ``data_dir/events.db``; the arguments are the store's."""

    def __init__(
        self,
        data_dir: Path,
        *,
        max_events: int,
        max_age: float,
        key_age: float = 600.0,
        sync: Literal["normal", "full"] = "normal",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dir = data_dir
        self._limits: dict[str, Any] = {"max_events": max_events, "max_age": max_age, "key_age": key_age, "sync": sync}  # fmt: skip
        self._clock = clock
        self._waiting: list[tuple[Sequence[Event], Receipt | None]] = []
        self._waiting_events = 0
        self._waiting_bytes = 0
        self._committing = False
        self._error: str | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, kept: Kept) -> None:
        self._loop = asyncio.get_running_loop()
        self._kept = kept
        path = self._dir / "events.db"
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._dir / "lock")
            self._store = Store(path, **self._limits)
        except (OSError, sqlite3.Error) as error:
            raise EngineUnavailable(f"can't open {path}: {error}") from error
        events = await asyncio.to_thread(self._store.newest, PRELOAD_EVENTS, WINDOW_BYTES // 2)
        self.epoch, self.head, self.floor = self._store.epoch, self._store.head, self._store.floor
        self.window = Window(events[0].seq - 1 if events else self.head)
        self.window.append(events, self._store.indexed)
        self._readers: SimpleQueue[Reader] = SimpleQueue()
        for _ in range(READERS):
            self._readers.put(Reader(path, self.epoch))
        self._reading = asyncio.Semaphore(READERS)
        self._writer = _Writer(self._store, self._loop, self._clock)
        self._tick()

    # -- keeping -----------------------------------------------------------------------------------

    def append(self, events: Sequence[Event], receipt: Receipt | None = None) -> None:
        size = sum([len(event.data) for event in events])
        if self._waiting_events >= MAX_WAITING_EVENTS or self._waiting_bytes >= MAX_WAITING_BYTES:
            return _refuse(receipt, Overloaded("too many events wait to be kept"))
        self._waiting.append((events, receipt))
        self._waiting_events += len(events)
        self._waiting_bytes += size
        if not self._committing:
            self._committing = True
            self._idle.clear()
            # Not at once: whatever else this turn of the loop appends belongs to the same group.
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        group: list[tuple[Sequence[Event], Receipt | None]] = []
        events: list[Event] = []
        for entry in self._waiting:
            if events and len(events) + len(entry[0]) > GROUP_EVENTS:
                break
            group.append(entry)
            events += entry[0]
        del self._waiting[: len(group)]
        self._waiting_events -= len(events)
        self._waiting_bytes -= sum([len(event.data) for event in events])
        self._writer.append(events, lambda result: self._committed(group, result))

    def _committed(
        self, group: list[tuple[Sequence[Event], Receipt | None]], result: list[Event] | Exception
    ) -> None:
        if self._waiting:
            self._loop.call_soon(self._commit)
        else:
            self._committing = False
            self._idle.set()
        if isinstance(result, Exception):
            self._failed(group, result)
        else:
            if self._error:
                self._error = None
                _log.info("engine.recovered")
            self._take(result)
            for events, receipt in group:
                if receipt is not None and not receipt.done():
                    receipt.set_result([str(event.id) for event in events])

    def _take(self, events: list[Event]) -> None:
        self.floor = self._store.floor
        if events:
            self.window.append(events, self._store.indexed)
            self.head = events[-1].seq
            self._kept(events)

    def _failed(self, group: Sequence[tuple[Sequence[Event], Receipt | None]], error: Exception) -> None:
        self._error = str(error)
        _log.error("engine.failed", error=self._error, events=sum(len(events) for events, _ in group))
        for _, receipt in group:
            _refuse(receipt, EngineUnavailable("events can't be kept now"))

    def _tick(self) -> None:
        self._writer.look_for_chores()
        self._timer = self._loop.call_later(CHORES_EVERY_S, self._tick)
        self.floor = self._store.floor

    # -- reading -----------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        # What has no routes yet is in the window: see Window.append's may_drop_to.
        upto = self._store.indexed
        after = max(after, self.floor)
        if after >= upto:
            return [], max(after, self.window.start)
        async with self._reading:
            reader = self._readers.get_nowait()
            try:
                return await asyncio.to_thread(
                    reader.read, keys, after, upto, self._clock(), PAGE_EVENTS, max_bytes
                )
            except sqlite3.Error as error:
                raise EngineUnavailable("history can't be read now") from error
            finally:
                self._readers.put(reader)

    async def check(self) -> None:
        if self._error:
            error = await asyncio.wrap_future(self._writer.probe())
            if error:
                raise EngineUnavailable(f"events can't be kept: {error}")
            self._error = None
            _log.info("engine.recovered")

    async def close(self) -> None:
        await self._idle.wait()
        self._timer.cancel()
        await asyncio.to_thread(self._writer.close)
        while not self._readers.empty():
            self._readers.get().close()
        self._store.close()
        self._lock.close()


class _Writer:
    """The one thread that writes the store: commits as they come, chores between them."""

    def __init__(
        self, store: Store, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._loop = loop
        self._clock = clock
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._chores: Iterator[None] | None = None
        self._thread = threading.Thread(target=self._run, name="sse-push-store")
        self._thread.start()

    def append(self, events: list[Event], done: Callable[[list[Event] | Exception], None]) -> None:
        """Keep *events*; call *done* on the loop with those that are new, or with the error."""

        def job() -> None:
            result: list[Event] | Exception
            try:
                result = self._store.append(events, self._clock())
            except Exception as error:
                result = error
            self._loop.call_soon_threadsafe(done, result)

        self._jobs.put(job)

    def probe(self) -> concurrent.futures.Future[Exception | None]:
        """See whether the store can be written; the error, or ``None``."""
        answer: concurrent.futures.Future[Exception | None] = concurrent.futures.Future()

        def job() -> None:
            try:
                self._store.probe()
            except Exception as error:
                answer.set_result(error)
            else:
                answer.set_result(None)

        self._jobs.put(job)
        return answer

    def look_for_chores(self) -> None:
        self._jobs.put(self._start_chores)

    def close(self) -> None:
        """End the thread after what it was given. Blocks."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(block=self._chores is None)
            except Empty:
                self._do_chore()
                continue
            if job is None:
                return
            job()
            if self._store.routes_due:
                self._start_chores()
            self._do_chore()

    def _start_chores(self) -> None:
        self._chores = self._chores or self._store.chores(self._clock())

    def _do_chore(self) -> None:
        try:
            if self._chores is not None:
                next(self._chores)
        except StopIteration:
            self._chores = None
        except Exception as error:  # a full disk, say: they are due again at the next look
            self._chores = None
            _log.error("engine.chores_failed", error=str(error))


def _refuse(receipt: Receipt | None, error: Exception) -> None:
    if receipt is None:
        _log.error("event.lost", error=str(error))
    elif not receipt.done():
        receipt.set_exception(error)


def _lock(path: Path) -> IO[str]:
    """Hold *path* for this process alone, for as long as the file stays open."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreInUse(f"another process uses {path.parent}; give each its own DATA_DIR") from error
    return file
