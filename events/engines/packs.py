"""Packs: how events stand in a row of the store, many to a row. Pure; knows no database."""

from collections.abc import Iterator, Sequence

from pydantic_core import from_json, to_json

from events.event import Event
from events.ids import format_id

PACK_EVENTS = 32  # events in a row: a replay reads whole rows, so they stay small
PACK_BYTES = 32 * 2**10  # bytes in a row, for the same reason


def pack(events: Sequence[Event]) -> bytes:
    """*events* as one row: a line each, its head as JSON, a tab, its data as JSON. No line holds either."""
    return b"\n".join(
        [
            b"%b\t%b" % (to_json((event.at, event.expires, event.topic, event.name, event.keys)), event.data)
            for event in events
        ]
    )  # fmt: skip


def unpack(epoch: str, first: int, body: bytes) -> list[Event]:
    """The events of a row, numbered from *first*."""
    events = []
    for seq, line in enumerate(body.split(b"\n"), first):
        head, _, data = line.partition(b"\t")
        at, expires, topic, name, keys = from_json(head)
        event = Event(topic, tuple(keys), data, name=name, at=at, expires=expires)
        event.seq, event.id = seq, format_id(epoch, seq)
        events.append(event)
    return events


def packs_of(events: Sequence[Event], now: float) -> Iterator[tuple[int, int, float, bytes]]:
    """The rows for *events*, kept *now*: first and last number, time, body."""
    start = size = 0
    for index, event in enumerate(events):
        size += len(event.data)
        if index + 1 - start == PACK_EVENTS or size >= PACK_BYTES or index + 1 == len(events):
            yield events[start].seq, event.seq, now, pack(events[start : index + 1])
            start, size = index + 1, 0
