"""The lean way for ``POST /v1/events``: whoever asks must not be able to tell it from aiohttp's own."""

import asyncio
import gc
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from handlers import plain_publish
from handlers.guard import MAX_HEAD_BYTES, GuardedHandler
from handlers.lean import LeanParser
from tests.conftest import Clock, Listen, Listening, Peer, mint, until

SERVICE = mint("publisher", "service")
ONE = b'{"userId":"42","data":{"a":1}}'
BODIES: dict[str, tuple[bytes, str]] = {
    "one": (ONE, ""),
    "list": (b'[{"userId":"42","data":1},{"broadcast":true,"data":"x"}]', ""),
    "empty list": (b"[]", ""),
    "no json": (b"{", ""),
    "nothing": (b"", ""),
    "no audience": (b'{"data":1}', ""),
    "bad in a list": (b'[{"userId":"42","data":1},{"userId":"","data":1}]', ""),
    "unknown topic": (b'{"topic":"x","broadcast":true,"data":1}', ""),
    "closed topic": (b'{"topic":"system","broadcast":true,"data":1}', ""),
    "nan": (b'{"broadcast":true,"data":NaN}', ""),
    "too large": (b'{"broadcast":true,"data":"' + b"x" * 2000 + b'"}', ""),
    "not utf-8": (b'{"broadcast":true,"data":"\xff"}', ""),
    "key": (ONE, "Idempotency-Key: k\r\n"),
    "key of a list": (b"[" + ONE + b"]", "Idempotency-Key: k\r\n"),
    "long key": (ONE, f"Idempotency-Key: {'x' * 257}\r\n"),
    "request id": (ONE, "X-Request-ID: mine\r\n"),
    "forged request id": (ONE, "X-Request-ID: a b\r\n"),
    "content type": (ONE, "Content-Type: application/json; charset=utf-8\r\n"),
}
USUAL = {
    "date",
    "content-length",
}  # differ by nature: the hour, the length of an id


