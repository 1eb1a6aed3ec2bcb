"""From a kept event to the streams it is for, in as few writes as there are streams.

``from_event`` subscribes a sink by a filter; ``deliver`` hands a batch of events out. An event finds
its sinks by its routing keys, so the others cost nothing, and all that one sink gets from a batch is
one write (docs/design/0001-one-write-per-turn.md). Knows keys and sinks; does not know who
keeps events, nor how a feed writes to many sinks at once.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import repeat
from operator import attrgetter, call
from typing import Protocol, TypeVar

from sse_push.events import wire
from sse_push.events.batch import EventBatch
from sse_push.events.event import Event
from sse_push.events.topics import filter_keys, topic_of_key


class Sink(Protocol):
    """What a subscription feeds.

    Attributes:
        fd: The socket that may be written to past :meth:`write`, for nothing waits there; else -1.
    """

    @property
    def fd(self) -> int: ...

    def write(self, data: bytes, /) -> None:
        """Take whole frames, framed as the lane says. Never waits, never raises."""


Item = TypeVar("Item", Event, bytes)
Feed = Callable[[Collection[Sink], Iterable[bytes]], None]
_write: Callable[[Sink], Callable[[bytes], None]] = attrgetter("write")


class Filter:
    """What one stream takes: of each topic it names, what is for everybody and what is for its user.

    Filters of different topics add up: ``Filter.of("app", user="42") | Filter.of("client", user="42")``.
    """

    __slots__ = ("keys", "user")

    def __init__(self, keys: tuple[str, ...] = (), user: str | None = None) -> None:
        self.keys = keys
        self.user = user

    @classmethod
    def of(
        cls,
        topic: str,
        *,
        user: str | None = None,
        whole: bool = False,
        about: dict[str, str] | None = None,
    ) -> "Filter":
        """Take *topic* (its full name).

        Args:
            user: Take what is for this user too; ``None`` takes only what is for everybody.
            whole: Take all of the topic, whoever it is for (:attr:`sse_push.events.topics.Topic.whole`).
            about: Take only what these fields of the data say, ``{"entityType": "order"}``.
        """
        return cls(filter_keys(topic, user, whole=whole, about=about), user)

    def __or__(self, other: "Filter") -> "Filter":
        if {*map(topic_of_key, self.keys)} & {*map(topic_of_key, other.keys)}:
            raise ValueError("two filters of one topic could take one event twice")
        return Filter(self.keys + other.keys, self.user or other.user)


class Lane:
    """The sinks that want their frames one way: named or plain, chunked or not."""

    def __init__(self, *, named: bool, chunked: bool, feed: Feed) -> None:
        self._feed = feed
        self._frame_of: Callable[[Event], bytes] = Event.named_frame if named else Event.frame
        self.chunked = chunked
        #: *frames* as they go on the wire: one HTTP chunk, or as they are (HTTP/1.0).
        self.wrap: Callable[[bytes], bytes] = wire.chunk if chunked else bytes
        self.heartbeat = self.wrap(wire.HEARTBEAT)
        plain = chunked and not named  # most streams: one call less for each event
        self._encode_one: Callable[[Event], bytes] = Event.chunk if plain else self._wrapped
        self._named = named
        self._sinks: dict[str, Sink | set[Sink]] = {}  # most keys have one sink: no set for those

    def _wrapped(self, event: Event) -> bytes:
        return self.wrap(self._frame_of(event))

    def encode(self, events: Sequence[Event]) -> bytes:
        """The frames of *events* as one write."""
        return self.wrap(self.join(events))

    def join(self, events: Sequence[Event]) -> bytes:
        """The frames of *events*, one behind the other."""
        frame_of = self._frame_of
        if len(events) == 1:
            return frame_of(events[0])
        return b"".join([frame_of(event) for event in events])

    def add(self, key: str, sink: Sink) -> None:
        found = self._sinks.get(key)
        if found is None:
            self._sinks[key] = sink
        elif isinstance(found, set):
            found.add(sink)
        else:
            self._sinks[key] = {found, sink}

    def remove(self, key: str, sink: Sink) -> None:
        found = self._sinks.get(key)
        if found is sink:
            del self._sinks[key]
        elif isinstance(found, set):
            found.discard(sink)
            if not found:
                del self._sinks[key]

    def has(self, key: str) -> bool:
        return key in self._sinks

    def deliver(self, events: Sequence[Event]) -> int:
        """Write *events*, in order, to all whom they are for; the number of deliveries."""
        if not self._sinks:
            return 0
        if type(events) is EventBatch:
            if self.chunked and not any(map(self.has, events.shared)):
                return self._deliver_batch(events)
            events = [*events]
        keys = events[0].keys
        if len(events) == 1 or all(event.keys == keys for event in events):
            return self._deliver_alike(events, keys)
        return self._deliver_mixed(events)

    def _deliver_alike(self, events: Sequence[Event], keys: Iterable[str]) -> int:
        data = b""
        reached = 0
        for key in keys:
            found = self._sinks.get(key)
            if found is None:
                continue
            data = data or self.encode(events)
            sinks = found if isinstance(found, set) else (found,)
            reached += len(sinks)
            self._feed(sinks, repeat(data))
        return reached * len(events)

    def _deliver_mixed(self, events: Sequence[Event]) -> int:
        found = self._sinks.get
        waiting = _gather((found(key), event) for event in events for key in event.keys)
        reached = len(waiting)
        data: list[bytes] = []
        last: Event | list[Event] = []
        for its in waiting.values():
            if isinstance(its, list):
                reached += len(its) - 1
                same = its == last  # neighbours often get the same: a broadcast among others' events
                data.append(data[-1] if same else self.encode(its))
            else:
                data.append(data[-1] if its is last else self._encode_one(its))
            last = its
        self._feed(waiting, data)
        return reached

    def _deliver_batch(self, batch: EventBatch) -> int:
        found = [*map(self._sinks.get, batch.keys)]
        waiting = _gather(zip(found, batch.chunks(found, named=self._named), strict=True))
        reached = len(waiting)
        data: list[bytes] = []
        for its in waiting.values():
            if isinstance(its, list):
                reached += len(its) - 1
                data.append(b"".join(its))
            else:
                data.append(its)
        self._feed(waiting, data)
        return reached


def _gather(found: Iterable[tuple[Sink | set[Sink] | None, Item]]) -> dict[Sink, Item | list[Item]]:
    """What each sink of *found* gets, in order."""
    waiting: dict[Sink, Item | list[Item]] = {}
    for sinks, item in found:
        if sinks is None:
            continue
        if not isinstance(sinks, set) and sinks not in waiting:
            waiting[sinks] = item  # most get one: no list for those
            continue
        for sink in sinks if isinstance(sinks, set) else (sinks,):
            its = waiting.setdefault(sink, item)
            if isinstance(its, list):
                its.append(item)
            elif its is not item:
                waiting[sink] = [its, item]
    return waiting


def write_each(sinks: Iterable[Sink], data: Iterable[bytes]) -> None:
    """Write to each of *sinks* what *data* has for it, in a loop of C's: system calls leave bytecode cold."""
    deque(map(call, map(_write, sinks), data), maxlen=0)


