"""A connection's slot: taken, given back, forgotten, logged."""

from typing import Any

import pytest

from sse_push.events.errors import OverLimit
from tests.service.connections.bench import USER


async def test_admission_takes_a_slot_and_refusal_gives_it_back(bench: Any) -> None:
    one = await bench(total=1)
    encoding = one.router.encodings[False, True]
    first = one.connections.admit("app", encoding, USER, "a", "")
    with pytest.raises(OverLimit):
        one.connections.admit("app", encoding, USER, "a", "")

    one.connections.refuse(first)

    assert len(one.connections) == 0
    one.connections.refuse(one.connections.admit("app", encoding, USER, "a", ""))


async def test_slot_is_given_back_when_the_transport_is_gone(bench: Any) -> None:
    one = await bench(total=1)
    for error, reason in (
        (None, "client_closed"),
        (ConnectionResetError(), "client_reset"),
        (TimeoutError(), "peer_lost"),
    ):
        connection, _ = one.open()
        assert list(one.connections) == [connection]
        connection.connection_lost(error)
        assert len(one.connections) == 0
        assert list(one.connections) == []
        assert one.connections.closed_by_reason[reason] == 1
    assert one.connections.open_by_kind["app"] == 0


async def test_connection_that_is_gone_is_forgotten_by_the_router(bench: Any) -> None:
    one = await bench()
    connection, transport = one.open()
    connection.connection_lost(None)
    before = len(transport.written)

    await one.push()

    assert len(transport.written) == before
    assert not any(encoding._subscribers for encoding in one.router.encodings.values())
    assert not one.connections._expiring


async def test_opening_and_closing_are_logged(bench: Any, logged: list[dict[str, Any]]) -> None:
    one = await bench()
    connection, _ = one.open()
    one.clock.advance(12)
    connection.connection_lost(None)

    opened, closed = [line for line in logged if line["event"].startswith("stream.")]
    assert (opened["event"], opened["stream"], opened["user"], opened["address"]) == (
        "stream.opened",
        "app",
        "42",
        "192.0.2.1",
    )
    assert (closed["event"], closed["reason"], closed["duration_s"]) == ("stream.closed", "client_closed", 12)
    assert opened["request_id"] == closed["request_id"] == "request"
