"""Routes stored events to the streams that subscribe to them, with one write for each stream.

``from_event`` subscribes; ``deliver`` hands a group of events out. Events find their subscribers by routing key, so other
streams cost nothing, and all that one subscriber gets of a group is one write (docs/design/0001-one-write-per-turn.md).
Knows routing keys and subscribers; does not know who stores events, nor how a batch of writes reaches the sockets.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import repeat
from operator import attrgetter, call
from typing import Protocol

from sse_push.events import wire
from sse_push.events.event import Event
from sse_push.events.group import EventGroup
from sse_push.events.topics import filter_keys, topic_of_key


class Subscriber(Protocol):
    """What a subscription writes to.

    Attributes:
        fd: The socket that may be written to directly because nothing is buffered; else -1.
    """

    @property
    def fd(self) -> int: ...

    def write(self, data: bytes, /) -> None:
        """Take whole frames in the encoding of the subscriber's group. Never waits, never raises."""


BatchWrite = Callable[[Collection[Subscriber], Iterable[bytes]], None]
_write: Callable[[Subscriber], Callable[[bytes], None]] = attrgetter("write")


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
            user: Also take what is for this user; ``None`` takes only what is for everybody.
            whole: Take all events of the topic, for any audience (:attr:`sse_push.events.topics.Topic.whole`).
            about: Take only events whose data has these field values, ``{"entityType": "order"}``.
        """
        return cls(filter_keys(topic, user, whole=whole, about=about), user)

    def __or__(self, other: "Filter") -> "Filter":
        if {*map(topic_of_key, self.keys)} & {*map(topic_of_key, other.keys)}:
            raise ValueError("two filters of one topic could take one event twice")
        return Filter(self.keys + other.keys, self.user or other.user)


class EncodingGroup:
    """The subscribers that share one encoding: with or without ``event:``, chunked or not. Each event is encoded once."""

    def __init__(self, *, named: bool, chunked: bool, batch_write: BatchWrite) -> None:
        self._batch_write = batch_write
        self._frame_of: Callable[[Event], bytes] = Event.named_frame if named else Event.frame
        self.named = named
        self.chunked = chunked
        #: Frames as they are sent: one HTTP chunk, or unchanged (HTTP/1.0).
        self.wrap: Callable[[bytes], bytes] = wire.chunk if chunked else bytes
        self.heartbeat = self.wrap(wire.HEARTBEAT)
        plain = chunked and not named  # most streams: saves a call for each event
        self.encode_event: Callable[[Event], bytes] = Event.chunk if plain else self._encode_event
        self._subscribers: dict[
            str, Subscriber | set[Subscriber]
        ] = {}  # most keys have one: no set for those

    def _encode_event(self, event: Event) -> bytes:
        return self.wrap(self._frame_of(event))

    def encode(self, events: Sequence[Event] | EventGroup) -> bytes:
        """The frames of *events* as one write."""
        return self.wrap(self.join(events))

    def join(self, events: Sequence[Event] | EventGroup) -> bytes:
        """The frames of *events*, one behind the other."""
        frame_of = self._frame_of
        if len(events) == 1:
            return frame_of(events[0])
        return b"".join([frame_of(event) for event in events])

    def add(self, key: str, subscriber: Subscriber) -> None:
        found = self._subscribers.get(key)
        if found is None:
            self._subscribers[key] = subscriber
        elif isinstance(found, set):
            found.add(subscriber)
        else:
            self._subscribers[key] = {found, subscriber}

    def remove(self, key: str, subscriber: Subscriber) -> None:
        found = self._subscribers.get(key)
        if found is subscriber:
            del self._subscribers[key]
        elif isinstance(found, set):
            found.discard(subscriber)
            if not found:
                del self._subscribers[key]

    def has(self, key: str) -> bool:
        return key in self._subscribers

    def deliver(self, group: EventGroup) -> int:
        """Write *group* to its subscribers; returns the number of deliveries."""
        if not self._subscribers:
            return 0
        keys = group.common_keys
        return self._deliver_each(group) if keys is None else self._deliver_alike(group, keys)

    def _deliver_alike(self, group: EventGroup, keys: Iterable[str]) -> int:
        data = b""
        count = 0
        for key in keys:
            found = self._subscribers.get(key)
            if found is None:
                continue
            data = data or self.encode(group)
            subscribers = found if isinstance(found, set) else (found,)
            count += len(subscribers)
            self._batch_write(subscribers, repeat(data))
        return count * len(group)

    def _deliver_each(self, group: EventGroup) -> int:
        waiting = _gather(group.encode_for(self._subscribers.get, self))
        count = len(waiting)
        data: list[bytes] = []
        last: bytes | list[bytes] = b""
        for encoded in waiting.values():
            if isinstance(encoded, list):
                count += len(encoded) - 1
                # Neighbours often get the same: a broadcast among others' events.
                data.append(data[-1] if encoded == last else b"".join(encoded))
            else:
                data.append(encoded)
            last = encoded
        self._batch_write(waiting, data)
        return count


def _gather(
    pairs: Iterable[tuple[Subscriber | set[Subscriber] | None, bytes]],
) -> dict[Subscriber, bytes | list[bytes]]:
    """What each subscriber gets, in order."""
    waiting: dict[Subscriber, bytes | list[bytes]] = {}
    for found, encoded in pairs:
        if found is None:
            continue
        if not isinstance(found, set) and found not in waiting:
            waiting[found] = encoded  # most get one: no list for those
            continue
        for subscriber in found if isinstance(found, set) else (found,):
            before = waiting.get(subscriber)
            if before is None:
                waiting[subscriber] = encoded
            elif isinstance(before, list):
                before.append(encoded)
            else:
                waiting[subscriber] = [before, encoded]
    return waiting


def write_all(subscribers: Iterable[Subscriber], data: Iterable[bytes]) -> None:
    """Write to each of *subscribers* its part of *data*. ``deque(map())`` keeps the loop in C: faster after system calls."""
    deque(map(call, map(_write, subscribers), data), maxlen=0)


class Subscription:
    """A subscriber's place in an encoding group, until closed."""

    __slots__ = ("_group", "_keys", "_subscriber")

    def __init__(self, group: EncodingGroup, keys: tuple[str, ...], subscriber: Subscriber) -> None:
        self._group = group
        self._keys = keys
        self._subscriber = subscriber
        for key in keys:
            group.add(key, subscriber)

    def close(self) -> None:
        """Take nothing more. Idempotent."""
        for key in self._keys:
            self._group.remove(key, self._subscriber)
        self._keys = ()


class Router:
    """The encoding groups of one node; *batch_write* writes to their subscribers."""

    def __init__(self, batch_write: BatchWrite = write_all) -> None:
        self.encodings = {
            (named, chunked): EncodingGroup(named=named, chunked=chunked, batch_write=batch_write)
            for named in (False, True)
            for chunked in (True, False)
        }
        self._groups = tuple(self.encodings.values())

    def deliver(self, group: EventGroup) -> int:
        """Hand *group*, which is not empty, out in order; returns the number of deliveries."""
        return sum([encoding.deliver(group) for encoding in self._groups])

    def has(self, key: str) -> bool:
        """Whether a subscriber of this node takes *key*."""
        return any(encoding.has(key) for encoding in self._groups)


def from_event(encoding: EncodingGroup, event_filter: Filter, subscriber: Subscriber) -> Subscription:
    """Subscribe *subscriber* to every event that *event_filter* lets through: the twin of RxJS' ``fromEvent``."""
    return Subscription(encoding, event_filter.keys, subscriber)