def _request(body: bytes, more: str = "", token: str = SERVICE) -> bytes:
    type_ = "" if "Content-Type" in more else "Content-Type: application/json\r\n"
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{type_}{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that went the lean way."""
    bodies: list[bytes] = []
    start = plain_publish.PlainPublish.start

    def starting(self: Any, body: bytes) -> None:
        bodies.append(body)
        start(self, body)

    monkeypatch.setattr(plain_publish.PlainPublish, "start", starting)
    return bodies


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was given to parse."""
    pieces: list[bytes] = []
    count = LeanParser._count

    def counting(self: Any, data: bytes) -> None:
        pieces.append(data)
        count(self, data)

    monkeypatch.setattr(LeanParser, "_count", counting)
    return pieces


async def _known(server: Listening) -> Peer:
    """A connection whose publisher's token is known, so that the next plain publish goes the lean way."""
    peer = await server.connect(_request(ONE))
    await peer.answer()
    return peer


def _seen(head: str, body: bytes) -> tuple[str, dict[str, str], Any]:
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    document = json.loads(body)
    if "request_id" in document and document["request_id"] != "mine":
        assert document["request_id"] == headers["x-request-id"]
        document["request_id"] = "made up"
    if headers["x-request-id"] != "mine":
        headers["x-request-id"] = f"{len(headers['x-request-id'])} characters"
    return status, {name: value for name, value in headers.items() if name not in USUAL}, document


def _since(head: int, number: re.Match[str]) -> str:
    return f"{int(number[1]) - head} after"


WAYS = {"known head": "", "parsed": "Accept: */*\r\n", "aiohttp's": "Expect: \r\n"}


@pytest.mark.parametrize(("body", "more"), BODIES.values(), ids=BODIES.keys())
async def test_answer_is_the_same_whichever_way(
    listen: Listen, taken: list[bytes], parsed: list[bytes], body: bytes, more: str
) -> None:
    seen = {}
    for way, header in WAYS.items():
        server = await listen(max_event_bytes=1024)
        peer = await _known(server)
        if way == "known head" and "Idempotency" not in more:  # or its second one would tell of the first
            await peer.send(_request(ONE, more))
            await peer.answer()
        taken.clear()
        parsed.clear()
        ids = partial(
            re.sub, rf"{server.node.engine.epoch}-([0-9]+)", partial(_since, server.node.engine.head)
        )
        await peer.send(_request(body, more + header))
        seen[way] = ids(json.dumps(_seen(*await peer.answer()), sort_keys=True))
        assert taken == ([body] if body and way != "aiohttp's" else [])  # aiohttp's own for no body
        assert bool(parsed) == (way != "known head" or not body or "Idempotency" in more)

    assert len({*seen.values()}) == 1, seen


async def _head_known(server: Listening) -> Peer:
    """A connection on which a plain publish with the usual head was read."""
    peer = await _known(server)
    await peer.send(_request(ONE))
    await peer.answer()
    return peer


async def test_head_that_is_known_is_not_parsed_again_whatever_the_bodys_length(
    listen: Listen, taken: list[bytes], parsed: list[bytes]
) -> None:
    server = await listen()
    peer = await _head_known(server)
    taken.clear()
    parsed.clear()
    bodies = [b'{"userId":"42","data":"%b"}' % (b"x" * size) for size in (0, 5, 100, 2000)]

    for body in bodies:
        await peer.send(_request(body))
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")

    assert (taken, parsed) == (bodies, [])


@pytest.mark.parametrize("cut", [0, 1, len(ONE) - 1])
async def test_body_that_comes_behind_its_head_is_not_parsed_either(
    listen: Listen, taken: list[bytes], parsed: list[bytes], cut: int
) -> None:
    server = await listen()
    peer = await _head_known(server)
    [handler] = server.site._guard.open
    parser: Any = handler._parser
    taken.clear()
    parsed.clear()
    whole = _request(ONE)
    cut += len(whole) - len(ONE)

    await peer.send(whole[:cut])
    await until(lambda: parser._held == whole[:cut])
    await peer.send(whole[cut:])

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert (taken, parsed) == ([ONE], [])


async def test_body_of_many_pieces_waits_once_and_is_parsed(listen: Listen, parsed: list[bytes]) -> None:
    server = await listen()
    peer = await _head_known(server)
    [handler] = server.site._guard.open
    parser: Any = handler._parser
    parsed.clear()
    whole = _request(ONE)

    for start, end in ((0, -20), (-20, -10)):
        await peer.send(whole[start:end])
        await until(lambda seen=whole[:end]: parser._held == seen or parsed == [seen])
    await peer.send(whole[-10:])

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert parsed == [whole[:-10], whole[-10:]]
    await peer.send(whole)
    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert len(parsed) == 2, "it is known where the next one begins"


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
async def test_unusual_length_is_seen_as_without_a_known_head(
    listen: Listen, length: bytes, body: bytes
) -> None:
    assert len(ONE) == 30
    request = _request(ONE).replace(b"Length: 30", b"Length: " + length).replace(ONE, body)
    seen = []
    for begin in (_known, _head_known):
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
        (_request(_request(ONE))[: -len(_request(ONE))], "HTTP/1.1 400"),
        (b"POST /nothing HTTP/1.1\r\nX: ", "HTTP/1.1 404"),
    ],
    ids=["body", "header"],
)
async def test_what_looks_like_a_publish_within_a_request_is_a_part_of_that(
    listen: Listen, begun: bytes, answer: str
) -> None:
    server = await listen()
    peer = await _head_known(server)
    [handler] = server.site._guard.open
    before = server.node.engine.head

    handler.data_received(_request(ONE) + begun)
    first, _ = await peer.answer()
    handler.data_received(_request(ONE))
    second, _ = await peer.answer()

    assert [first[:12], second[:12]] == ["HTTP/1.1 200", answer]
    assert server.node.engine.head == before + 1


async def test_known_head_that_names_a_key_publishes_once(listen: Listen, taken: list[bytes]) -> None:
    server = await listen()
    peer = await _known(server)

    told = []
    for _ in range(3):
        await peer.send(_request(ONE, "Idempotency-Key: k\r\n"))
        told.append(json.loads((await peer.answer())[1]))

    assert taken == [ONE] * 3
    assert told == [{"id": f"{server.node.engine.epoch}-2"}] * 3


