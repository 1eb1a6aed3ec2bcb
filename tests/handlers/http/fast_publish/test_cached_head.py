"""A publisher's next request with the same head is not parsed, and nobody may be able to tell."""

import gc
import json
import re
from typing import Any

import pytest

from sse_push.handlers.http.front import Front
from sse_push.handlers.http.head import MAX_HEAD_BYTES
from sse_push.handlers.http.relay import LentTransport, Relay
from tests.conftest import Clock, Listen, mint, until
from tests.handlers.http.fast_publish.publishes import ONE, head_cached, known, post


async def test_head_that_is_known_is_not_parsed_again_whatever_the_bodys_length(
    listen: Listen, taken: list[bytes], parsed: list[bytes]
) -> None:
    server = await listen()
    peer = await head_cached(server)
    taken.clear()
    parsed.clear()
    bodies = [b'{"userId":"42","data":"%b"}' % (b"x" * size) for size in (0, 5, 100, 2000)]

    for body in bodies:
        await peer.send(post(body))
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")

    assert (taken, parsed) == (bodies, [])


@pytest.mark.parametrize("cut", [0, 1, len(ONE) - 1])
async def test_body_that_comes_behind_its_head_is_not_parsed_either(
    listen: Listen, taken: list[bytes], parsed: list[bytes], cut: int
) -> None:
    server = await listen()
    peer = await head_cached(server)
    [connection] = server.site._guard.open
    taken.clear()
    parsed.clear()
    whole = post(ONE)
    cut += len(whole) - len(ONE)

    await peer.send(whole[:cut])
    await until(lambda: connection.is_busy)
    await peer.send(whole[cut:])

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert (taken, parsed) == ([ONE], [])


async def test_body_of_many_pieces_is_not_parsed_either(listen: Listen, parsed: list[bytes]) -> None:
    server = await listen()
    peer = await head_cached(server)
    [connection] = server.site._guard.open
    parsed.clear()
    whole = post(ONE)

    for start, end in ((0, -20), (-20, -10), (-10, len(whole))):
        connection.data_received(whole[start:end])

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    await peer.send(whole)
    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert parsed == []


