"""Groups: events that travel together, in order. The engine stores a group all or none, the router delivers it.

A group is a list of events (``EventList``), or the columns of alike events (``EventColumns``): making a hundred of every
object is most of what a list of a hundred events costs (docs/design/0012-batches-as-columns.md). Callers use the one
protocol of both. Knows no router, no store and no publisher.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import Protocol, TypeVar, overload

from sse_push.events.event import Event
from sse_push.events.ids import format_id
from sse_push.events.topics import keys_of_users

KEY_BYTES = 100  # of a routing key in a queue or an index, about
_id: Callable[[Event], str] = attrgetter("id")
_data: Callable[[Event], bytes] = attrgetter("data")
_keys: Callable[[Event], tuple[str, ...]] = attrgetter("keys")
_idempotency_key: Callable[[Event], str | None] = attrgetter("key")

Found = TypeVar("Found")
Find = Callable[[str], Found | None]  # what subscribes to a routing key, or None


class Encoding(Protocol):
    """How a stream gets its events."""

    @property
    def named(self) -> bool:
        """Frames have ``event:`` with the topic (:meth:`Event.named_frame`)."""

    @property
    def chunked(self) -> bool:
        """Frames are wrapped in HTTP chunks."""

    def encode_event(self, event: Event, /) -> bytes:
        """*event* as a subscriber gets it."""


class EventGroup(Protocol):
    """Events that travel together; a sequence of :class:`Event`."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Event]: ...
    @overload
    def __getitem__(self, index: int, /) -> Event: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Event]: ...

    @property
    def data_bytes(self) -> int:
        """The length of all data."""

    @property
    def key_count(self) -> int:
        """The number of all routing keys."""

    @property
    def durable_count(self) -> int:
        """How many events are of topics that are kept."""

    @property
    def has_idempotency_keys(self) -> bool: ...

    @property
    def common_keys(self) -> tuple[str, ...] | None:
        """The routing keys of every event, if all have the same."""

    def assign_ids(self, epoch: str, first: int) -> None:
        """The events are numbered from *first* in the store *epoch*."""

    def ids(self) -> list[str]:
        """The ids of stored events."""

    def add_to_index(self, index: defaultdict[str, list[int]]) -> None:
        """Add the number of each event under each of its routing keys."""

    def encode_for(self, find: Find[Found], encoding: Encoding) -> list[tuple[Found | None, bytes]]:
        """What *find* gives for the routing keys of each event, with the encoded event; in order.

        An event is encoded only if something is found for it.
        """

    def concat(self, others: "Sequence[EventGroup]") -> "EventGroup":
        """One group of the events of this one and *others*."""


class EventList(list[Event]):
    """A group of any events."""

    __slots__ = ()

    @property
    def data_bytes(self) -> int:
        return sum(map(len, map(_data, self)))

    @property
    def key_count(self) -> int:
        return sum(map(len, map(_keys, self)))

    @property
    def durable_count(self) -> int:
        return sum([event.durable for event in self])

    @property
    def has_idempotency_keys(self) -> bool:
        return not {*map(_idempotency_key, self)} <= {None}

    @property
    def common_keys(self) -> tuple[str, ...] | None:
        keys = self[0].keys
        return keys if len(self) == 1 or all(event.keys == keys for event in self) else None

    def assign_ids(self, epoch: str, first: int) -> None:
        prefix = format_id(epoch, 0)[:-1]
        for seq, event in enumerate(self, first):
            event.seq, event.id = seq, f"{prefix}{seq}"

    def ids(self) -> list[str]:
        return [*map(_id, self)]

    def add_to_index(self, index: defaultdict[str, list[int]]) -> None:
        for event in self:
            for key in event.keys:
                index[key].append(event.seq)

    def encode_for(self, find: Find[Found], encoding: Encoding) -> list[tuple[Found | None, bytes]]:
        pairs: list[tuple[Found | None, bytes]] = []
        for event in self:
            encoded = b""
            for key in event.keys:
                found = find(key)
                if found is not None:
                    encoded = encoded or encoding.encode_event(event)
                    pairs.append((found, encoded))
        return pairs

    def concat(self, others: "Sequence[EventGroup]") -> "EventGroup":
        return EventList(chain(self, *others)) if others else self


