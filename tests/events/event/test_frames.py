"""An event's frames: plain, named and chunked, each made once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sse_push.events import wire
from sse_push.events.event import Event, PushEvent
from tests.events.event.taking import accepted, json_values
from tests.events.reference import parse_stream


def test_frame_has_no_event_line_unless_the_publisher_named_one() -> None:
    assert accepted(PushEvent(data="x", broadcast=True)).frame() == b"id: aaaaaaaa-1\ndata: x\n\n"
    named = accepted(PushEvent(data="x", broadcast=True, event="tick"))
    assert named.frame() == b"id: aaaaaaaa-1\nevent: tick\ndata: x\n\n"


def test_named_frame_is_named_by_the_topic_and_the_name() -> None:
    assert (
        accepted(PushEvent(data="x", broadcast=True)).named_frame()
        == b"id: aaaaaaaa-1\nevent: app\ndata: x\n\n"
    )
    named = accepted(PushEvent(data="x", room="general", event="tick"))
    assert named.named_frame() == b"id: aaaaaaaa-1\nevent: chat:general/tick\ndata: x\n\n"


def test_frame_of_an_event_that_is_not_kept_has_no_id() -> None:
    event = Event("custom", ("custom\x1f*",), b'{"a":1}')
    assert event.frame() == b'data: {"a":1}\n\n'
    assert event.named_frame() == b'event: custom\ndata: {"a":1}\n\n'


@given(json_values, st.none() | st.text(min_size=1, max_size=20))
def test_both_frames_carry_the_same_data_and_id(value: Any, name: str | None) -> None:
    try:
        event = accepted(PushEvent(data=value, broadcast=True, event=name))
    except ValidationError:
        return  # a name that could forge a line
    (plain,) = parse_stream(event.frame()).messages
    (named,) = parse_stream(event.named_frame()).messages
    assert (plain.data, plain.last_event_id) == (named.data, named.last_event_id)
    assert plain.type == (name or "message")
    assert named.type == ("app" if name is None else f"app/{name}")


def test_frame_is_made_once() -> None:
    event = accepted(PushEvent(data={"a": 1}, broadcast=True))
    assert event.frame() is event.frame()
    assert event.named_frame() is event.named_frame()


@pytest.mark.parametrize("event", [None, "update"])
@pytest.mark.parametrize("data", [1, {"a": "b"}, "text\nof two lines", ""])
def test_chunk_is_the_frame_as_one_chunk_whichever_is_asked_for_first(data: Any, event: str | None) -> None:
    chunk_first, frame_first = (accepted(PushEvent(data=data, event=event, broadcast=True)) for _ in range(2))
    chunk_first.id = frame_first.id = "k7-12"
    chunk = chunk_first.chunk()
    assert chunk == wire.chunk(frame_first.frame()) == frame_first.chunk() == chunk_first.chunk()
    assert chunk_first.frame() == frame_first.frame()
