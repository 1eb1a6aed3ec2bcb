"""One open presence stream as a subscriber of its user's events.

It gets ``initial``, the status of all friends, when it opens and whenever something may have been missed. While that snapshot is
taken, events are buffered, and written after it: none is lost, and none older than the snapshot follows it. Knows its
connection and the router; does not know who takes snapshots.
"""

from collections.abc import Callable

from sse_push.events.event import Event
from sse_push.events.router import Filter, Subscriber, Subscription, from_event
from sse_push.events.topics import event_keys
from sse_push.service.connection import Connection
from sse_push.service.presence.payloads import TOPIC

MAX_BUFFER_BYTES = (
    65_536  # bytes buffered during a snapshot; past it they are dropped, and another snapshot is taken
)


class PresenceSubscription:
    """A presence stream of *user*, from the request for it until it is closed.

    Args:
        version: Of the user's friend list, when the stream was asked for.
        is_announcing: True while this node publishes a change that it read before the snapshot: not to be buffered.

    Attributes:
        fd: For the router: a subscription has no socket of its own.
    """

    fd = -1

    __slots__ = ("_buffer", "_connection", "_filter", "_is_announcing", "_is_live", "_overflowed", "_subscription", "_version", "user")  # fmt: skip

    def __init__(self, user: int, version: int, is_announcing: Callable[[], bool]) -> None:
        self._filter = Filter(event_keys(TOPIC, TOPIC.name, [user]))  # nothing is for everybody
        self._version = version
        self._is_announcing = is_announcing
        self._connection: Connection | None = None
        self._subscription: Subscription | None = None
        self._is_live = False  # events go straight to the connection
        self._buffer: list[bytes] | None = None  # while a snapshot is taken
        self._overflowed = False
        self.user = user

    @property
    def keys(self) -> tuple[str, ...]:
        """The routing keys of the user's presence events."""
        return self._filter.keys

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def open(self, connection: Connection) -> None:
        """The stream is live. Events are dropped until the first snapshot begins: it includes them."""
        self._connection = connection
        self._subscription = from_event(connection.encoding, self._filter, self)

    def close(self) -> bool:
        """End the subscription; true if it was open."""
        connection, self._connection = self._connection, None
        if connection is None or self._subscription is None:
            return False
        self._subscription.close()
        return True

    def update_version(self, version: int) -> bool:
        """Note the present version of the friend list; true if it has changed."""
        changed = version != self._version
        self._version = version
        return changed

    def begin_snapshot(self) -> None:
        """Start buffering: events after this point are newer than the snapshot."""
        if self._is_live:
            self._route_to(self)
        self._is_live = False
        self._buffer = []
        self._overflowed = False

    def write(self, data: bytes) -> None:
        """Buffer an event that comes during a snapshot (as a router's subscriber)."""
        if self._buffer is None or self._is_announcing():
            return
        self._buffer.append(data)
        if sum(map(len, self._buffer)) > MAX_BUFFER_BYTES:
            self._buffer.clear()
            self._overflowed = True

    def send_initial(self, initial: Event) -> bool:
        """Write the snapshot, then what was buffered; from now on events are written as they happen.

        Returns:
            False if the buffer overflowed. The snapshot is incomplete, and another one must follow.
        """
        connection, buffered = self._connection, self._buffer
        if connection is None or buffered is None:
            return True
        self._buffer = None
        if not self._overflowed:
            self._is_live = True
            self._route_to(connection)
        connection.write(connection.encoding.encode([initial]) + b"".join(buffered))
        return self._is_live

    def _route_to(self, subscriber: Subscriber) -> None:
        if self._connection is not None and self._subscription is not None:
            self._subscription.close()
            self._subscription = from_event(self._connection.encoding, self._filter, subscriber)
