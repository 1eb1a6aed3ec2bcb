"""One open stream of a user who watches how their friends are. Knows its connection and its place in the router.

While it is looked how all of them are (``initial``), the first time or again, what happens to them is held back, so that
nothing that is told falls between the two and nothing older comes after.
"""

from typing import TYPE_CHECKING

from sse_push.events.event import Event
from sse_push.events.router import Filter, Subscriber, Subscription, from_event
from sse_push.events.topics import Topic, event_keys
from sse_push.service.connection import Connection

if TYPE_CHECKING:
    from sse_push.service.presence.presence import Presence

MAX_HELD_BYTES = 65_536  # bytes held back; past it they are let go, and it is looked anew how all friends are


class Watch:
    """A stream of *user*'s, from when it is asked for until it is closed.

    Attributes:
        version: That of the user's circle, as it was, or before it was, looked who the friends are.
        fd: As a sink: it has no socket.
    """

    fd = -1

    __slots__ = ("_connection", "_held", "_overflowed", "_presence", "_subscription", "_where", "user", "version")  # fmt: skip

    def __init__(self, presence: "Presence", topic: Topic, user: int, version: int) -> None:
        self._presence = presence
        self._where = Filter(event_keys(topic, topic.name, [user]))  # nothing is for everybody
        self._connection: Connection | None = None
        self._subscription: Subscription | None = None
        self._held: list[bytes] | None = []
        self._overflowed = False  # what was held back was let go: what is told next is older than that
        self.user = user
        self.version = version

    @property
    def keys(self) -> tuple[str, ...]:
        return self._where.keys

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def greeting(self) -> Event:
        """What it begins with."""
        return self._presence.connected(self.user)

    def opened(self, connection: Connection) -> None:
        """It is live."""
        self._connection = connection
        self._subscription = from_event(connection.encoding, self._where, self)
        self._presence.set_online(self.user, self)

    def closed(self) -> None:
        """Its connection is gone. Twice is once, and one that was never opened is none."""
        connection, self._connection = self._connection, None
        if connection is not None and self._subscription is not None:
            self._subscription.close()
            self._presence.set_offline(self.user, self)

    def write(self, data: bytes) -> None:
        """Something happened that must wait."""
        if self._held is not None and not self._presence.is_telling:
            self._held.append(data)
            if sum(map(len, self._held)) > MAX_HELD_BYTES:
                self._held.clear()
                self._overflowed = True

    def begin(self) -> None:
        """From now on it is looked how the friends are: what is held so far is older, what comes is newer."""
        if self._held is None and self._connection is not None:
            self._feed(self)
        self._held = []
        self._overflowed = False

    def tell(self, initial: Event) -> None:
        """How the friends are, then what was held back; from now on things as they happen, unless some of it was let go."""
        connection, held = self._connection, self._held
        if connection is None or held is None:
            return
        if self._overflowed:
            self._presence.look_again(self)
        else:
            self._held = None
            self._feed(connection)
        connection.write(connection.encoding.encode([initial]) + b"".join(held))

    def _feed(self, sink: Subscriber) -> None:
        """What happens goes to *sink* from now on."""
        if self._connection is not None and self._subscription is not None:
            self._subscription.close()
            self._subscription = from_event(self._connection.encoding, self._where, sink)
