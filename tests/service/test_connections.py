"""A connection's life without a socket: admission, what is written, heartbeats, expiry, farewell."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from events.engines.embedded import EmbeddedEngine
from events.errors import OverLimit, ShuttingDown
from events.event import Event
from events.router import Filter, Router
from service.connection import Connection
from service.connections import WHEEL_SLOTS, Connections
from service.identity import ANONYMOUS, Caller
from service.limits import ConnectionLimits
from tests.conftest import Clock, Frame, until

HEAD = b"HEAD\r\n\r\n"
USER = Caller("42", frozenset(["user"]))


class Transport:
    """Takes what is written; its reader takes it when the test says so."""

    def __init__(self, connection: Connection, *, reading: bool = True) -> None:
        self.connection = connection
        self.reading = reading
        self.written: list[bytes] = []
        self.unread = 0
        self.high = 64 * 1024
        self.paused = False
        self.closed = False
        self.lost = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        assert not self.closed, "written to after its end"
        assert data
        self.written.append(data)
        if not self.reading:
            self.unread += len(data)
            self._pause_if_full()

    def read(self) -> None:
        """Its reader takes all that waits."""
        self.unread = 0
        if self.paused:
            self.paused = False
            self.connection.resume_writing()

    def _pause_if_full(self) -> None:
        if self.unread > self.high and not self.paused:
            self.paused = True
            self.connection.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self.unread

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high
        self._pause_if_full()  # as asyncio's transports do

    def close(self) -> None:
        self._end(self.unread == 0)

    def abort(self) -> None:
        self.aborted = True
        self._end(True)

    def _end(self, now: bool) -> None:
        self.closed = True
        if now and not self.lost:
            self.lost = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    @property
    def frames(self) -> list[Frame]:
        """All frames so far, out of their chunks."""
        body = b"".join(self.written).removeprefix(HEAD)
        text = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            text, body = text + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return [Frame.parse(frame + b"\n") for frame in text.split(b"\n\n")[:-1]]


class Bench:
    """Connections on a real engine, with a clock and limits of the test's."""

    def __init__(self, engine: EmbeddedEngine, clock: Clock, **settings: Any) -> None:
        self.engine = engine
        self.clock = clock
        self.router = Router()
        usual: dict[str, Any] = {"retry_ms": 1000, "heartbeat": 3600, "slow_reader_bytes": 200_000}
        self.limits = ConnectionLimits(settings.pop("total", 100), 100, 100)
        self.connections = Connections(engine, self.limits, clock=clock, **{**usual, **settings})

    def open(
        self, caller: Caller = USER, *, resume: tuple[str | None] | None = (None,), reading: bool = True, greeting: bytes = b"", last: bytes = b""
    ) -> tuple[Connection, Transport]:  # fmt: skip
        lane = self.router.lanes[False, True]
        connection = self.connections.admit("app", lane, caller, "192.0.2.1", "request", last)
        transport = Transport(connection, reading=reading)
        where = Filter.of("app", user=caller.user_id)
        self.connections.open(connection, transport, HEAD, where, resume=resume, greeting=greeting)  # type: ignore[arg-type]
        return connection, transport

    async def push(self, data: bytes = b"1", count: int = 1) -> list[str]:
        receipt: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        keys = ("app\x1f@42",)
        self.engine.append([Event("app", keys, data, at=self.clock()) for _ in range(count)], receipt)
        return await receipt


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    made: list[Bench] = []

    async def make(**settings: Any) -> Bench:
        clock = Clock()
        engine = EmbeddedEngine(
            tmp_path / str(len(made)),
            max_events=settings.pop("max_events", 100_000),
            max_age=3600,
            clock=clock,
        )
        one = Bench(engine, clock, **settings)
        await engine.start(one.router.deliver)
        one.connections.start()
        made.append(one)
        return one

    yield make
    for one in made:
        await one.connections.close()
        await one.engine.close()


# -- admission ------------------------------------------------------------------------------------


async def test_admission_takes_a_slot_and_refusal_gives_it_back(bench: Any) -> None:
    one = await bench(total=1)
    lane = one.router.lanes[False, True]
    first = one.connections.admit("app", lane, USER, "a", "")
    with pytest.raises(OverLimit):
        one.connections.admit("app", lane, USER, "a", "")

    one.connections.refuse(first)

    assert len(one.connections) == 0
    one.connections.refuse(one.connections.admit("app", lane, USER, "a", ""))


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
    assert not any(lane._sinks for lane in one.router.lanes.values())
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


# -- what is written ------------------------------------------------------------------------------


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


async def test_reader_that_stops_within_its_past_is_cut(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.connections.STALLED_S", 0.05)
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


async def test_bytes_that_wait_are_counted(bench: Any) -> None:
    one = await bench()
    _, transport = one.open(reading=False)
    await one.push(b'"%b"' % (b"x" * 1000))

    assert one.connections.buffered_bytes() == transport.unread > 1000


# -- ends -----------------------------------------------------------------------------------------


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


async def test_every_stream_beats_once_in_each_period(bench: Any) -> None:
    one = await bench(heartbeat=0.3)
    transports = [one.open()[1] for _ in range(90)]

    def beats() -> list[int]:
        return [sum(frame.comment == "hb" for frame in transport.frames) for transport in transports]

    await until(lambda: min(beats()) >= 2)

    assert max(beats()) - min(beats()) <= 1
    assert WHEEL_SLOTS == 60


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


# -- going away -----------------------------------------------------------------------------------


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


# -- streams that end by themselves -----------------------------------------------------------------

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
