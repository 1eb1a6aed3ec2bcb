"""How a connection ends: by its client, its token, a drain, or by itself."""

import asyncio
from typing import Any

import pytest

from sse_push.events.errors import ShuttingDown
from sse_push.service.identity import ANONYMOUS, Caller
from tests.conftest import until


async def test_end_says_farewell_and_ends_the_response_once(bench: Any) -> None:
    one = await bench()
    connection, transport = one.open()

    connection.end("one", b"data: bye\n\n")
    connection.end("two", b"data: again\n\n")
    await one.push()

    assert [frame.data for frame in transport.frames[1:]] == ["bye"]
    assert transport.written[-1] == b"0\r\n\r\n"
    await until(lambda: len(one.connections) == 0)
    assert one.connections.closed_by_reason == {"one": 1}


async def test_eof_of_the_client_frees_the_slot(bench: Any) -> None:
    one = await bench()
    connection, transport = one.open(reading=False)

    assert connection.eof_received() is False

    assert transport.aborted
    await until(lambda: len(one.connections) == 0)
    assert one.connections.closed_by_reason == {"client_closed": 1}


async def test_token_that_expires_ends_its_stream_only(bench: Any) -> None:
    one = await bench(heartbeat=0.06)
    expires = one.clock() + 10
    connection, transport = one.open(Caller("42", expires=expires))
    other, _ = one.open(Caller("42", expires=expires + 100))
    never, _ = one.open(ANONYMOUS)

    one.clock.advance(9)
    await asyncio.sleep(0.01)
    assert not connection.reason
    one.clock.advance(2)
    await until(lambda: len(one.connections) == 2)

    assert connection.reason == "token_expired"
    last = [frame for frame in transport.frames if frame.data][-1]
    assert last.event == "sse.expired"
    assert last.json.keys() == {"timestamp"}
    assert set(one.connections) == {other, never}
    assert len(one.connections._expiring) == 1


async def test_drain_closes_all_with_a_time_to_come_back(bench: Any) -> None:
    one = await bench()
    transports = [one.open(Caller(str(number)))[1] for number in range(90)]

    await one.connections.drain(5)

    assert len(one.connections) == 0
    assert one.connections.closed_by_reason == {"shutdown": 90}
    times = {transport.frames[-1].retry for transport in transports}
    assert all(500 <= (time or 0) <= 1500 for time in times)
    assert len(times) > 10
    assert all(transport.written[-1] == b"0\r\n\r\n" for transport in transports)
    with pytest.raises(ShuttingDown):
        one.open()


async def test_drain_cuts_those_that_take_too_long(bench: Any) -> None:
    one = await bench()
    _, stuck = one.open(reading=False)
    stuck.unread = 10

    await one.connections.drain(0.05)

    assert stuck.aborted
    await until(lambda: len(one.connections) == 0)


async def test_drain_of_none_is_at_once(bench: Any) -> None:
    one = await bench()

    async with asyncio.timeout(1):
        await one.connections.drain(60)


LAST = b"data: [DONE]\n\n"


async def test_stream_that_ends_by_itself_has_no_retry_and_is_fed_by_hand(bench: Any) -> None:
    one = await bench()
    connection, transport = one.open(resume=None, greeting=b"data: first\n\n", last=LAST)

    connection.send(b"data: second\n\n")
    connection.end("complete", b"data: third\n\n")
    connection.send(b"data: too late\n\n")

    assert [(frame.data, frame.retry) for frame in transport.frames] == [
        ("first", None), ("second", None), ("third", None), ("[DONE]", None),
    ]  # fmt: skip
    assert transport.written[-1] == b"0\r\n\r\n"
    await until(lambda: one.connections.closed_by_reason == {"complete": 1})


async def test_its_last_frames_end_it_whatever_does(bench: Any) -> None:
    one = await bench(heartbeat=0.06)
    _, expiring = one.open(
        Caller("42", expires=one.clock() + 1), resume=None, greeting=b"data: first\n\n", last=LAST
    )

    one.clock.advance(3)
    await until(lambda: not len(one.connections))

    assert [frame.event for frame in expiring.frames if frame.data][-2:] == ["sse.expired", None]
    assert expiring.frames[-1].data == "[DONE]"


async def test_drain_waits_for_a_stream_that_ends_by_itself(bench: Any) -> None:
    one = await bench()
    connection, transport = one.open(resume=None, greeting=b"data: first\n\n", last=LAST)
    other, _ = one.open()

    draining = asyncio.create_task(one.connections.drain(60))
    await until(lambda: other.reason == "shutdown")
    assert not connection.reason and not draining.done()
    connection.end("complete")
    await draining

    assert transport.frames[-1].data == "[DONE]"


@pytest.mark.parametrize("how", ["refuse", "unregister"])
async def test_slot_is_given_back_whatever_else_fails(
    bench: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    one = await bench()
    connection, _ = one.open()

    def fail(keys: object) -> None:
        raise LookupError("not listened to")

    with monkeypatch.context() as patched:
        patched.setattr(one.engine, "unsubscribe", fail)
        with pytest.raises(LookupError):
            getattr(one.connections, how)(connection)

    assert len(one.connections) == 0


async def test_revoked_streams_end_and_others_go_on(bench: Any) -> None:
    one = await bench()
    revoked, transport = one.open(Caller("42", key_id="old"))
    other, _ = one.open(Caller("42", key_id="new"))

    await one.connections.revoke("key_removed", lambda connection: connection.key_id == "old")
    await until(lambda: len(one.connections) == 1)

    assert revoked.reason == "key_removed"
    *_, retry, last = transport.frames
    assert (retry.retry is None, last.event) == (False, "sse.expired")
    assert set(one.connections) == {other}
