"""Writes to many streams at once: with one system call for many of them where the system has one, else one by one.

What the kernel does not take of a write goes to the stream's own ``write``, so that a full socket or a broken one is
its transport's matter as ever. Knows subscribers; does not know what is written.
"""

from array import array
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from operator import attrgetter

import structlog

from sse_push.events.router import Subscriber, write_all
from sse_push.service.ring import ENTRIES, Ring

FEW = 8  # writes: a call for so many costs what they do one by one

_fd: Callable[[Subscriber], int] = attrgetter("fd")

_log = structlog.get_logger()


class Writer:
    """Writes to subscribers. One by one until it is opened, and where no ring is to be had.

    Attributes:
        ring: What it writes through, if anything.
    """

    def __init__(self) -> None:
        self.ring: Ring | None = None

    def open(self) -> None:
        """From now on write through a ring, if there is one."""
        try:
            self.ring = Ring()
        except OSError as error:
            _log.info("writer.plain", reason=str(error))

    def close(self) -> None:
        """Write one by one again. Twice is once."""
        if self.ring is not None:
            self.ring.close()
            self.ring = None

    def write_batch(self, subscribers: Collection[Subscriber], data: Iterable[bytes]) -> None:
        """Write to each of *subscribers* its part of *data*."""
        if self.ring is None or len(subscribers) < FEW:
            write_all(subscribers, data)
            return
        left, data = iter(subscribers), iter(data)
        while some := list(islice(left, ENTRIES)):
            self._send(some, list(islice(data, len(some))))

    def _send(self, subscribers: list[Subscriber], data: list[bytes]) -> None:
        if self.ring is None:
            write_all(subscribers, data)
            return
        for index, sent in self.ring.send(array("i", map(_fd, subscribers)), data):
            subscribers[index].write(data[index][sent:])
        if self.ring.broken:
            _log.error("writer.failed", error=self.ring.broken)
            self.close()
