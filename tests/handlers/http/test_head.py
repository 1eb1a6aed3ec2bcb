"""Heads are read by a strict grammar: whatever it takes, aiohttp's parser takes as well, and sees the same in it."""

import asyncio
from typing import Any

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from sse_push.handlers.http.head import MAX_HEADERS, MalformedHead, check_begun, read_head

GET = b"GET /v1/app/sse?token=a%20b HTTP/1.1\r\nHost: x\r\n"


def test_head_says_what_was_asked() -> None:
    head = read_head(GET + b"Accept: text/event-stream \r\nX:\t1\r\nX: 2\r\n\r\n")

    assert (head.method, head.path, head.query_string, head.is_http_1_1) == (
        "GET",
        "/v1/app/sse",
        "token=a%20b",
        True,
    )
    assert head.headers.getall("x") == ["1", "2"]
    assert head.headers["accept"] == "text/event-stream"
    assert head.url.query["token"] == "a b"
    assert (head.length, head.has_body, head.keep_alive) == (0, False, True)


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (b"", 0),
        (b"Content-Length: 0\r\n", 0),
        (b"content-length: 12\r\n", 12),
        (b"Transfer-Encoding: chunked\r\n", None),
    ],
)
def test_head_says_how_long_its_body_is(lines: bytes, length: int | None) -> None:
    assert read_head(GET + lines + b"\r\n").length == length


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        GET + b"Host: y\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        GET + b"Content-Length: +1\r\n\r\n",
        GET + b"Content-Length: \xd9\xa3\r\n\r\n",
        GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        GET.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
        GET + b"Transfer-Encoding:\r\n\r\n",
        GET + b"Transfer-Encoding: ,\r\n\r\n",
        GET.replace(b"1.1", b"2.0") + b"\r\n",
        GET + b"X : 1\r\n\r\n",
        GET + b"X: 1\r\n 2\r\n\r\n",
        GET + b"X: a\nb\r\n\r\n",
        GET + b"X: a\x00\r\n\r\n",
        GET.replace(b" HTTP", b"  HTTP") + b"\r\n",
    ],
)
def test_head_that_can_be_read_in_two_ways_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedHead) as error:
        read_head(data)

    assert error.value.status == 400


def test_head_of_too_many_lines_is_too_large() -> None:
    with pytest.raises(MalformedHead) as error:
        read_head(GET + b"X: 1\r\n" * MAX_HEADERS + b"\r\n")

    assert error.value.status == 431


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"GET /" + b"x" * 9000, 414),
        (GET + b"X" * 9000, 431),
        (GET + (b"X: " + b"x" * 8000 + b"\r\n") * 9, 431),
    ],
    ids=["TLS", "target", "line", "all"],
)
def test_head_without_an_end_is_refused_once_it_can_not_be_one(data: bytes, status: int) -> None:
    with pytest.raises(MalformedHead) as error:
        check_begun(data)

    assert error.value.status == status


PIECES = st.sampled_from(
    [b"Content-Length: 1", b"Transfer-Encoding: chunked", b"X: y", b"X:  y \t", b"X:", b": y", b"X y", b" z", b"X: \x01", b"X: \xff", b"Upgrade: h2c", b"Connection: close"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=4), st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_what_is_taken_aiohttp_takes_and_sees_the_same(lines: list[bytes], line_end: bytes) -> None:
    data = GET + b"".join(line + line_end for line in lines) + b"\r\n"
    try:
        head = read_head(data)
    except MalformedHead:
        return

    loop: Any = asyncio.new_event_loop()
    try:
        protocol: Any = None
        [(message, _)], _, _ = HttpRequestParser(protocol, loop, 2**16).feed_data(data)
    except HttpProcessingError:
        return  # aiohttp is stricter still, and has the last word
    finally:
        loop.close()
    assert [(name, value) for name, value in head.headers.items()] == [*message.headers.items()]
    assert (head.method, head.target) == (message.method, message.path)
    assert head.keep_alive == (not message.should_close) or head.asks_for_upgrade
