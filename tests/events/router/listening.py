"""Events as an engine numbers them, and sinks that listen for them."""

from collections.abc import Iterable
from typing import Any

from sse_push.events.event import Event
from sse_push.events.group import EventList
from sse_push.events.router import EncodingGroup, Filter, Router, from_event
from tests.events.fakes import Recorder, number

EPOCH = "aaaaaaaa"


def numbered(events: Iterable[Event]) -> EventList:
    return EventList([number(event, EPOCH, seq) for seq, event in enumerate(events, 1)])


def encoding_of(router: Router, *, named: bool = False, chunked: bool = False) -> EncodingGroup:
    return router.encodings[named, chunked]


def stream_of(encoding: EncodingGroup, user: str | None = None, topic: str = "app", **more: Any) -> Recorder:
    sink = Recorder()
    from_event(encoding, Filter.of(topic, user=user, **more), sink)
    return sink


def frames(events: Iterable[Event]) -> bytes:
    return b"".join(event.frame() for event in events)
