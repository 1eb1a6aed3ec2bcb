"""One open presence stream. Knows its connection and its subscription in the router.

While its initial state is read, the first time or again, events are buffered: nothing is lost between the two, and nothing
older follows.
"""

from typing import TYPE_CHECKING

from sse_push.events.event import Event
from sse_push.events.router import Filter, Subscriber, Subscription, from_event
from sse_push.events.topics import Topic, event_keys
from sse_push.service.connection import Connection

if TYPE_CHECKING:
    from sse_push.service.presence.tracker import PresenceTracker

MAX_BUFFERED_BYTES = 65_536  # bytes buffered; past it they are dropped, and the initial state is sent again


class PresenceSubscription:
    """A stream of *user*, from its request until it is closed.

    Attributes:
        version: The version of the user's friend list when it was last read.
        fd: It has no socket of its own.
    """

    fd = -1

    __slots__ = ("_buffered", "_connection", "_filter", "_overflowed", "_presence", "_subscription", "user", "version")  # fmt: skip

    def __init__(self, presence: "PresenceTracker", topic: Topic, user: int, version: int) -> None:
        self._presence = presence
        self._filter = Filter(event_keys(topic, topic.name, [user]))  # presence has no broadcasts
        self._connection: Connection | None = None
        self._subscription: Subscription | None = None
        self._buffered: list[bytes] | None = []
        self._overflowed = False  # the buffer was dropped: the next initial state is older than that
        self.user = user
        self.version = version

    @property
    def keys(self) -> tuple[str, ...]:
        return self._filter.keys

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def greeting(self) -> Event:
        """The first event."""
        return self._presence.connected(self.user)

    def opened(self, connection: Connection) -> None:
        """The stream is open."""
        self._connection = connection
        self._subscription = from_event(connection.encoding, self._filter, self)
        self._presence.set_online(self.user, self)

    def closed(self) -> None:
        """The connection is closed. Idempotent, also if it was never opened."""
        connection, self._connection = self._connection, None
        if connection is not None and self._subscription is not None:
            self._subscription.close()
            self._presence.set_offline(self.user, self)

    def write(self, data: bytes) -> None:
        """Buffer an event."""
        if self._buffered is not None and not self._presence.is_notifying:
            self._buffered.append(data)
            if sum(map(len, self._buffered)) > MAX_BUFFERED_BYTES:
                self._buffered.clear()
                self._overflowed = True

    def begin(self) -> None:
        """Start buffering: events after this point are newer than the initial state that is read now."""
        if self._buffered is None and self._connection is not None:
            self._route_to(self)
        self._buffered = []
        self._overflowed = False

    def send_initial(self, initial: Event) -> None:
        """Send the initial state, then the buffered events; from now on events as they happen, unless some were dropped."""
        connection, buffered = self._connection, self._buffered
        if connection is None or buffered is None:
            return
        if self._overflowed:
            self._presence.resend_initial(self)
        else:
            self._buffered = None
            self._route_to(connection)
        connection.write(connection.encoding.encode([initial]) + b"".join(buffered))

    def _route_to(self, subscriber: Subscriber) -> None:
        """Events go to *subscriber* from now on."""
        if self._connection is not None and self._subscription is not None:
            self._subscription.close()
            self._subscription = from_event(self._connection.encoding, self._filter, subscriber)
