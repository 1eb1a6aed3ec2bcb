"""Writes to many streams at once: with one system call for many of them if io_uring is available, else one by one.

What the kernel does not accept of a write goes to the stream's own ``write``, so its transport handles full and broken
sockets as usual. Knows subscribers; does not know what is written.
"""

from array import array
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from operator import attrgetter

import structlog

from sse_push.events.router import Subscriber, write_all
from sse_push.service.io_uring import ENTRIES, IoUring

MIN_BATCH = 8  # writes; for fewer, one call costs as much as single writes

_fd: Callable[[Subscriber], int] = attrgetter("fd")

_log = structlog.get_logger()


class BatchWriter:
    """Writes to subscribers: one by one until it is opened, and if io_uring is not available.

    Attributes:
        io_uring: The ring that it writes through, if any.
    """

    def __init__(self) -> None:
        self.io_uring: IoUring | None = None

    def open(self) -> None:
        """From now on write through io_uring, if it is available."""
        try:
            self.io_uring = IoUring()
        except OSError as error:
            _log.info("writer.fallback", reason=str(error))

    def close(self) -> None:
        """Write one by one again. Idempotent."""
        if self.io_uring is not None:
            self.io_uring.close()
            self.io_uring = None

    def write_batch(self, subscribers: Collection[Subscriber], data: Iterable[bytes]) -> None:
        """Write to each of *subscribers* its part of *data*."""
        if self.io_uring is None or len(subscribers) < MIN_BATCH:
            write_all(subscribers, data)
            return
        left, data = iter(subscribers), iter(data)
        while some := list(islice(left, ENTRIES)):
            self._send(some, list(islice(data, len(some))))

    def _send(self, subscribers: list[Subscriber], data: list[bytes]) -> None:
        if self.io_uring is None:
            write_all(subscribers, data)
            return
        for index, sent in self.io_uring.send(array("i", map(_fd, subscribers)), data):
            subscribers[index].write(data[index][sent:])
        if self.io_uring.broken:
            _log.error("writer.failed", error=self.io_uring.broken)
            self.close()
