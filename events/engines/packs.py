"""Packs: how events stand in a row of the store, many to a row. Pure; knows no database."""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import singledispatch
from itertools import count
from operator import attrgetter
from zlib import crc32

import msgspec

from sse_push.events.event import Event
from sse_push.events.group import EventColumns, EventGroup, EventList
from sse_push.events.ids import format_id

PACK_EVENTS = 32  # events in a row: a replay reads whole rows, so they stay small
PACK_BYTES = 32 * 2**10  # bytes in a row, for the same reason


class _Columns(msgspec.Struct, gc=False):
    """The header of a pack of columns: what all events have in common, and the user of each."""

    at: float
    topic: str
    shared: tuple[str, ...]
    users: list[str]


_heads = msgspec.json.Encoder()
_read_heads = msgspec.json.Decoder(
    list[tuple[float, float | None, str, str | None, tuple[str, ...]]] | _Columns
)
_head: Callable[[Event], tuple[object, ...]] = attrgetter("at", "expires", "topic", "name", "keys")
_data: Callable[[Event], bytes] = attrgetter("data")


def pack(events: Sequence[Event]) -> bytes:
    """*events* as one row: a line with all their heads as JSON, then a line of JSON for the data of each."""
    return b"\n".join([_heads.encode([*map(_head, events)]), *map(_data, events)])


_place = struct.Struct("<qqd").pack


def checksum_of(first: int, last: int, at: float, body: bytes) -> int:
    """What is kept beside a row, to see later whether it is as it was."""
    return crc32(body, crc32(_place(first, last, at)))


def unpack_row(epoch: str, first: int, last: int, at: float, body: bytes, checksum: int | None) -> EventGroup:
    """The events of a row, if it is as it was; without a checksum it is what an earlier version wrote.

    Raises:
        ValueError: It is damaged.
    """
    try:
        if checksum is not None and checksum != checksum_of(first, last, at, body):
            raise ValueError("a pack that is not as it was written")
        events = unpack(epoch, first, body)
    except ValueError:
        raise
    except Exception as error:  # values of other types, JSON nested too deep
        raise ValueError(f"{type(error).__name__} in a pack") from error
    if len(events) != last - first + 1:
        raise ValueError("a pack of as many events as its numbers")
    return events


def unpack(epoch: str, first: int, body: bytes) -> EventGroup:
    """The events of a row, numbered from *first*.

    Raises:
        ValueError: It is no row.
    """
    heads, *lines = body.split(b"\n")
    head = _read_heads.decode(heads)
    if isinstance(head, _Columns):
        if len(head.users) != len(lines):
            raise ValueError("a pack of as many lines as events")
        columns = EventColumns(head.topic, head.shared, head.users, lines, head.at)
        columns.assign_ids(epoch, first)
        return columns
    events = EventList()
    for seq, (at, expires, topic, name, keys), data in zip(count(first), head, lines):
        event = Event(topic, keys, data, name=name, at=at, expires=expires)
        event.seq, event.id = seq, format_id(epoch, seq)
        events.append(event)
    return events


@singledispatch
def packs_of(events: EventGroup, now: float) -> Iterator[tuple[int, int, float, bytes]]:
    """The rows for a group of events, stored *now*: first and last number, time, body."""
    for start in range(0, len(events), PACK_EVENTS):
        part = events[start : start + PACK_EVENTS]
        for first, last in _parts([*map(_data, part)]):
            some = part[first:last]
            yield some[0].seq, some[-1].seq, now, pack(some)


@packs_of.register
def _packs_of_columns(columns: EventColumns, now: float) -> Iterator[tuple[int, int, float, bytes]]:
    for start in range(0, len(columns), PACK_EVENTS):
        data = columns.data[start : start + PACK_EVENTS]
        users = columns.users[start : start + PACK_EVENTS]
        seq = columns.first + start
        for first, last in _parts(data):
            head = _Columns(columns.at, columns.topic, columns.shared, users[first:last])
            yield seq + first, seq + last - 1, now, b"\n".join([_heads.encode(head), *data[first:last]])


def _parts(data: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where to begin and end rows of *data*: a row ends as soon as it is full."""
    if sum(map(len, data)) <= PACK_BYTES:  # by far the most
        yield 0, len(data)
        return
    start = size = 0
    for index, its in enumerate(data, 1):
        size += len(its)
        if size >= PACK_BYTES or index == len(data):
            yield start, index
            start, size = index, 0
