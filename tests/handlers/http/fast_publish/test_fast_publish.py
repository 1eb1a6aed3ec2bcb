"""The fast path for ``POST /v1/events``: whoever asks must not be able to tell it from aiohttp's own."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tests.conftest import Clock, Listen, Listening, Peer, mint, until
from tests.handlers.http.fast_publish.publishes import ONE, head_cached, known, post

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
    "key used twice": (b'[{"userId":"42","data":1,"key":"k"},{"userId":"42","data":2,"key":"k"}]', ""),
    "key of a list": (b"[" + ONE + b"]", "Idempotency-Key: k\r\n"),
    "long key": (ONE, f"Idempotency-Key: {'x' * 257}\r\n"),
    "request id": (ONE, "X-Request-ID: mine\r\n"),
    "forged request id": (ONE, "X-Request-ID: a b\r\n"),
    "content type": (ONE, "Content-Type: application/json; charset=utf-8\r\n"),
}
USUAL = {"date", "content-length"}  # differ by nature: the hour, the length of an id
WAYS = {"cached head": "", "parsed": "Accept: */*\r\n", "aiohttp's": "Expect: \r\n"}


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


@pytest.mark.parametrize(("body", "more"), BODIES.values(), ids=BODIES.keys())
async def test_answer_is_the_same_whichever_way(
    listen: Listen, taken: list[bytes], parsed: list[bytes], body: bytes, more: str
) -> None:
    seen = {}
    for way, header in WAYS.items():
        server = await listen(max_event_bytes=1024)
        peer = await known(server)
        if (
            way == "cached head" and "Idempotency" not in more
        ):  # or the second answer would name the first event
            await peer.send(post(ONE, more))
            await peer.answer()
        taken.clear()
        parsed.clear()
        ids = partial(
            re.sub, rf"{server.node.engine.epoch}-([0-9]+)", partial(_since, server.node.engine.head)
        )
        await peer.send(post(body, more + header))
        seen[way] = ids(json.dumps(_seen(*await peer.answer()), sort_keys=True))
        assert taken == ([body] if body and way != "aiohttp's" else [])  # aiohttp's own for no body
        assert bool(parsed) == (way != "cached head" or not body or "Idempotency" in more)

    assert len({*seen.values()}) == 1, seen


async def test_publishes_of_one_turn_are_kept_as_one_group(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await listen()
    peers = [await head_cached(server) for _ in range(3)]
    groups: list[list[bytes]] = []
    append = server.node.engine.append

    def appending(events: Any, receipt: Any = None) -> None:
        groups.append([event.data for event in events])
        append(events, receipt)

    monkeypatch.setattr(server.node.engine, "append", appending)
    before = server.node.engine.head
    handlers: dict[Any, Any] = {
        handler.transport.get_extra_info("peername"): handler for handler in server.site._guard.open
    }
    for number, peer in enumerate(peers):  # as the loop does, when all have come
        handler = handlers[peer.writer.get_extra_info("sockname")]
        handler.data_received(post(b'{"userId":"42","data":%d}' % number))

    ids = [json.loads((await peer.answer())[1])["id"] for peer in peers]
    assert groups == [[b"0", b"1", b"2"]]
    assert ids == [f"{server.node.engine.epoch}-{before + number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("path", ["lean", "whole"])
async def test_request_is_counted_either_way(listen: Listen, path: str) -> None:
    server = await listen()
    peer = await known(server)
    before = server.node.metrics.requests[200]

    await peer.send(post(ONE, "Expect: \r\n" if path == "whole" else ""))
    await peer.answer()

    assert server.node.metrics.requests[200] == before + 1


@pytest.mark.parametrize(
    "request_",
    [
        post(ONE, "Origin: https://app.example.com\r\n"),
        post(ONE, "Connection: close\r\n"),
        post(ONE, "Content-Encoding: identity\r\n"),
        post(ONE, "Content-Type: text/plain\r\n"),
        post(ONE, token="unknown"),
        post(ONE, token=mint("42")),
        post(ONE).replace(b"/v1/events", b"/v1/events?x=1"),
        post(ONE).replace(b"HTTP/1.1", b"HTTP/1.0"),
        post(ONE).replace(b"POST", b"PUT"),
        post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ],
)
async def test_unusual_request_goes_the_other_way(
    listen: Listen, taken: list[bytes], request_: bytes
) -> None:
    server = await listen()
    peer = await known(server)
    taken.clear()

    await peer.send(request_)
    await peer.answer()

    assert taken == []


async def test_service_with_a_rate_goes_the_way_that_counts(listen: Listen) -> None:
    server = await listen(service_commands_per_s=1)
    peer = await server.connect()

    statuses = []
    for _ in range(3):
        await peer.send(post(ONE))
        statuses.append((await peer.answer())[0].split()[1])

    assert statuses == ["200", "200", "429"]


async def test_body_over_the_limit_is_refused(listen: Listen) -> None:
    server = await listen(max_body_bytes=1024)
    peer = await known(server)

    await peer.send(post(b'{"broadcast":true,"data":"' + b"x" * 2000 + b'"}'))

    assert (await peer.answer())[0].startswith("HTTP/1.1 413")


@pytest.mark.parametrize("head_is_cached", [False, True])
async def test_token_that_expired_is_not_recalled(
    listen: Listen, taken: list[bytes], head_is_cached: bool
) -> None:
    clock = Clock()
    server = await listen(clock=clock)
    token = mint("publisher", "service", lifetime=100)
    peer = await server.connect(post(ONE, token=token))
    await peer.answer()
    if head_is_cached:
        await peer.send(post(ONE, token=token))
        await peer.answer()
    clock.advance(101)
    taken.clear()

    await peer.send(post(ONE, token=token))

    await peer.answer()

    assert taken == []


async def test_answers_come_in_the_order_of_their_requests(listen: Listen) -> None:
    """However the network cuts them, and whatever stands between them."""
    server = await listen()
    peer = await known(server)
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [post(ONE), health, post(ONE), post(b"{"), post(ONE), health, post(ONE)]
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
    peer = await known(server)
    head = server.node.engine.head

    peer.writer.write(post(ONE))
    await peer.writer.drain()
    peer.abort()

    await until(lambda: not server.site._guard.open)
    fresh = await known(server)
    assert server.node.engine.head in (head + 1, head + 2)
    await fresh.send(post(ONE))
    assert (await fresh.answer())[0].startswith("HTTP/1.1 200")


@pytest.mark.parametrize("data", [b"1", b'"a text"'], ids=["joined", "alone"])
async def test_store_that_fails_is_503(listen: Listen, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    server = await listen()
    peer = await known(server)

    def full(*_: object) -> list[Any]:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(server.node.engine._store, "append", full)  # type: ignore[attr-defined]
        await peer.send(post(b'{"userId":"42","data":%b}' % data))
        head, body = await peer.answer()

    assert head.startswith("HTTP/1.1 503")
    assert "retry-after: " in head.lower()
    assert b"disk" not in body


@pytest.mark.parametrize("begin", [known, head_cached])
async def test_node_that_goes_away_answers_the_other_way(
    listen: Listen, taken: list[bytes], begin: Callable[[Listening], Awaitable[Peer]]
) -> None:
    """aiohttp waits for its own requests when it stops; of those taken here it knows nothing."""
    server = await listen()
    peer = await begin(server)
    taken.clear()
    server.node.connections.accepting = False

    await peer.send(post(ONE))

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert taken == []


async def test_publisher_that_does_not_wait_for_its_answer_is_not_read_meanwhile(listen: Listen) -> None:
    server = await listen()
    peer = await known(server)
    [handler] = server.site._guard.open
    engine: Any = server.node.engine
    await engine._store_lent.acquire()  # as while a chore has the store: no commit, so no answer
    await peer.send(post(ONE))
    await until(lambda: bool(server.node.answering))

    await peer.send(post(ONE))

    await until(lambda: not handler.transport.is_reading())  # type: ignore[union-attr]
    engine._store_lent.release()
    engine._schedule()
    for _ in range(2):
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert not server.node.answering
    assert handler.transport is not None and handler.transport.is_reading()
