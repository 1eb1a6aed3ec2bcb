"""The newest events, in memory: what most streams that come back need, found by routing key.

Holds every event above ``start`` in order, bounded in bytes. Batches are taken apart, and events put under their
keys, only when somebody reads: a node whose clients stay pays nothing for those that might come back. Knows nothing of
disks; a stream that needs older events asks the engine's store.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from heapq import merge
from itertools import chain
from operator import attrgetter

from sse_push.events.event import Event
from sse_push.events.group import EventGroup, EventList

WINDOW_BYTES = 64 * 2**20  # bytes of events kept in memory: minutes of a busy node, small beside its streams
# What an event costs beside its data: the object, its id and frame; each of its keys, in a list of its own.
_EVENT_BYTES = 700
_KEY_BYTES = 200
_EVICT_PARTS = 64  # a full window drops this part of itself at once, so that one list is cut rarely

_seq: Callable[[Event], int] = attrgetter("seq")


def size_of(events: EventGroup) -> int:
    """The bytes of memory that *events* take in the window, about."""
    return 2 * events.data_bytes + _EVENT_BYTES * len(events) + _KEY_BYTES * events.key_count


class Window:
    """Events by number and by routing key.

    Attributes:
        start: Every event of the store with a number above this one is here.
    """

    def __init__(self, start: int, max_bytes: int = WINDOW_BYTES) -> None:
        self.start = start
        self._max_bytes = max_bytes
        self._bytes = 0
        self._events: list[Event] = []
        self._unread: deque[EventGroup] = deque()  # what follows them, as it came
        self._by_key: dict[str, list[Event]] = {}
        self._indexed = 0  # so many of the events are under their keys

    def append(self, events: EventGroup, may_drop_to: int) -> None:
        """Add *events*, the next in order; drop the oldest where it is full.

        Args:
            may_drop_to: The last number that can be found elsewhere: nothing above it is dropped.
        """
        if not events:
            return
        self._unread.append(events)
        self._bytes += size_of(events)
        while self._bytes > self._max_bytes and self._drop_some(may_drop_to):
            pass

    def read(self, keys: Sequence[str], after: int, now: float, max_bytes: int) -> tuple[list[Event], bool]:
        """Events for *keys* numbered above *after*, in order, until they fill *max_bytes*.

        What has outlived its ``ttl`` at *now* is left out.

        Returns:
            The events (at least one, if there is one), and whether they are all there are.
        """
        newest = self._unread[-1] if self._unread else self._events
        if not newest or newest[-1].seq <= after:
            return [], True
        self._index()
        found = [its for key in keys if (its := self._after(key, after))]
        room = max_bytes
        events: list[Event] = []
        for event in found[0] if len(found) == 1 else merge(*found, key=_seq):
            if room <= 0:
                return events, False
            if event.expires is None or event.expires > now:
                events.append(event)
                room -= len(event.frame())
        return events, True

    def lacks(self, numbers: Sequence[int]) -> list[int]:
        """Those of *numbers* that should be here and are not."""
        self._take_apart()
        events = self._events
        found = [(number, bisect_left(events, number, key=_seq)) for number in numbers if number > self.start]
        return [number for number, at in found if at == len(events) or events[at].seq != number]

    def _take_apart(self) -> None:
        while self._unread:
            self._events.extend(self._unread.popleft())

    def _index(self) -> None:
        self._take_apart()
        by_key = self._by_key
        for event in self._events[self._indexed :]:
            for key in event.keys:
                its = by_key.get(key)
                if its is None:
                    by_key[key] = [event]
                else:
                    its.append(event)
        self._indexed = len(self._events)

    def _after(self, key: str, after: int) -> list[Event]:
        its = self._by_key.get(key)
        if its is None or its[-1].seq <= after:
            return []
        return its[bisect_right(its, after, key=_seq) :]

    def _drop_some(self, may_drop_to: int) -> bool:
        if not self._events and self._unread:
            oldest = self._unread.popleft()
            if oldest[-1].seq <= may_drop_to:
                self.start = oldest[-1].seq
                self._bytes -= size_of(oldest)
                return True
            self._events.extend(oldest)
        part = max(1, len(self._events) // _EVICT_PARTS)
        count = bisect_right(self._events, may_drop_to, hi=min(part, len(self._events)), key=_seq)
        if count == 0:
            return False
        dropped = EventList(self._events[:count])
        del self._events[:count]
        self.start = dropped[-1].seq
        for key in set(chain.from_iterable(event.keys for event in dropped[: self._indexed])):
            its = self._by_key[key]
            gone = bisect_right(its, self.start, key=_seq)
            if gone == len(its):
                del self._by_key[key]
            else:
                del its[:gone]
        self._indexed = max(0, self._indexed - count)
        self._bytes -= size_of(dropped)
        return True