async def test_head_that_waits_for_its_body_keeps_its_connection_alive(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(_request(ONE, "Expect: \r\n"))  # by aiohttp: its timer runs
    await peer.answer()
    await peer.send(_request(ONE))
    await peer.answer()
    [handler] = server.site._guard.open
    parser: Any = handler._parser
    handler._next_keepalive_close_time = 0.0
    whole = _request(ONE)

    await peer.send(whole[: -len(ONE)])
    await until(lambda: bool(parser._held))
    handler._process_keepalive()
    await peer.send(ONE)

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


@pytest.mark.parametrize("spoilt", ["token", "length", "stop"])
async def test_what_can_not_be_taken_does_not_wait_for_its_body(listen: Listen, spoilt: str) -> None:
    clock = Clock()
    server = await listen(max_body_bytes=1024, clock=clock)
    peer = await _head_known(server)
    [handler] = server.site._guard.open
    parser: Any = handler._parser
    head = _request(ONE)[: -len(ONE)]
    if spoilt == "token":
        clock.advance(101)
    elif spoilt == "length":
        head = head.replace(b"Length: 30", b"Length: 1025")
    else:
        server.node.connections.accepting = False

    await peer.send(head)

    await until(lambda: parser._due > 0)
    assert not parser._held


async def test_much_that_comes_behind_an_unanswered_publish_is_no_head_without_an_end(
    listen: Listen,
) -> None:
    server = await listen()
    peer = await _head_known(server)
    engine: Any = server.node.engine
    [handler] = server.site._guard.open
    many = b"[" + b",".join([b'{"userId":"42","data":"%b"}' % (b"x" * 200)] * 400) + b"]"
    assert len(many) > MAX_HEAD_BYTES
    await engine._store_lent.acquire()  # as while a chore has the store: no commit, so no answer
    await peer.send(_request(ONE))
    await until(lambda: bool(server.node.answering))

    handler.data_received(_request(many))
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
        peers = [await server.connect(stream), await _head_known(server)]
        await until(lambda: len(server.node.connections) == 1)
        peers[1].abort()
        kinds = (GuardedHandler, LeanParser)
        await until(lambda: not [one for one in gc.get_objects() if type(one) in kinds])
    finally:
        gc.enable()


async def test_connection_that_asked_for_something_else_first_is_lean_but_parsed(
    listen: Listen, taken: list[bytes], parsed: list[bytes]
) -> None:
    server = await listen()
    peer = await server.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.answer()
    for _ in range(3):
        await peer.send(_request(ONE))
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")

    assert taken == [ONE, ONE]
    assert len(parsed) == 4


async def test_publishes_of_one_turn_are_kept_as_one_group(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await listen()
    peers = [await _head_known(server) for _ in range(3)]
    groups: list[list[bytes]] = []
    append = server.node.engine.append

    def appending(events: Any, receipt: Any = None) -> None:
        groups.append([event.data for event in events])
        append(events, receipt)

    monkeypatch.setattr(server.node.engine, "append", appending)
    before = server.node.engine.head
    handlers: dict[Any, Any] = {handler.peername: handler for handler in server.site._guard.open}
    for number, peer in enumerate(peers):  # as the loop does, when all have come
        handler = handlers[peer.writer.get_extra_info("sockname")]
        handler.data_received(_request(b'{"userId":"42","data":%d}' % number))

    ids = [json.loads((await peer.answer())[1])["id"] for peer in peers]
    assert groups == [[b"0", b"1", b"2"]]
    assert ids == [f"{server.node.engine.epoch}-{before + number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("path", ["lean", "whole"])
async def test_request_is_counted_either_way(listen: Listen, path: str) -> None:
    server = await listen()
    peer = await _known(server)
    before = server.node.figures.requests[200]

    await peer.send(_request(ONE, "Expect: \r\n" if path == "whole" else ""))
    await peer.answer()

    assert server.node.figures.requests[200] == before + 1


@pytest.mark.parametrize(
    "request_",
    [
        _request(ONE, "Origin: https://app.example.com\r\n"),
        _request(ONE, "Connection: close\r\n"),
        _request(ONE, "Content-Encoding: identity\r\n"),
        _request(ONE, "Content-Type: text/plain\r\n"),
        _request(ONE, token="unknown"),
        _request(ONE, token=mint("42")),
        _request(ONE).replace(b"/v1/events", b"/v1/events?x=1"),
        _request(ONE).replace(b"HTTP/1.1", b"HTTP/1.0"),
        _request(ONE).replace(b"POST", b"PUT"),
        _request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ],
)
async def test_unusual_request_goes_the_other_way(
    listen: Listen, taken: list[bytes], request_: bytes
) -> None:
    server = await listen()
    peer = await _known(server)
    taken.clear()

    await peer.send(request_)
    await peer.answer()

    assert taken == []


async def test_service_with_a_rate_goes_the_way_that_counts(listen: Listen) -> None:
    server = await listen(service_commands_per_s=1)
    peer = await server.connect()

    statuses = []
    for _ in range(3):
        await peer.send(_request(ONE))
        statuses.append((await peer.answer())[0].split()[1])

    assert statuses == ["200", "200", "429"]


async def test_body_over_the_limit_is_refused(listen: Listen) -> None:
    server = await listen(max_body_bytes=1024)
    peer = await _known(server)

    await peer.send(_request(b'{"broadcast":true,"data":"' + b"x" * 2000 + b'"}'))

    assert (await peer.answer())[0].startswith("HTTP/1.1 413")


@pytest.mark.parametrize("head_is_known", [False, True])
async def test_token_that_expired_is_not_recalled(
    listen: Listen, taken: list[bytes], head_is_known: bool
) -> None:
    clock = Clock()
    server = await listen(clock=clock)
    token = mint("publisher", "service", lifetime=100)
    peer = await server.connect(_request(ONE, token=token))
    await peer.answer()
    if head_is_known:
        await peer.send(_request(ONE, token=token))
        await peer.answer()
    clock.advance(101)
    taken.clear()

    await peer.send(_request(ONE, token=token))

    await peer.answer()

    assert taken == []


async def test_answers_come_in_the_order_of_their_requests(listen: Listen) -> None:
    """However the network cuts them, and whatever stands between them."""
    server = await listen()
    peer = await _known(server)
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [_request(ONE), health, _request(ONE), _request(b"{"), _request(ONE), health, _request(ONE)]
    whole = b"".join(requests)

    for size in (1, 7, 50, len(requests[0]), len(requests[0]) + 10, len(whole)):
        for start in range(0, len(whole), size):
            await peer.send(whole[start : start + size])
            if size > 10:
                await asyncio.sleep(0)
        told = [(await peer.answer())[1] for _ in requests]
        kinds = ["id" if b'"id"' in body else "ok" if b'"ok"' in body else "bad" for body in told]
        assert kinds == ["id", "ok", "id", "bad", "id", "ok", "id"], size
        numbers = [int(json.loads(body)["id"].partition("-")[2]) for body in told if b'"id"' in body]
        assert numbers == sorted(numbers)


async def test_client_that_left_before_its_answer_does_no_harm(listen: Listen) -> None:
    server = await listen()
    peer = await _known(server)
    head = server.node.engine.head

    peer.writer.write(_request(ONE))
    await peer.writer.drain()
    peer.abort()

    await until(lambda: not server.site._guard.open)
    fresh = await _known(server)
    assert server.node.engine.head in (head + 1, head + 2)
    await fresh.send(_request(ONE))
    assert (await fresh.answer())[0].startswith("HTTP/1.1 200")


@pytest.mark.parametrize("data", [b"1", b'"a text"'], ids=["joined", "alone"])
async def test_store_that_fails_is_503(listen: Listen, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    server = await listen()
    peer = await _known(server)

    def full(*_: object) -> list[Any]:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(server.node.engine._store, "append", full)  # type: ignore[attr-defined]
        await peer.send(_request(b'{"userId":"42","data":%b}' % data))
        head, body = await peer.answer()

    assert head.startswith("HTTP/1.1 503")
    assert "retry-after: " in head.lower()
    assert b"disk" not in body


@pytest.mark.parametrize("begin", [_known, _head_known])
async def test_node_that_goes_away_answers_the_other_way(
    listen: Listen, taken: list[bytes], begin: Callable[[Listening], Awaitable[Peer]]
) -> None:
    """aiohttp waits for its own requests when it stops; of those taken here it knows nothing."""
    server = await listen()
    peer = await begin(server)
    taken.clear()
    server.node.connections.accepting = False

    await peer.send(_request(ONE))

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert taken == []


async def test_publisher_that_does_not_wait_for_its_answer_is_not_read_meanwhile(listen: Listen) -> None:
    server = await listen()
    peer = await _known(server)
    [handler] = server.site._guard.open
    engine: Any = server.node.engine
    await engine._store_lent.acquire()  # as while a chore has the store: no commit, so no answer
    await peer.send(_request(ONE))
    await until(lambda: bool(server.node.answering))

    await peer.send(_request(ONE))

    await until(lambda: not handler.transport.is_reading())  # type: ignore[union-attr]
    engine._store_lent.release()
    engine._schedule()
    for _ in range(2):
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert not server.node.answering
    assert handler.transport is not None and handler.transport.is_reading()
