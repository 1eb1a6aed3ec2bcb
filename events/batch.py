"""Alike events as columns: of one topic, kept, each for one user, with nothing but data.

Of what a list of a hundred events costs, most is to make a hundred of everything. A batch has one list of each thing
instead, filled and read by loops of C; to whoever does not know it, it is a sequence of :class:`sse_push.events.event.Event`,
made when they are asked for (docs/design/0012-batches-as-columns.md). Knows no router, no store and no publisher.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import overload

from sse_push.events.event import Event
from sse_push.events.ids import format_id
from sse_push.events.topics import keys_of_users

KEY_BYTES = 100  # of a routing key: its text, its place in an index
_id: Callable[[Event], str] = attrgetter("id")
_data: Callable[[Event], bytes] = attrgetter("data")


class EventBatch(Sequence[Event]):
    """Events of one topic for *users*, one each.

    Args:
        topic: Its full name.
        shared: The routing keys that each of them has beside its user's.
        data: The payload of each, as JSON on one line; none is a JSON text, which a frame writes otherwise.
        at: When they were accepted, in seconds since the Unix epoch.

    Attributes:
        keys: The routing key of each for its user.
        data_bytes: The length of all their data.
        first: The first one's number, the others follow; 0 until they are kept.
    """

    __slots__ = ("_epoch", "at", "data", "data_bytes", "first", "keys", "shared", "topic", "users")

    def __init__(
        self, topic: str, shared: tuple[str, ...], users: list[str], data: list[bytes], at: float
    ) -> None:
        self.topic = topic
        self.shared = shared
        self.users = users
        self.keys = keys_of_users(topic, users)
        self.data = data
        self.data_bytes = sum(map(len, data))
        self.at = at
        self.first = 0
        self._epoch = ""

    def extend(self, batch: "EventBatch") -> None:
        """Add the events of *batch*, which is of the same topic."""
        self.users += batch.users
        self.keys += batch.keys
        self.data += batch.data
        self.data_bytes += batch.data_bytes

    def number(self, epoch: str, first: int) -> None:
        """They are kept, numbered from *first* in the store named *epoch*."""
        self._epoch, self.first = epoch, first

    def ids(self) -> list[str]:
        start = format_id(self._epoch, 0)[:-1]
        return [f"{start}{seq}" for seq in self.seqs]

    @property
    def seqs(self) -> range:
        """Their numbers."""
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

    def chunks(self, wanted: Sequence[object | None], *, named: bool) -> list[bytes]:
        """The frame, as one HTTP chunk, of each event for which *wanted* has something; for others nothing.

        Args:
            named: Framed as :meth:`Event.named_frame`, else as :meth:`Event.frame`.
        """
        label = f"\nevent: {self.topic}" if named else ""
        head, middle = f"\r\nid: {self._epoch}-".encode(), f"{label}\ndata: ".encode()
        chunk = b"%%x%b%%d%b%%b\n\n\r\n" % (head, middle.replace(b"%", b"%%"))
        # What a chunk counts beside number and data: all but the line ends before the frame and behind it.
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


def joined(lists: Sequence[Sequence[Event]]) -> Sequence[Event]:
    """The events of *lists* in order: a batch if they are all batches of one topic, else a list."""
    batches = [its for its in lists if type(its) is EventBatch]
    if len(batches) < len(lists) or len({batch.topic for batch in batches}) > 1:
        return [*chain.from_iterable(lists)]
    whole, *more = batches
    if more:
        whole = EventBatch(whole.topic, whole.shared, whole.users[:], whole.data[:], whole.at)
        for batch in more:
            whole.extend(batch)
    return whole


def ids_of(events: Sequence[Event]) -> list[str]:
    """The ids of *events* that are kept."""
    return events.ids() if type(events) is EventBatch else [*map(_id, events)]


def data_bytes_of(events: Sequence[Event]) -> int:
    """The length of all their data."""
    return events.data_bytes if type(events) is EventBatch else sum(map(len, map(_data, events)))


def weight_of(events: Sequence[Event]) -> int:
    """The bytes of their data and routing keys, about: what it costs to hold them and to keep them."""
    if type(events) is EventBatch:
        return events.data_bytes + KEY_BYTES * len(events) * (1 + len(events.shared))
    return sum([len(event.data) + KEY_BYTES * len(event.keys) for event in events])


def add_numbers(by_key: defaultdict[str, list[int]], events: Sequence[Event]) -> None:
    """Put the number of each of *events* under each of its routing keys."""
    if type(events) is EventBatch:  # in a loop of C's
        deque(map(list.append, map(by_key.__getitem__, events.keys), events.seqs), maxlen=0)
        for key in events.shared:
            by_key[key] += events.seqs
        return
    for event in events:
        for key in event.keys:
            by_key[key].append(event.seq)