@pytest.mark.parametrize(
    ("length", "body"),
    [
        (b"030", ONE),
        (b"+30", ONE),
        (b"30 ", ONE),
        (b"3_0", ONE),
        (b"\xd9\xa3\xd9\xa0", ONE),
        (b"-1", ONE),
        (b"0", b""),
        (b"", ONE),
        (b"30, 30", ONE),
        (b"30\r\nContent-Length: 30", ONE),
        (b"30\r\nTransfer-Encoding: chunked", ONE),
        (b"30\nX: y", ONE),
        (b"2000", b" " * 2000),
        (b"9" * 40, ONE),
        (b"29", ONE),
        (b"30", ONE + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
)
async def test_unusual_length_is_seen_as_without_a_cached_head(
    listen: Listen, length: bytes, body: bytes
) -> None:
    assert len(ONE) == 30
    request = post(ONE).replace(b"Length: 30", b"Length: " + length).replace(ONE, body)
    seen = []
    for begin in (known, head_cached):
        server = await listen(max_body_bytes=1024)
        peer = await begin(server)
        before = server.node.engine.head
        await peer.send(request + b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        statuses = re.findall(rb"HTTP/1\.[01] ([0-9]+)", await peer.rest())
        seen.append((statuses, server.node.engine.head - before))

    assert seen[0] == seen[1]
    assert seen[0][0], "it is answered"


@pytest.mark.parametrize(
    ("begun", "answer"),
    [
        (post(post(ONE))[: -len(post(ONE))], "HTTP/1.1 400"),
        (b"POST /nothing HTTP/1.1\r\nX: ", "HTTP/1.1 404"),
    ],
    ids=["body", "header"],
)
async def test_what_looks_like_a_publish_within_a_request_is_a_part_of_that(
    listen: Listen, begun: bytes, answer: str
) -> None:
    server = await listen()
    peer = await head_cached(server)
    [connection] = server.site._guard.open
    before = server.node.engine.head

    connection.data_received(post(ONE) + begun)
    first, _ = await peer.answer()
    connection.data_received(post(ONE))
    second, _ = await peer.answer()

    assert [first[:12], second[:12]] == ["HTTP/1.1 200", answer]
    assert server.node.engine.head == before + 1


async def test_known_head_that_names_a_key_publishes_once(listen: Listen, taken: list[bytes]) -> None:
    server = await listen()
    peer = await known(server)

    told = []
    for _ in range(3):
        await peer.send(post(ONE, "Idempotency-Key: k\r\n"))
        told.append(json.loads((await peer.answer())[1]))

    assert taken == [ONE] * 3
    assert told == [{"id": f"{server.node.engine.epoch}-2"}] * 3


async def test_head_that_waits_for_its_body_keeps_its_connection_alive(listen: Listen) -> None:
    server = await listen()
    peer = await head_cached(server)
    [connection] = server.site._guard.open
    connection.idle_since = 0.0
    whole = post(ONE)

    await peer.send(whole[: -len(ONE)])
    await until(lambda: connection.is_busy)
    server.site._guard._check()
    await peer.send(ONE)

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


@pytest.mark.parametrize("spoilt", ["token", "length", "stop"])
async def test_what_can_not_be_taken_goes_to_aiohttp_before_its_body_comes(
    listen: Listen, taken: list[bytes], spoilt: str
) -> None:
    clock = Clock()
    server = await listen(max_body_bytes=1024, clock=clock)
    peer = await head_cached(server)
    [connection] = server.site._guard.open
    taken.clear()
    head = post(ONE)[: -len(ONE)]
    if spoilt == "token":
        clock.advance(101)
    elif spoilt == "length":
        head = head.replace(b"Length: 30", b"Length: 1025")
    else:
        server.node.connections.accepting = False

    await peer.send(head)

    await until(lambda: connection.is_busy)
    assert connection._relay is not None
    assert not taken


async def test_much_that_comes_behind_an_unanswered_publish_is_no_head_without_an_end(
    listen: Listen,
) -> None:
    server = await listen()
    peer = await head_cached(server)
    engine: Any = server.node.engine
    [connection] = server.site._guard.open
    many = b"[" + b",".join([b'{"userId":"42","data":"%b"}' % (b"x" * 200)] * 400) + b"]"
    assert len(many) > MAX_HEAD_BYTES
    await engine._store_lent.acquire()  # as while a chore has the store: no commit, so no answer
    await peer.send(post(ONE))
    await until(lambda: bool(server.node.answering))

    connection.data_received(post(many))
    engine._store_lent.release()
    engine._schedule()

    assert [(await peer.answer())[0][:12] for _ in range(2)] == ["HTTP/1.1 200"] * 2


async def test_connection_that_is_closed_or_becomes_a_stream_leaves_nothing_to_collect(
    listen: Listen,
) -> None:
    server = await listen()
    stream = f"GET /v1/app/sse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mint('42')}\r\n\r\n".encode()
    gc.collect()
    gc.disable()
    try:
        peers = [await server.connect(stream), await head_cached(server)]
        await until(lambda: len(server.node.connections) == 1)
        peers[1].abort()
        kinds = (Front, Relay, LentTransport)
        await until(lambda: not [one for one in gc.get_objects() if type(one) in kinds])
    finally:
        gc.enable()


async def test_connection_that_asked_for_something_else_first_is_fast_behind_that(
    listen: Listen, taken: list[bytes], parsed: list[bytes]
) -> None:
    server = await listen()
    peer = await server.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.answer()
    for _ in range(3):
        await peer.send(post(ONE))
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")

    assert taken == [ONE, ONE]
    assert len(parsed) == 3