class EventColumns(Sequence[Event]):
    """Events of one topic that is kept, each for one user, with nothing but data. Makes :class:`Event` objects on demand.

    Args:
        topic: The full name.
        shared: The routing keys that every event has besides its user's.
        users: One for each event.
        data: One for each event, as JSON on one line. None is a JSON string, which has another frame.
        at: When they were accepted, in seconds since the Unix epoch.

    Attributes:
        keys: The routing key of each event's user.
        first: The first event's number, the others follow; 0 until they are stored.
    """

    __slots__ = ("_data_bytes", "_epoch", "at", "data", "first", "keys", "shared", "topic", "users")

    has_idempotency_keys = False
    common_keys = None

    def __init__(
        self, topic: str, shared: tuple[str, ...], users: list[str], data: list[bytes], at: float
    ) -> None:
        self.topic = topic
        self.shared = shared
        self.users = users
        self.keys = keys_of_users(topic, users)
        self.data = data
        self.at = at
        self.first = 0
        self._data_bytes = sum(map(len, data))
        self._epoch = ""

    @property
    def data_bytes(self) -> int:
        return self._data_bytes

    @property
    def key_count(self) -> int:
        return len(self.keys) * (1 + len(self.shared))

    @property
    def durable_count(self) -> int:
        return len(self.keys)

    def assign_ids(self, epoch: str, first: int) -> None:
        self._epoch, self.first = epoch, first

    def ids(self) -> list[str]:
        prefix = format_id(self._epoch, 0)[:-1]
        return [f"{prefix}{seq}" for seq in self.seqs]

    @property
    def seqs(self) -> range:
        return range(self.first, self.first + len(self.keys))

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [self._event(at) for at in range(*index.indices(len(self)))]
        return self._event(range(len(self))[index])

    def __iter__(self) -> Iterator[Event]:
        return map(self._event, range(len(self)))

    def _event(self, index: int) -> Event:
        event = Event(self.topic, (self.keys[index], *self.shared), self.data[index], at=self.at)
        if self.first:
            event.seq = self.first + index
            event.id = format_id(self._epoch, event.seq)
        return event

    def add_to_index(self, index: defaultdict[str, list[int]]) -> None:
        deque(map(list.append, map(index.__getitem__, self.keys), self.seqs), maxlen=0)  # a loop in C
        for key in self.shared:
            index[key] += self.seqs

    def encode_for(self, find: Find[Found], encoding: Encoding) -> list[tuple[Found | None, bytes]]:
        if not encoding.chunked or any(find(key) is not None for key in self.shared):
            return EventList(self).encode_for(find, encoding)
        found = [*map(find, self.keys)]
        return [*zip(found, self.chunks(found, named=encoding.named), strict=True)]

    def chunks(self, wanted: Sequence[object | None], *, named: bool) -> list[bytes]:
        """The HTTP chunk of each event for which *wanted* is not ``None``; for others nothing.

        Args:
            named: Framed as :meth:`Event.named_frame`, else as :meth:`Event.frame`.
        """
        label = f"\nevent: {self.topic}" if named else ""
        head, middle = f"\r\nid: {self._epoch}-".encode(), f"{label}\ndata: ".encode()
        chunk = b"%%x%b%%d%b%%b\n\n\r\n" % (head, middle.replace(b"%", b"%%"))
        # The size of a chunk without number and data: everything but the line ends around the frame.
        rest = len(head) + len(middle)
        seqs = self.seqs
        digits = len(str(seqs[0]))
        rests: Iterator[int] = repeat(rest + digits)
        if len(str(seqs[-1])) != digits:
            rests = map(rest.__add__, map(len, map(str, seqs)))
        return [
            b"" if one is None else chunk % (rest + len(data), seq, data)
            for one, rest, seq, data in zip(wanted, rests, seqs, self.data, strict=False)
        ]

    def concat(self, others: "Sequence[EventGroup]") -> "EventGroup":
        if not others:
            return self
        columns = [other for other in others if isinstance(other, EventColumns) and other.topic == self.topic]
        if len(columns) < len(others):
            return EventList(chain(self, *others))
        whole = EventColumns(self.topic, self.shared, self.users[:], self.data[:], self.at)
        for other in columns:
            whole.users += other.users
            whole.keys += other.keys
            whole.data += other.data
            whole._data_bytes += other.data_bytes
        return whole


def concat(groups: Sequence[EventGroup]) -> EventGroup:
    """One group of the events of *groups*, at least one."""
    return groups[0].concat(groups[1:])


def weight_of(group: EventGroup) -> int:
    """The bytes of data and routing keys, about: what it costs to queue and to store *group*."""
    return group.data_bytes + KEY_BYTES * group.key_count
