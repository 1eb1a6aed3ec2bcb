"""The newest events, in memory: what most streams that come back need, found by routing key.

Holds every event above ``start`` in order, as it came: in lists and batches. Their numbers are put under their keys only
when somebody reads: a node whose clients stay pays nothing for those that might come back. Knows nothing of disks; a
stream that needs older events asks the engine's store.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from heapq import merge
from operator import attrgetter

from events.batch import EventBatch, add_numbers
from events.event import Event

WINDOW_BYTES = 64 * 2**20  # bytes of events kept in memory: minutes of a busy node, small beside its streams
# What an event costs beside its data: the object, its id and frame; each of its keys, in a list of its own.
_EVENT_BYTES = 700
_KEY_BYTES = 200
_EVICT_PARTS = 64  # a full window drops this part of itself at once, so that one list is cut rarely

_seq: Callable[[Event], int] = attrgetter("seq")
_data: Callable[[Event], bytes] = attrgetter("data")
_keys: Callable[[Event], tuple[str, ...]] = attrgetter("keys")


def size_of(events: Sequence[Event]) -> int:
    """The bytes of memory that *events* take while they are kept here, about."""
    if isinstance(events, EventBatch):
        data, keys = events.data_bytes, len(events) * (1 + len(events.shared))
    else:
        data, keys = sum(map(len, map(_data, events))), sum(map(len, map(_keys, events)))
    return 2 * data + _EVENT_BYTES * len(events) + _KEY_BYTES * keys


class Window:
    """Events by number and by routing key.

    Attributes:
        start: Every event of the store with a number above this one is here.
    """

    def __init__(self, start: int, max_bytes: int = WINDOW_BYTES) -> None:
        self.start = start
        self._max_bytes = max_bytes
        self._bytes = 0
        self._groups: list[Sequence[Event]] = []
        self._lasts: list[int] = []  # the number of each group's last event
        self._count = 0
        self._by_key: defaultdict[str, list[int]] = defaultdict(list)
        self._indexed = 0  # so many of the groups are under their keys

    def append(self, events: Sequence[Event], may_drop_to: int) -> None:
        """Add *events*, the next in order; drop the oldest where it is full.

        Args:
            may_drop_to: The last number that can be found elsewhere: nothing above it is dropped.
        """
        if events:
            self._groups.append(events)
            self._lasts.append(events[-1].seq)
            self._count += len(events)
            self._bytes += size_of(events)
        while self._bytes > self._max_bytes and self._drop_some(may_drop_to):
            pass

    def read(self, keys: Sequence[str], after: int, now: float, max_bytes: int) -> tuple[list[Event], bool]:
        """Events for *keys* numbered above *after*, in order, until they fill *max_bytes*.

        What has outlived its ``ttl`` at *now* is left out.

        Returns:
            The events (at least one, if there is one), and whether they are all there are.
        """
        if not self._lasts or self._lasts[-1] <= after:
            return [], True
        self._index()
        found = [its for key in keys if (its := self._after(key, after))]
        room = max_bytes
        events: list[Event] = []
        for seq in found[0] if len(found) == 1 else merge(*found):
            if room <= 0:
                return events, False
            event = self._find(seq)
            if event is not None and (event.expires is None or event.expires > now):
                events.append(event)
                room -= len(event.frame())
        return events, True

    def lacks(self, numbers: Sequence[int]) -> list[int]:
        """Those of *numbers* that should be here and are not."""
        return [number for number in numbers if number > self.start and self._find(number) is None]

    def _find(self, seq: int) -> Event | None:
        at = bisect_left(self._lasts, seq)
        if at == len(self._lasts):
            return None
        group = self._groups[at]
        if isinstance(group, EventBatch):  # once: others who come back want its neighbours
            group = self._groups[at] = [*group]
        index = seq - group[0].seq
        if not (0 <= index < len(group) and group[index].seq == seq):  # numbers may be missing between
            index = bisect_left(group, seq, key=_seq)
        return group[index] if group[index].seq == seq else None

    def _index(self) -> None:
        for group in self._groups[self._indexed :]:
            add_numbers(self._by_key, group)
        self._indexed = len(self._groups)

    def _after(self, key: str, after: int) -> list[int]:
        its = self._by_key.get(key)
        if its is None or its[-1] <= after:
            return []
        return its[bisect_right(its, after) :]

    def _drop_some(self, may_drop_to: int) -> bool:
        groups, left, whole = self._groups, max(1, self._count // _EVICT_PARTS), 0
        while left > 0 and whole < len(groups) and self._lasts[whole] <= may_drop_to:
            group = groups[whole]
            if len(group) > left and not isinstance(group, EventBatch):
                break
            left, whole = left - len(group), whole + 1
        gone = groups[:whole]
        if left > 0 and whole < len(groups):  # of the next one a part
            part = groups[whole][: min(left, bisect_right(groups[whole], may_drop_to, key=_seq))]
            if part:
                gone.append(part)
                groups[whole] = groups[whole][len(part) :]
        if not gone:
            return False
        del groups[:whole], self._lasts[:whole]
        self.start = gone[-1][-1].seq
        self._count -= sum(map(len, gone))
        self._bytes -= sum(map(size_of, gone))
        self._forget(gone[: self._indexed])
        self._indexed = max(0, self._indexed - whole)
        return True

    def _forget(self, groups: Sequence[Sequence[Event]]) -> None:
        gone: defaultdict[str, list[int]] = defaultdict(list)
        for group in groups:
            add_numbers(gone, group)
        for key, numbers in gone.items():
            its = self._by_key[key]
            del its[: len(numbers)]
            if not its:
                del self._by_key[key]
