"""Where this node stands: what it has heard of the store, what of it is in memory, and whom it tells.

Whatever comes, as it happens or read afterwards, passes here on its way to the streams, in order and once. Knows the
feed and the window; does not know connections, nor how what was missed is found.
"""

from collections.abc import Iterable
from typing import Any, Literal

from sse_push.events.engines.base import EngineListener
from sse_push.events.engines.redis.feed import Feed
from sse_push.events.event import Event
from sse_push.events.group import EventList
from sse_push.events.ids import format_id
from sse_push.events.window import Window

MAX_HELD_BYTES = (
    64 * 2**20
)  # bytes of messages held while a node catches up: seconds of the fastest publishers


class Standing:
    """What *feed* has brought, until now.

    Attributes:
        floor: Events up to this number can no longer be replayed.
        window: The newest events heard.
        listener: Gets events in order, and discontinuities.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._held: list[list[Any]] | None = []  # what came while the node catches up; None once it has
        self._held_bytes = 0
        self.floor = 0
        self.window = Window(0)
        self.listener = EngineListener()

    def hold(self) -> None:
        """Hold back what comes, until :meth:`release`; what was held before is forgotten."""
        self._held, self._held_bytes = [], 0

    def hear(self, messages: list[list[Any]]) -> bool:
        """Hand *messages* on, or hold them; whether there was room."""
        if self._held is None:
            self._hand_on(messages)
            return True
        messages = self._feed.split(messages)
        self._held += messages
        self._held_bytes += sum([len(message[2]) for message in messages])
        return self._held_bytes <= MAX_HELD_BYTES

    def release(self, head: int) -> None:
        """All up to *head* was had by other means: hand on what was held above it, and from now on what comes."""
        self._feed.caught_up(head)
        held, self._held = self._held or [], None
        self._hand_on(held)

    def _hand_on(self, messages: list[list[Any]]) -> None:
        self.deliver(self._feed.hear(messages))
        while (hole := self._feed.hole) is not None:
            self.window = Window(hole.seq)  # what is above it only is all there is
            self.listener.discontinued("unknown", self._feed.id_of(hole.stood), hole.keys)
            self.deliver(self._feed.hear(self._feed.rest))
        self._feed.wake()

    def deliver(self, events: Iterable[Event]) -> None:
        """Tell the streams of *events*, the next in order."""
        group = EventList(events)
        kept = EventList([event for event in group if event.durable])
        if kept:
            self.window.append(kept, kept[-1].seq)
        if group:
            self.listener.stored(group)

    def raise_floor(self, floor: int) -> None:
        self.floor = max(self.floor, floor)

    def break_off(self, reason: Literal["unknown", "behind"], stood: int, goes_on: int) -> None:
        """Streams had everything up to *stood*, and can have the rest only above *goes_on*."""
        self.window = Window(goes_on)
        self.listener.discontinued(reason, format_id(self._feed.epoch, stood))

    def begin_anew(self, epoch: str, head: int, floor: int) -> None:
        """The store is another one, and stands at *head*; *epoch* is what it was before, '' if there was none."""
        stood, self._feed.head = self._feed.head, head
        self.floor, self.window = floor, Window(head)
        if epoch:
            self.listener.discontinued("unknown", format_id(epoch, stood))
