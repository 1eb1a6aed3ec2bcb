"""Packs: how events stand in a row of the store, many to a row. Pure; knows no database."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from operator import attrgetter

import msgspec

from events.event import Event
from events.ids import format_id

PACK_EVENTS = 32  # events in a row: a replay reads whole rows, so they stay small
PACK_BYTES = 32 * 2**10  # bytes in a row, for the same reason

_heads = msgspec.json.Encoder()
_read_heads = msgspec.json.Decoder(list[tuple[float, float | None, str, str | None, tuple[str, ...]]])
_head: Callable[[Event], tuple[object, ...]] = attrgetter("at", "expires", "topic", "name", "keys")
_data: Callable[[Event], bytes] = attrgetter("data")


def pack(events: Sequence[Event]) -> bytes:
    """*events* as one row: a line with all their heads as JSON, then a line of JSON for the data of each."""
    return b"\n".join([_heads.encode([*map(_head, events)]), *map(_data, events)])


def unpack(epoch: str, first: int, body: bytes) -> list[Event]:
    """The events of a row, numbered from *first*."""
    heads, *lines = body.split(b"\n")
    events = []
    for seq, (at, expires, topic, name, keys), data in zip(count(first), _read_heads.decode(heads), lines):
        event = Event(topic, keys, data, name=name, at=at, expires=expires)
        event.seq, event.id = seq, format_id(epoch, seq)
        events.append(event)
    return events


def packs_of(events: Sequence[Event], now: float) -> Iterator[tuple[int, int, float, bytes]]:
    """The rows for *events*, kept *now*: first and last number, time, body."""
    for start in range(0, len(events), PACK_EVENTS):
        part = events[start : start + PACK_EVENTS]
        for some in [part] if sum(map(len, map(_data, part))) <= PACK_BYTES else _parts(part):
            yield some[0].seq, some[-1].seq, now, pack(some)


def _parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """*events* in parts that end as soon as their data fills a row."""
    start = size = 0
    for index, event in enumerate(events, 1):
        size += len(event.data)
        if size >= PACK_BYTES or index == len(events):
            yield events[start:index]
            start, size = index, 0
