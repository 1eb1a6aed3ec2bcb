"""Frames and chunks, read back by readers that share no code with their writer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.events import wire
from tests.events.reference import Message, decode_chunks, parse_stream

# What a publisher who wants to forge would try, beside every other text.
_HOSTILE = st.sampled_from(
    [
        "\r", "\n", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\x00", ":", " ", "data: ", "data:", "id: 7\n",
        "event: sse.gap\n", "retry: 0\r", ": hb", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\ufeff",
        "0\r\n\r\n", "é", "\U0001f600",
    ]
)  # fmt: skip
texts = st.lists(st.one_of(_HOSTILE, st.text(max_size=5)), max_size=8).map("".join)
field_texts = texts.filter(wire.is_field_safe).filter(bool)


def normalised(text: str) -> str:
    """*text* with the line ends that every reader of an event stream gives back."""
    return re.sub(r"\r\n|\r", "\n", text)


@given(texts)
def test_data_lines_give_the_reader_exactly_the_text(text: str) -> None:
    stream = parse_stream(wire.frame(wire.data_lines(text)))
    assert stream.messages == [Message(normalised(text))]
    assert (stream.last_event_id, stream.retry, stream.comments, stream.unknown) == ("", None, [], [])


@given(texts)
def test_data_lines_are_all_data_fields_with_one_space(text: str) -> None:
    lines = wire.data_lines(text).decode().split("\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") and "\r" not in line for line in lines)
    assert len(lines) == normalised(text).count("\n") + 1


@given(
    st.lists(st.tuples(texts, st.none() | field_texts, st.none() | field_texts), min_size=1, max_size=5),
    st.data(),
)
def test_frames_forge_nothing_however_they_are_joined_and_chunked(
    said: list[tuple[str, str | None, str | None]], data: st.DataObject
) -> None:
    frames = [wire.frame(wire.data_lines(text), id=id_, event=name) for text, id_, name in said]
    sent = b""
    for frame in frames:
        sent += wire.chunk(wire.HEARTBEAT + frame if data.draw(st.booleans()) else frame)
    chunks, ended = decode_chunks(sent + wire.LAST_CHUNK)
    assert ended
    assert len(chunks) == len(frames)

    expected, last_id = [], ""
    for text, id_, name in said:
        last_id = last_id if id_ is None else id_
        expected.append(Message(normalised(text), name or "message", last_id))
    stream = parse_stream(b"".join(chunks))
    assert stream.messages == expected
    assert stream.unknown == []
    assert set(stream.comments) <= {" hb"}


@given(st.lists(texts, min_size=1, max_size=5))
def test_frame_read_alone_is_whole(said: list[str]) -> None:
    """Clients in the field read each chunk alone; a frame must not lean on the one before it."""
    for text in said:
        (body,), _ = decode_chunks(wire.chunk(wire.frame(wire.data_lines(text), id="k-1")))
        assert body.endswith(b"\n\n")
        assert parse_stream(body).messages == [Message(normalised(text), last_event_id="k-1")]


def test_frame_writes_its_fields_as_the_contract_says() -> None:
    written = wire.frame(wire.data_lines("a\r\nb\rc\n"), id="k-7", event="tick", retry=1500)
    assert written == b"retry: 1500\nid: k-7\nevent: tick\ndata: a\ndata: b\ndata: c\ndata: \n\n"


def test_frame_without_event_goes_to_onmessage() -> None:
    assert wire.frame(wire.data_lines("x")) == b"data: x\n\n"


def test_frame_of_retry_alone_dispatches_nothing() -> None:
    stream = parse_stream(wire.frame(retry=2000))
    assert (stream.retry, stream.messages) == (2000, [])


def test_frame_of_an_id_alone_moves_the_reader_and_dispatches_nothing() -> None:
    stream = parse_stream(wire.frame(id="k-9"))
    assert (stream.last_event_id, stream.messages) == ("k-9", [])


def test_empty_text_is_still_dispatched() -> None:
    assert parse_stream(wire.frame(wire.data_lines(""))).messages == [Message("")]


def test_heartbeat_is_a_comment_and_nothing_else() -> None:
    stream = parse_stream(wire.HEARTBEAT)
    assert (stream.comments, stream.messages, stream.unknown) == ([" hb"], [], [])
    assert wire.HEARTBEAT.endswith(b"\n\n")


def test_heartbeat_between_frames_keeps_the_last_event_id() -> None:
    stream = parse_stream(wire.frame(wire.data_lines("a"), id="k-1") + wire.HEARTBEAT)
    assert stream.last_event_id == "k-1"


@given(st.lists(st.binary(min_size=1, max_size=5000), max_size=6))
def test_chunks_decode_to_their_bodies_one_for_one(bodies: list[bytes]) -> None:
    sent = b"".join(map(wire.chunk, bodies)) + wire.LAST_CHUNK
    assert decode_chunks(sent) == (bodies, True)


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, 65535, 65536, 1_000_001])
def test_chunk_size_is_hexadecimal(size: int) -> None:
    assert decode_chunks(wire.chunk(b"x" * size)) == ([b"x" * size], False)


@pytest.mark.parametrize("text", ["\r", "\n", "\r\n", "\x00", "a\nb", "a\x00", "\rb", "id: 1\ndata: x"])
def test_field_safe_refuses_what_ends_a_line_or_voids_an_id(text: str) -> None:
    assert not wire.is_field_safe(text)


@pytest.mark.parametrize(
    "text", ["", "a", " a ", "a:b", ": x", "\u2028", "\u2029", "\x85", "\x0b", "\x1c", "é"]
)
def test_field_safe_allows_what_no_reader_takes_for_a_line_end(text: str) -> None:
    assert wire.is_field_safe(text)


@given(field_texts)
def test_field_safe_text_comes_back_as_it_is(text: str) -> None:
    stream = parse_stream(wire.frame(wire.data_lines("x"), id=text, event=text))
    assert stream.messages == [Message("x", text, text)]
