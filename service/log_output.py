"""Where log lines go: a descriptor that is written to beside the event loop, and never waited for.

Knows lines of bytes and a descriptor; what the lines say, it does not. Whoever reads the log may stop, go away or have
a full disk: lines are dropped then, and counted. A thread of its own writes all lines that have gathered with one
system call. Before ``start`` and after ``close`` there is no thread, for a process that forks must have none: lines
are written at once then, as far as that needs no waiting.
"""

import contextlib
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from typing import TextIO

MAX_QUEUED_LINES = 10_000  # lines that wait for the writer: a second of a busy node's
MAX_QUEUED_BYTES = 2 * 2**20  # bytes of them; as many may be in the writer's hands at the same time
GATHER_S = 0.02  # seconds between two writes: a thread that wakes for each line would fight the loop for the interpreter
CLOSE_S = 1.0  # seconds that the last lines may take at the end of the process
LOOK_S = (
    0.1  # seconds that a line waits for room where there is no thread, and between two looks where there is
)
_AT_ONCE = 4096  # bytes that a writable pipe takes without a wait (PIPE_BUF on Linux)
_CHUNK = 64 * 1024  # bytes of one system call: what a pipe holds
_LINE_END = ord("\n")


class LogOutput:
    """Lines on their way to a descriptor; any thread may write.

    Args:
        descriptor: ``None`` where there is none, as after ``>&-``: every line is dropped.
        on_dropped: Is given the number of lines dropped, when lines are written again; called by the writer.

    Attributes:
        dropped: Lines that were not written since the start.
    """

    def __init__(self, descriptor: int | None, on_dropped: Callable[[int], object] = abs) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        self._reported = 0  # of those dropped
        self._cut = False  # what was written last is part of a line
        self._lines: list[bytes] = []
        self._bytes = 0
        # Reentrant: a garbage collection inside it may log a warning.
        self._lock = threading.RLock()
        # Locked while the thread may sleep. An event's lock is not reentrant, and a collection may come there too.
        self._asleep = threading.Lock()
        self._thread: threading.Thread | None = None
        self._running = False

    def write(self, line: bytes) -> None:
        """Take *line*, without its end; never raises, never waits."""
        with self._lock:
            if self._bytes + len(line) > MAX_QUEUED_BYTES or len(self._lines) >= MAX_QUEUED_LINES:
                self.dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line) + 1
        if self._thread is None:
            self._flush(wait=False)
        else:
            self._wake()

    def start(self) -> None:
        """From now on a thread writes."""
        self._running = True
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, for a second at most."""
        if self._thread is None:
            return
        self._running = False
        self._wake()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():  # else it hangs in a write, and no other may
            self._thread = None
            self._flush(wait=False)

    def _wake(self) -> None:
        if self._asleep.locked():
            with contextlib.suppress(RuntimeError):  # another thread was faster
                self._asleep.release()

    def _run(self) -> None:
        while self._running:
            self._asleep.acquire()
            self._flush(wait=True)
            if self._running:
                time.sleep(GATHER_S)
        self._flush(wait=True)

    def _flush(self, *, wait: bool) -> None:
        """Write all lines that wait.

        Args:
            wait: For as long as it takes; otherwise lines that would need a long wait are dropped.
        """
        while lines := self._take():
            data = b"\n" * self._cut + b"\n".join(lines) + b"\n"
            written = self._write_some(memoryview(data), wait)
            if written:
                self._cut = data[written - 1] != _LINE_END
            if written == len(data):
                self._report()
            else:
                with self._lock:
                    self.dropped += data.count(b"\n", written)

    def _take(self) -> list[bytes]:
        with self._lock:
            lines, self._lines, self._bytes = self._lines, [], 0
        return lines

    def _write_some(self, data: memoryview, wait: bool) -> int:
        """Write *data* up to the first fault; how many bytes were written."""
        if self._descriptor is None:
            return 0
        written, size = 0, _CHUNK if wait else _AT_ONCE
        try:
            while written < len(data):
                if self._is_writable():
                    with contextlib.suppress(BlockingIOError):
                        written += os.write(self._descriptor, data[written : written + size])
                elif not wait:
                    break
        except (
            OSError
        ):  # nobody reads it any more, the disk is full, the terminal is gone: the next lines try again
            pass
        return written

    def _is_writable(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor or 0, select.POLLOUT)
        return bool(poll.poll(LOOK_S * 1000))

    def _report(self) -> None:
        dropped = self.dropped
        if dropped > self._reported:
            count, self._reported = dropped - self._reported, dropped
            self._on_dropped(count)


def descriptor_of(stream: TextIO | None) -> int | None:
    """A descriptor to write to what *stream* writes to; ``None`` where there is none.

    A pipe or a terminal is opened again where the system allows it: then it can be written to without a wait, and
    the other processes that share it keep theirs as it is.
    """
    try:
        descriptor = stream.fileno() if stream is not None else None
    except (OSError, ValueError):
        return None
    if descriptor is None or not (stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor)):
        return descriptor
    try:
        return os.open(
            f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )
    except OSError:
        return descriptor
