"""aiohttp's parser gets requests cut behind each head, and tells of a fault behind the requests before it."""

import asyncio
from typing import Any

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE
from hypothesis import given
from hypothesis import strategies as st

from sse_push.handlers.head_by_head import HeadByHead, _split

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


class Queue:
    """Requests that wait: as many as the test says."""

    queued = 0


def _parser(queue: Queue) -> HeadByHead:
    protocol: Any = None
    return HeadByHead(HttpRequestParser(protocol, asyncio.get_running_loop(), 2**16), queue)


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n\r\n", b"x", b"ab\r\n"]), max_size=12), st.integers(0, 40)
)
def test_pieces_are_what_came_cut_behind_each_head(parts: list[bytes], at: int) -> None:
    whole = b"".join(parts)
    before, data = whole[:at], whole[at:]

    pieces = _split(before[-3:], data)

    assert b"".join(pieces) == data
    for piece in pieces:
        end = piece.find(b"\r\n\r\n")
        assert end in (-1, len(piece) - 4)


async def test_requests_before_a_fault_come_first_and_then_the_fault() -> None:
    parser = _parser(Queue())

    messages, upgraded, _ = parser.feed(GET % 1 + GET % 2 + b"no http" + GET % 3, is_one=False)

    assert ([message.path for message, _ in messages], upgraded) == (["/1", "/2"], False)
    assert parser.has_failure and parser.is_over and not parser.failed
    with pytest.raises(HttpProcessingError):
        parser.feed(b"", is_one=False)
    assert parser.failed
    assert parser.feed(GET % 4, is_one=False)[0] == ()


async def test_requests_beyond_the_queue_wait_until_there_is_room() -> None:
    queue = Queue()
    parser = _parser(queue)
    count = MAX_MSG_QUEUE_SIZE + 5

    first, _, _ = parser.feed(b"".join(GET % number for number in range(count)), is_one=False)
    queue.queued = len(first)
    assert (len(first), parser.feed(b"", is_one=False)[0]) == (MAX_MSG_QUEUE_SIZE, [])
    for _ in first:
        parser.message_consumed()
    queue.queued = 0

    rest, _, _ = parser.feed(b"", is_one=False)

    assert [message.path for message, _ in [*first, *rest]] == [f"/{number}" for number in range(count)]


async def test_what_is_dropped_is_not_parsed() -> None:
    parser = _parser(Queue())

    parser.drop()

    assert parser.feed(GET % 1, is_one=False) == ((), False, b"")
