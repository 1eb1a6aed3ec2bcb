"""What is written to a connection: its first write, its past, heartbeats; and what a reader that stops costs."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sse_push.events.event import Event
from sse_push.events.replay import Replay
from sse_push.service.identity import Caller
from sse_push.service.timing_wheel import SLOTS
from tests.conftest import until
from tests.service.connections.bench import HEAD


async def test_first_write_is_head_and_reconnection_time(bench: Any) -> None:
    one = await bench()
    _, transport = one.open()

    assert len(transport.written) == 1
    assert transport.written[0].startswith(HEAD)
    [first] = transport.frames
    assert 500 <= (first.retry or 0) <= 1500
    assert first.id == f"{one.engine.epoch}-0"


async def test_stream_that_keeps_nothing_begins_with_its_greeting(bench: Any) -> None:
    one = await bench()
    _, transport = one.open(resume=None, greeting=b"data: now\n\n")

    first, greeting = transport.frames
    assert first.id is None
    assert greeting.data == "now"


async def test_short_past_comes_with_the_first_write(bench: Any) -> None:
    one = await bench()
    ids = await one.push(count=10)

    _, transport = one.open(resume=(ids[3],))

    assert len(transport.written) == 1
    assert [frame.id for frame in transport.frames] == ids[3:]


async def test_long_past_comes_at_the_readers_pace_without_a_hole(bench: Any) -> None:
    one = await bench(slow_reader_bytes=64 * 1024)
    [first] = await one.push()
    ids = [first]
    for _ in range(20):
        ids += await one.push(b'"%b"' % (b"x" * 1000), 20)

    connection, transport = one.open(resume=(first,), reading=False)
    most = 0
    while not connection.live:
        live = await one.push(b'"live"')
        ids += live
        most = max(most, transport.unread)
        transport.read()
        await asyncio.sleep(0)
    transport.read()
    ids += await one.push(b'"last"')

    assert [frame.id for frame in transport.frames] == ids
    assert most < 3 * 64 * 1024
    assert not connection.reason


async def test_one_users_replays_never_take_all_readers(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await bench()
    [first, *_] = await one.push(b'"' + b"x" * 30_000 + b'"', count=40)
    one.engine.window.start = one.engine.head  # as after a restart: all must be read
    released, reads = asyncio.Event(), 0

    async def read(keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        nonlocal reads
        reads += 1
        await released.wait()
        return [], one.engine.head

    monkeypatch.setattr(one.engine, "read", read)
    for _ in range(20):
        one.open(resume=(first,))
    await until(lambda: reads)
    for _ in range(10):
        await asyncio.sleep(0)
    busy = reads
    one.open(Caller("43"), resume=(first,))
    await until(lambda: reads == busy + 1)

    assert busy == one.engine.readers // 2
    released.set()
    await until(lambda: reads == 21)


async def test_reader_that_stops_within_its_past_is_cut(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_push.service.connections.STALLED_S", 0.05)
    one = await bench(slow_reader_bytes=64 * 1024)
    [first] = await one.push()
    for _ in range(20):
        await one.push(b'"%b"' % (b"x" * 1000), 20)

    connection, transport = one.open(resume=(first,), reading=False)

    await until(lambda: transport.aborted)
    await until(lambda: len(one.connections) == 0)
    assert connection.reason == "slow_reader"
    assert transport.unread < 3 * 64 * 1024


async def test_reader_that_falls_behind_is_cut_and_nobody_waits(bench: Any) -> None:
    one = await bench(slow_reader_bytes=50_000)
    slow, stuck = one.open(reading=False)
    _, quick = one.open()

    for _ in range(20):
        await one.push(b'"%b"' % (b"x" * 10_000))

    await until(lambda: len(one.connections) == 1)
    assert slow.reason == "slow_reader"
    assert stuck.aborted
    assert stuck.unread < 50_000 + 25_000
    assert len(quick.frames) == 21
    assert one.connections.closed_by_reason == {"slow_reader": 1}


# -- past the transport ----------------------------------------------------------------------------


async def test_socket_may_be_written_to_while_nothing_waits_in_the_transport(bench: Any) -> None:
    one = await bench(slow_reader_bytes=50_000)
    connection, transport = one.open()
    assert connection.fd == transport.FD
    transport.reading = False
    for _ in range(3):
        await one.push(b'"%b"' % (b"x" * 1000))
        assert connection.fd == -1, "it would overtake what waits"
    transport.read()
    assert connection.fd == transport.FD
    transport.reading = True
    await one.push()
    assert len(transport.frames) == 5
    assert not connection.reason
    connection.end("x")
    assert connection.fd == -1
    transport.read()
    assert connection.fd == -1


async def test_reader_that_falls_behind_twice_is_cut_when_too_much_waits(bench: Any) -> None:
    one = await bench(slow_reader_bytes=50_000)
    connection, transport = one.open(reading=False)
    for _ in range(2):
        for _ in range(4):
            await one.push(b'"%b"' % (b"x" * 10_000))
        assert not connection.reason
        transport.read()
    for _ in range(6):
        await one.push(b'"%b"' % (b"x" * 10_000))
    await until(lambda: transport.aborted)
    assert connection.reason == "slow_reader"


async def test_socket_is_left_alone_until_the_past_is_written(bench: Any) -> None:
    one = await bench(slow_reader_bytes=64 * 1024)
    [first] = await one.push()
    for _ in range(20):
        await one.push(b'"%b"' % (b"x" * 1000), 20)
    connection, transport = one.open(resume=(first,), reading=False)
    while not connection.live:
        assert connection.fd == -1
        transport.read()
        assert connection.fd == -1
        await asyncio.sleep(0)
    assert connection.fd == -1, "the last page waits"
    transport.read()
    assert connection.fd == transport.FD


async def test_socket_is_left_alone_before_a_past_on_disk_is_read(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head may wait in the transport, too little for it to say so."""
    one = await bench()
    [first] = await one.push()
    with monkeypatch.context() as there:
        there.setattr(Replay, "in_memory", False)
        connection, transport = one.open(resume=(first,), reading=False)
    assert not connection.live
    assert (transport.unread > 0, transport.paused, connection.fd) == (True, False, -1)


