"""One presence stream, from the request for it until it is closed: what its connection calls."""

from collections.abc import Callable, Sequence

from sse_push.events.event import Event
from sse_push.service.connection import Connection
from sse_push.service.presence.status_events import connected
from sse_push.service.presence.subscription import PresenceSubscription
from sse_push.service.presence.tracker import PresenceTracker


class PresenceSession:
    """Reports to *tracker* when the stream of *subscription* opens and closes.

    Implements :class:`sse_push.service.connection.StreamSession`.

    Args:
        clock: Seconds since the Unix epoch.
    """

    __slots__ = ("_clock", "_subscription", "_tracker")

    def __init__(
        self, tracker: PresenceTracker, subscription: PresenceSubscription, clock: Callable[[], float]
    ) -> None:
        self._tracker = tracker
        self._subscription = subscription
        self._clock = clock

    @property
    def keys(self) -> Sequence[str]:
        """The routing keys of the user's presence events."""
        return self._subscription.keys

    def greeting(self) -> Event:
        """The stream's first event."""
        return connected(self._subscription.user, self._clock())

    def opened(self, connection: Connection) -> None:
        """The stream is live."""
        self._subscription.open(connection)
        self._tracker.add(self._subscription)

    def closed(self) -> None:
        """The stream is closed, or was never opened. May be called more than once."""
        if self._subscription.close():
            self._tracker.remove(self._subscription)
