"""Connections on a real engine and without sockets: what is written goes to a transport that the test reads."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from sse_push.events.engines.embedded.engine import EmbeddedEngine
from sse_push.events.event import Event
from sse_push.events.group import EventList
from sse_push.events.router import Filter, Router
from sse_push.service.connection import Connection
from sse_push.service.connections import Connections
from sse_push.service.identity import Caller
from sse_push.service.limits import ConnectionLimits
from tests.conftest import Clock, Frame

HEAD = b"HEAD\r\n\r\n"
Result = TypeVar("Result")
USER = Caller("42", frozenset(["user"]))


class Transport:
    """Takes what is written; its reader takes it when the test says so."""

    FD = 77  # of the socket that it says it has

    def __init__(self, connection: Connection, *, reading: bool = True, tls: bool = False) -> None:
        self.connection = connection
        self.tls = tls
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

    def get_extra_info(self, name: str) -> Any:
        return {"socket": SimpleNamespace(fileno=lambda: self.FD), "sslcontext": self.tls or None}[name]

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


def at_once(work: Coroutine[Any, Any, Result]) -> Result:
    """What *work* gives, which waits for nothing: on one node a stream is live as soon as it is asked for."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast("Result", done.value)
    work.close()
    raise AssertionError("it waits for something")


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
        self, caller: Caller = USER, *, resume: tuple[str | None] | None = (None,), reading: bool = True, greeting: bytes = b"", last: bytes = b"", tls: bool = False
    ) -> tuple[Connection, Transport]:  # fmt: skip
        encoding = self.router.encodings[False, True]
        connection = self.connections.admit("app", encoding, caller, "192.0.2.1", "request", last)
        transport = Transport(connection, reading=reading, tls=tls)
        where = Filter.of("app", user=caller.user_id)
        replay = at_once(self.connections.prepare(connection, where, where.keys, resume=resume))
        self.connections.open(connection, transport, HEAD, where, replay=replay, greeting=greeting)  # type: ignore[arg-type]
        return connection, transport

    async def push(self, data: bytes = b"1", count: int = 1) -> list[str]:
        receipt: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        keys = ("app\x1f@42",)
        self.engine.append(
            EventList([Event("app", keys, data, at=self.clock()) for _ in range(count)]), receipt
        )
        return await receipt