class Subscription:
    """A sink's place in a lane, until closed."""

    __slots__ = ("_keys", "_lane", "_sink")

    def __init__(self, lane: Lane, keys: tuple[str, ...], sink: Sink) -> None:
        self._lane = lane
        self._keys = keys
        self._sink = sink
        for key in keys:
            lane.add(key, sink)

    def close(self) -> None:
        """Take nothing more. Twice is once."""
        for key in self._keys:
            self._lane.remove(key, self._sink)
        self._keys = ()


class Router:
    """The lanes of one node; *feed* writes to their sinks."""

    def __init__(self, feed: Feed = write_each) -> None:
        self.lanes = {
            (named, chunked): Lane(named=named, chunked=chunked, feed=feed)
            for named in (False, True)
            for chunked in (True, False)
        }
        self._all = tuple(self.lanes.values())

    def deliver(self, events: Sequence[Event]) -> int:
        """Hand *events* out, in order; the number of deliveries. *events* must not be empty."""
        return sum([lane.deliver(events) for lane in self._all])

    def has(self, key: str) -> bool:
        """Whether a sink of this node takes *key*."""
        return any(lane.has(key) for lane in self._all)


def from_event(lane: Lane, where: Filter, sink: Sink) -> Subscription:
    """Feed *sink* every event that *where* lets through, from now on: the twin of RxJS' ``fromEvent``."""
    return Subscription(lane, where.keys, sink)
