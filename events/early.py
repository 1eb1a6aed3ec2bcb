"""What is published before the engine has started: held within bounds, and handed on in order at the start.

Business logic may emit while the application is still being put together, and from threads that know nothing of the
loop. Knows events and receipts; does not know an engine.
"""

from threading import Lock

from sse_push.events.errors import EngineUnavailable, Overloaded
from sse_push.events.group import EventGroup
from sse_push.events.receipts import Receipt

MAX_EARLY_EVENTS = 10_000  # events: what a start publishes for itself, not a queue for hours without a store
MAX_EARLY_BYTES = 16 * 1024 * 1024  # bytes of their data, for the same reason

Early = tuple[EventGroup, Receipt | None]


class EarlyEvents:
    """Holds events until they are taken, and refuses them once it is closed. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._closed = False
        self._held: list[Early] = []
        self._events = 0
        self._bytes = 0

    def hold(self, events: EventGroup, receipt: Receipt | None) -> None:
        """Hold *events* until the engine has started.

        Raises:
            Overloaded: Too many are held.
            EngineUnavailable: The engine is closed.
        """
        with self._lock:
            if self._closed:
                raise EngineUnavailable("this node is closed and publishes nothing any more")
            self._events += len(events)
            self._bytes += events.data_bytes
            if self._events > MAX_EARLY_EVENTS or self._bytes > MAX_EARLY_BYTES:
                self._events -= len(events)
                self._bytes -= events.data_bytes
                raise Overloaded("too many events were published before this node has started")
            self._held.append((events, receipt))

    def take(self) -> list[Early]:
        """What was held, in order."""
        with self._lock:
            held, self._held = self._held, []
            self._events = self._bytes = 0
        return held

    def close(self) -> list[Early]:
        """Hold nothing from now on; what was held and not taken."""
        self._closed = True
        return self.take()
