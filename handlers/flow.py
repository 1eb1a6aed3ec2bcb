"""aiohttp's protocol for one connection, read only as fast as its answers are, and closed so that the last one arrives.

Knows no limits and no requests; aiohttp's own flow control is for bodies alone.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from aiohttp import web

UNREAD_BYTES = 64 * 1024  # of answers that wait for a client; past it nothing more is read from it
LINGER_S = 5.0  # seconds a client that still sends gets to read its last answer
NEVER: Final = float("inf")


class Parser(Protocol):
    """A parser that may take a request whole.

    Attributes:
        answering: It has taken one whose answer is due.
    """

    answering: bool

    @property
    def has_failure(self) -> bool:
        """An error waits to be raised by the next call of ``feed_data``."""

    @property
    def is_busy(self) -> bool:
        """Its answer is due, or something waits behind it."""

    def take(self, data: bytes) -> bool:
        """Whether *data* is a request, and seen to."""

    def fail(self, error: Exception) -> None:
        """Let the next call of ``feed_data`` raise *error*, and every later one return nothing."""

    def drop(self) -> None:
        """Drop all that comes."""

    def go_on(self) -> None:
        """Take what was held back, if nothing holds it back any more."""


class FlowHandler(web.RequestHandler):
    """A connection.

    Attributes:
        half_closed: Its client sends nothing more.
        unread_since: Since when its client has not read its answers; ``NEVER`` where it has.
    """

    __slots__ = ("_client_left", "_lean", "_own_transport", "_slow", "half_closed", "unread_since")

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(manager, loop=loop, **kwargs)
        self._lean: Parser | None = None
        self._slow = False  # the request has a body that may take as long as it likes
        self._own_transport: asyncio.Transport | None = None  # aiohttp forgets its own when it closes
        self._client_left: asyncio.Future[None] | None = None
        self.half_closed = False
        self.unread_since = NEVER

    def use_parser(self, wrap: Callable[[Any], Parser]) -> None:
        """Put a parser of one's own before aiohttp's, which may take whole requests past it."""
        self._lean = wrap(self._parser)
        self._parser = cast("Any", self._lean)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._own_transport = cast("asyncio.Transport", transport)
        self._own_transport.set_write_buffer_limits(high=UNREAD_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lean = None  # it knows this one: together they would wait for the garbage collector
        self._own_transport = None
        self._say_client_left()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's closes always
        """The client sends nothing more, and may still read: what it has asked for is answered first."""
        self.half_closed = True
        self._say_client_left()
        self.close_if_done()
        return self.transport is not None

    @property
    def is_idle(self) -> bool:
        """It is open, and no request of it waits or is being answered."""
        waiter = self._waiter
        return (
            waiter is not None
            and not waiter.done()
            and not self._messages
            and not self._close
            and not self._force_close
        )

    @property
    def is_busy(self) -> bool:
        """An answer is due past aiohttp, or some of one has not been sent yet."""
        transport = self._own_transport
        unsent = transport is not None and transport.get_write_buffer_size() > 0
        return unsent or (self._lean is not None and self._lean.is_busy)

    @property
    def is_lingering(self) -> bool:
        """All is answered; what its client still sends is dropped."""
        return self._client_left is not None

    # -- back pressure -----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._slow:  # who reads such a body stops by itself
            self._stop_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread_since = NEVER
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()
        if self._lean is not None:
            self._lean.go_on()

    def _stop_reading(self) -> None:
        self.unread_since = min(self.unread_since, self._loop.time())
        self._pause_transport_reading()

    def _resume_transport_reading(self) -> None:
        if self.unread_since == NEVER:
            super()._resume_transport_reading()

    async def wait_until_read(self, request: web.BaseRequest) -> None:
        """Wait until the client has read the answers to what it asked before *request*.

        Raises:
            ConnectionError: It left instead.
        """
        if self._paused:
            self._stop_reading()
            await request.writer.drain()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        self._say_client_left()
        await super().shutdown(timeout)

    # -- its end -----------------------------------------------------------------------------------

    def abort(self) -> None:
        transport = self._own_transport
        self.force_close()
        if transport is not None:
            transport.abort()

    @property
    def is_closing(self) -> bool:
        """It is closed but for what its client has not read."""
        return self._own_transport is not None and self._own_transport.is_closing()

    def close_if_done(self) -> None:
        """Close the connection of a client that sends nothing more, as soon as all is answered."""
        if not self.half_closed or self._messages or (self._lean is not None and self._lean.is_busy):
            return
        if self.is_idle:
            self.force_close()
        else:
            self.close()  # behind what is being answered

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        resp, reset = await super().finish_response(request, resp, start_time)
        if not reset and not resp.keep_alive and not self._force_close:
            await self._linger()
        return resp, reset

    async def _linger(self) -> None:
        """Say that this was all, and drop what still comes for a while.

        A connection closed over bytes that nobody read is reset, and the reset takes the answer with it
        (RFC 9112, section 9.6).
        """
        transport = self.transport
        if transport is None or self._lean is None or self.half_closed or not transport.can_write_eof():
            return
        transport.write_eof()
        self._lean.drop()
        transport.resume_reading()
        self._client_left = self._loop.create_future()
        await asyncio.wait([self._client_left], timeout=LINGER_S)
        self.force_close()

    def _say_client_left(self) -> None:
        if self._client_left is not None and not self._client_left.done():
            self._client_left.set_result(None)
