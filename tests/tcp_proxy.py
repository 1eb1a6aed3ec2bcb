"""A TCP proxy for tests: between two processes, it cuts, stalls and restores what runs between them, and counts it.

Knows bytes and connections. What it lets through may be looked at, and changed, by a function of the test's.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from tests.ports import HOST, reserve

# For each connection: makes what every piece from the server goes through.
Sieve = Callable[[], Callable[[bytes], bytes]]


class TcpProxy:
    """Listens on a port of its own, from :meth:`start` on, for connections to *target*.

    Attributes:
        from_server: Bytes that came from the server.
        sieve: Applied to connections made from now on.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._sides: set[_Side] = set()
        self.port = reserve()
        self.stalled = False
        self.from_server = 0
        self.sieve: Sieve = lambda: lambda data: data

    async def start(self) -> None:
        """Take connections; again on the same port after :meth:`refuse`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self, self._target), HOST, self.port)

    async def refuse(self) -> None:
        """Cut all connections, and refuse others."""
        if self._server is not None:
            self._server.close()
            closed = asyncio.ensure_future(self._server.wait_closed())
            # From Python 3.12 on it waits for every connection; one may have been accepted and not yet be a side.
            while not closed.done():
                self.cut()
                await asyncio.wait([closed], timeout=0.01)
            self._server = None

    def cut(self) -> None:
        """Cut all connections, with whatever is under way."""
        for side in [*self._sides]:
            side.abort()

    def stall(self) -> None:
        """Let nothing through, and say nothing: as a network that drops every packet."""
        self.stalled = True
        for side in self._sides:
            side.obey()

    def strand(self) -> None:
        """Let nothing through on the connections there are, ever; others are none the wiser."""
        for side in self._sides:
            side.stranded = True
            side.obey()

    def go_on(self) -> None:
        self.stalled = False
        for side in self._sides:
            side.obey()

    @property
    def connections(self) -> int:
        return len(self._sides) // 2

    def joined(self, side: "_Side") -> None:
        self._sides.add(side)
        side.obey()

    def left(self, side: "_Side") -> None:
        self._sides.discard(side)


class _Side(asyncio.Protocol):
    """One side of a connection: the client's, or with *other* the server's."""

    def __init__(self, proxy: TcpProxy, target: int = 0, other: "_Side | None" = None) -> None:
        self._proxy = proxy
        self._target = target
        self._other = other
        self._early: list[bytes] = []
        self._sieve = proxy.sieve() if other else None
        self.stranded = False
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._proxy.joined(self)
        if self._other is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self._other = await loop.create_connection(
                lambda: _Side(self._proxy, other=self), HOST, self._target
            )
        except OSError:
            return self.abort()
        for data in self._early:
            self._other.write(data)
        return None

    def data_received(self, data: bytes) -> None:
        if self._sieve is not None:
            self._proxy.from_server += len(data)
            data = self._sieve(data)
        if self._other is None:
            self._early.append(data)
        else:
            self._other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.left(self)
        if self._other is not None:
            self._other.abort()

    def write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def obey(self) -> None:
        """Read or don't, as the proxy says now."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._proxy.stalled or self.stranded:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
