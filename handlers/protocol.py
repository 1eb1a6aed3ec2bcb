"""aiohttp's protocol for one connection: counted, with deadlines, read only as fast as its answers are.

Everything that aiohttp would answer by itself is answered here as the service answers, and logged without
quoting what came: aiohttp's own log and error pages quote malformed requests, tokens and all.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from handlers.malformed import MAX_FIELD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, answer_crash, answer_malformed
from handlers.request_checks import MAX_HEAD_BYTES, REFUSAL, make_request, refuse
from service.addresses import UNIX_PEER, is_in, network_of

if TYPE_CHECKING:
    from handlers.guard import Guard

KEEPALIVE_S = 75.0  # seconds an idle connection between requests stays open: longer than proxies' 60
UNREAD_BYTES = 64 * 1024  # of answers that wait for a client; past it nothing more is read from it
LINGER_S = 5.0  # seconds a client that still sends gets to read why it was refused
HEALTH_PATHS = frozenset(["/healthz", "/readyz"])
NEVER: Final = float("inf")

_log = structlog.get_logger()


class Parser(Protocol):
    """A parser that may take a request whole.

    Attributes:
        answering: It has taken one whose answer is due.
        failed: What comes is dropped: something could not be parsed, or nothing more is answered.
    """

    answering: bool
    failed: bool

    @property
    def has_failure(self) -> bool:
        """An error waits to be raised by the next call of ``feed_data``."""

    @property
    def is_busy(self) -> bool:
        """Its answer is due, or something waits behind it."""

    def take(self, data: bytes) -> bool:
        """Whether *data* is one, and seen to."""

    def fail(self, error: Exception) -> None:
        """Let the next call of ``feed_data`` raise *error*, and every later one return nothing."""

    def go_on(self) -> None:
        """Take what was held back, if nothing holds it back any more."""


class GuardedHandler(web.RequestHandler):
    """A connection.

    Attributes:
        counted_as: The address that it counts for.
        half_closed: Its client sends nothing more.
        trusted: A trusted proxy's.
        limit: What it was over when it came; then it may only ask for the node's health.
        owes_since: Since when its client has a request to send whole; ``NEVER`` where it has not.
        unread_since: Since when its client has not read its answers; ``NEVER`` where it has.
    """

    __slots__ = (
        "_application", "_body", "_client_left", "_guard", "_head_bytes", "_lean",
        "_make_request", "_own_transport", "_slow", "counted_as", "half_closed", "limit", "owes_since", "trusted", "unread_since",
    )  # fmt: skip

    def __init__(self, manager: web.Server, guard: "Guard", *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=MAX_TARGET_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_HEADERS,
            auto_decompress=False,  # a compressed body is refused, and not inflated before
        )
        self._make_request, self._application = manager.request_factory, manager.request_handler
        self._request_factory = self._request_of
        self._request_handler = self._answer
        self._guard = guard
        self._own_transport: asyncio.Transport | None = None
        self._body: StreamReader = EMPTY_PAYLOAD
        self._slow = False
        self._lean: Parser | None = None
        self._head_bytes = 0
        self.half_closed = False
        self._client_left: asyncio.Future[None] | None = None
        self.counted_as = ""
        self.trusted = False
        self.limit: str | None = None
        self.owes_since = NEVER
        self.unread_since = NEVER

    @property
    def address(self) -> str:
        return _address_of(self.peername)

    def use_parser(self, wrap: Callable[[Any], Parser]) -> None:
        """Put a parser of one's own before aiohttp's, which may take whole requests past it."""
        self._lean = wrap(self._parser)
        self._parser = cast("Any", self._lean)

    # -- asyncio.Protocol: the transport's side ----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = _address_of(transport.get_extra_info("peername"))
        settings = self._guard.node.settings
        self.counted_as = network_of(address, settings.ipv6_prefix)
        self.trusted = is_in(address, settings.trusted_proxies)
        self.owes_since = self._loop.time()
        self._own_transport = cast("asyncio.Transport", transport)
        self._own_transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._guard.admit(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lean = None  # it knows this one: together they would wait for the garbage collector
        self._guard.forget(self)
        self._own_transport = None
        self._body = EMPTY_PAYLOAD
        self._say_client_left()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lean is not None and self._lean.take(data):
            self._head_bytes = 0
            self.owes_since = NEVER
        elif self._lean is not None and self._lean.answering:
            super().data_received(data)  # it keeps what comes meanwhile, and hands it in again
        else:
            self._watch(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's closes always
        """The client sends nothing more, and may still read: what it has asked for is answered first."""
        self.half_closed = True
        self._say_client_left()
        if not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError("the body breaks off"))
        self.close_if_done()
        return self.transport is not None

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

    # -- what the client owes ----------------------------------------------------------------------

    def _watch(self, data: bytes) -> None:
        """Let aiohttp have *data*, and see what the client owes then."""
        before, body = self._request_count, self._body
        between = body.is_eof()  # no body is due: what comes is a head
        super().data_received(data)
        if self._request_count == before and between:
            self._expect_head(len(data))
            return
        self._head_bytes = 0
        if self._request_count != before and self._messages:
            if not body.is_eof():
                # What aiohttp takes for another request is this one's body, malformed; it tells nobody.
                body.set_exception(web.RequestPayloadError("malformed"))
            self._body = self._messages[-1][1]
            self._slow = False
        if self._slow or self._body.is_eof():
            self.owes_since = NEVER
        elif self.owes_since == NEVER:
            self.owes_since = self._loop.time()
        if self._lean is not None and self._lean.has_failure and not self._lean.answering:
            self._watch(b"")  # behind the requests before it

    def _expect_head(self, size: int) -> None:
        """*size* more bytes of a head have come, and not its end."""
        self._head_bytes += size
        if self._current_request is not None:
            return
        if self._head_bytes > MAX_HEAD_BYTES and self._lean is not None:
            self._lean.fail(LineTooLong(b"", MAX_HEAD_BYTES))
            super().data_received(b"")
        if self.owes_since == NEVER and size:
            self.owes_since = self._loop.time()  # the head of another request has begun

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
    def queued(self) -> int:
        """Requests that wait to be answered."""
        return len(self._messages)

    @property
    def can_publish_fast(self) -> bool:
        """A publish that comes now may be answered at once."""
        return self.is_idle and self.limit is None and self.unread_since == NEVER

    @property
    def is_evictable(self) -> bool:
        """Nobody would miss it: no request of it has begun, and it is nobody's who holds it for others."""
        if self._client_left is not None:
            return True
        busy = self._lean is not None and self._lean.is_busy
        return self.is_idle and not busy and not self.trusted and not self._head_bytes

    @property
    def idle_since(self) -> float:
        """When it was last in use, if it is idle."""
        return self._next_keepalive_close_time - KEEPALIVE_S

    def count_request(self) -> None:
        """A whole request has come, and is seen to elsewhere: the connection is in use."""
        self._request_count += 1
        self.expect_more()

    def expect_more(self) -> None:
        """More is to come: whatever timer runs, the connection is not idle."""
        self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_S

    def expect_slow_body(self) -> None:
        """The rest of this request may take as long as it likes."""
        self._slow = True
        self.owes_since = NEVER

    def _request_of(self, message: RawRequestMessage, *more: Any) -> web.BaseRequest:
        if self.limit is not None:
            message = message._replace(should_close=True)
        return make_request(self._make_request, message, *more)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Check a request, and have it answered by the application.

        Raises:
            ConnectionError: Its client has left, or is turned away.
        """
        if self.limit is not None and request.path not in HEALTH_PATHS:
            self._guard.refuse(self)
            raise ConnectionResetError("there is no room")
        if self._paused:  # its client has not read the answers to what it asked before
            self._stop_reading()
            await request.writer.drain()
        self.close_if_done()
        refusal = request.get(REFUSAL)
        if refusal is not None:
            return refuse(self._guard.node, request, refusal)
        response = await self._application(request)
        if request.content.exception() is not None:
            response.force_close()  # where the next request would begin is unknown
        return response

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
        self._lean.failed = True
        transport.resume_reading()
        self._client_left = self._loop.create_future()
        await asyncio.wait([self._client_left], timeout=LINGER_S)
        self.force_close()

    def _say_client_left(self) -> None:
        if self._client_left is not None and not self._client_left.done():
            self._client_left.set_result(None)

    # -- what aiohttp would answer by itself -------------------------------------------------------

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """What aiohttp could not handle beside a request: most often the rest of a body that is malformed."""
        _log.info("connection.failed", address=self.address, error=type(kwargs.get("exc_info")).__name__)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed or crashed, without a word of what it was.

        Raises:
            ConnectionError: Nobody is there to be answered, or a part of the answer is sent already.
        """
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionError("can't be answered") from exc
        if status < 500:
            return answer_malformed(self._guard.node, self.address, exc)
        return answer_crash(self._guard.node, request.path, exc)


def _address_of(peer: object) -> str:
    return str(peer[0]) if isinstance(peer, tuple) else UNIX_PEER


def is_half_closed(request: web.Request) -> bool:
    """Whether the client of *request* sends nothing more."""
    handler = request.protocol
    return isinstance(handler, GuardedHandler) and handler.half_closed


def expect_slow_body(request: web.Request) -> None:
    """Let the body of *request* come as slowly as its sender has something to say."""
    handler = request.protocol
    if isinstance(handler, GuardedHandler):
        handler.expect_slow_body()
