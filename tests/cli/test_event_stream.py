"""The parser, against the standard's own examples, against a second reading of its rules, and cut anywhere."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.cli.event_stream import Message, Parser
from sse_push.events import wire


def read(*pieces: bytes) -> list[Message]:
    parser = Parser()
    return [message for piece in pieces for message in parser.feed(piece)]


def datas(*pieces: bytes) -> list[str]:
    return [message.data for message in read(*pieces)]


# -- the examples of HTML, section 9.2.6 ---------------------------------------------------------------


def test_parser_joins_the_lines_of_data() -> None:
    assert datas(b"data: YHOO\ndata: +2\ndata: 10\n\n") == ["YHOO\n+2\n10"]


def test_parser_reads_the_standards_second_example() -> None:
    parser = Parser()
    messages = parser.feed(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n")  # fmt: skip
    assert [message.data for message in messages] == ["first event", "second event", " third event"]
    assert [message.id for message in messages] == ["1", "", ""]
    assert parser.last_event_id == ""  # the second event's empty id took it back


def test_parser_reads_the_standards_third_example() -> None:
    # The last block has no empty line behind it, so it is no event.
    assert datas(b"data\n\ndata\ndata\n\ndata:") == ["", "\n"]


def test_parser_strips_one_space_and_no_more() -> None:
    assert datas(b"data:test\n\ndata: test\n\ndata:  test\n\n") == ["test", "test", " test"]


# -- fields --------------------------------------------------------------------------------------------


def test_parser_names_an_event_message_unless_it_has_a_name() -> None:
    assert [message.event for message in read(b"event: x\ndata: 1\n\ndata: 2\n\nevent:\ndata: 3\n\n")] == [
        "x",
        "message",
        "message",
    ]


def test_parser_forgets_the_name_of_a_frame_without_data() -> None:
    assert read(b"event: x\n\ndata: 1\n\n") == [Message("", "message", "1")]


def test_parser_keeps_the_id_of_a_frame_without_data() -> None:
    parser = Parser()
    assert parser.feed(b"retry: 10\nid: 7\n\n") == []
    assert (parser.last_event_id, parser.retry_ms) == ("7", 10)


def test_parser_takes_an_id_only_with_the_whole_frame() -> None:
    parser = Parser("6")
    parser.feed(b"id: 7\ndata: cut off\n")
    assert parser.last_event_id == "6"


def test_parser_ignores_an_id_with_nul() -> None:
    parser = Parser("6")
    assert parser.feed(b"id: 7\0\ndata: x\n\n") == [Message("", "message", "x")]
    assert parser.last_event_id == "6"


@pytest.mark.parametrize("value", [b"1.5", b"-1", b"+1", b"", b"1e3", b"1 ", "١".encode(), b"9" * 5000])
def test_parser_ignores_a_retry_that_is_not_digits(value: bytes) -> None:
    parser = Parser()
    parser.feed(b"retry: 20\nretry: " + value + b"\n\n")
    assert parser.retry_ms == 20


@pytest.mark.parametrize("line", [b": data: x", b"Data: x", b" data: x", b"unknown: x", b"datax"])
def test_parser_ignores_comments_and_unknown_fields(line: bytes) -> None:
    assert read(line + b"\n\n") == []


# -- bytes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_parser_ends_lines_at_cr_lf_and_crlf(end: bytes) -> None:
    assert datas(end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])) == ["a\nb", "c"]


def test_parser_ends_lines_nowhere_else() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    assert datas(f"data: {text}\n\n".encode()) == [text]


def test_parser_does_not_wait_for_the_lf_behind_a_cr() -> None:
    parser = Parser()
    assert parser.feed(b"data: a\r\r") == [Message("", "message", "a")]
    assert parser.feed(b"\ndata: b\r\n\r") == [Message("", "message", "b")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: c\n\n") == [Message("", "message", "c")]


def test_parser_takes_one_lf_behind_a_cr_and_no_second() -> None:
    assert datas(b"data: a\r", b"\n", b"\n") == ["a"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_parser_ends_a_line_once_wherever_it_is_cut(end: bytes) -> None:
    stream = end.join([b"data: a", b"data: b", b"", b"id: 1", b"data: c", b"", b""])
    for cut in range(len(stream)):
        assert datas(stream[:cut], stream[cut:]) == ["a\nb", "c"]


def test_parser_drops_one_byte_order_mark_at_the_beginning() -> None:
    assert datas(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == ["a"]
    assert datas(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n") == []  # the second belongs to the field's name
    assert datas(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == ["a"]


def test_parser_reads_utf8_cut_anywhere() -> None:
    frame = "data: Grüße, 世界, 🌍\n\n".encode()
    for cut in range(len(frame)):
        assert datas(frame[:cut], frame[cut:]) == ["Grüße, 世界, 🌍"]


def test_parser_replaces_what_is_not_utf8() -> None:
    assert datas(b"data: a\xff\xe4b\n\n") == ["a\ufffd\ufffdb"]


# -- properties ----------------------------------------------------------------------------------------

_pieces_of_streams = st.sampled_from(
    [b"data", b"id", b"event", b"retry", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"12", b"x", b"\xef\xbb\xbf",
     "é".encode(), "🌍".encode(), b"\xff", b"\xe2\x82", b"data: y\n", b"id: 3\n"]
)  # fmt: skip
streams = st.lists(_pieces_of_streams, max_size=40).map(b"".join)


def by_the_book(stream: bytes) -> tuple[list[Message], str, int | None]:
    """The standard's algorithm, on a whole stream, as naively as it stands there."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    messages, last_id, retry = [], "", None
    data = event = ""
    frame_id = None
    for line in re.findall(r"([^\r\n]*)(?:\r\n|\r|\n)", text):
        if line == "":
            last_id = last_id if frame_id is None else frame_id
            if data != "":
                messages.append(Message(frame_id or "", event or "message", data[:-1]))
            data, event, frame_id = "", "", None
            continue
        field, value = line, ""
        if ":" in line:
            field, value = line[: line.index(":")], line[line.index(":") + 1 :]
            value = value[1:] if value[:1] == " " else value
        if field == "data":
            data += value + "\n"
        elif field == "event":
            event = value
        elif field == "id" and "\0" not in value:
            frame_id = value
        elif field == "retry" and re.fullmatch("[0-9]{1,12}", value):
            retry = int(value)
    return messages, last_id, retry


@given(streams)
def test_parser_agrees_with_the_book(stream: bytes) -> None:
    parser = Parser()
    messages = parser.feed(stream)
    assert (messages, parser.last_event_id, parser.retry_ms) == by_the_book(stream)


@given(streams, st.data())
def test_parser_reads_the_same_however_a_stream_is_cut(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole, cut = Parser(), Parser()
    expected = whole.feed(stream)
    edges = [0, *cuts, len(stream)]
    found = [message for a, b in pairwise(edges) for message in cut.feed(stream[a:b])]
    assert found == expected
    assert (cut.last_event_id, cut.retry_ms) == (whole.last_event_id, whole.retry_ms)


safe = st.text(max_size=8).filter(wire.is_field_safe)


@given(data=st.text(st.characters(exclude_categories=["Cs"])), event=safe, id_=safe)
def test_parser_reads_what_the_service_writes(data: str, event: str, id_: str) -> None:
    frame = wire.frame(wire.data_lines(data), id=id_, event=event or None)
    [message] = read(frame)
    said = "\n".join(re.split(r"\r\n|\n|\r", data))
    assert message == Message(id_, event or "message", said)