async def test_stream_that_goes_live_while_something_waits_leaves_its_socket_alone(bench: Any) -> None:
    one = await bench()
    connection, transport = one.open(resume=None)
    connection.live, connection.fd = False, -1
    connection.pause_writing()
    connection.go_live()
    assert connection.fd == -1
    connection.resume_writing()
    assert connection.fd == transport.FD


async def test_stream_is_told_of_the_first_byte_that_waits(bench: Any) -> None:
    one = await bench()
    _, transport = one.open(reading=False)
    assert transport.high == 0 and transport.paused


async def test_socket_under_tls_is_never_written_to(bench: Any) -> None:
    one = await bench()
    connection, transport = one.open(tls=True)
    transport.reading = False
    await one.push()
    transport.read()
    assert connection.fd == -1


async def test_bytes_that_wait_are_counted(bench: Any) -> None:
    one = await bench()
    _, transport = one.open(reading=False)
    await one.push(b'"%b"' % (b"x" * 1000))

    assert one.connections.buffered_bytes() == transport.unread > 1000


async def test_every_stream_beats_once_in_each_period(bench: Any) -> None:
    one = await bench(heartbeat=0.3)
    transports = [one.open()[1] for _ in range(90)]

    def beats() -> list[int]:
        return [sum(frame.comment == "hb" for frame in transport.frames) for transport in transports]

    await until(lambda: min(beats()) >= 2)

    assert max(beats()) - min(beats()) <= 1
    assert SLOTS == 60


async def test_stream_that_ends_beats_no_more(bench: Any) -> None:
    one = await bench(heartbeat=0.05)
    connection, transport = one.open(reading=False)
    other, beating = one.open()
    connection.end("x")

    before = len(beating.written)
    await until(
        lambda: len(beating.written) > before + 2
    )  # the transport refuses to be written to after its end

    assert transport.closed
    assert not other.reason
