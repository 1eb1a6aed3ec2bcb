"""Connections that are counted and have deadlines.

aiohttp has no limit on how long a client may take to send its request, nor on how many connections may be
open; its own log and error pages quote malformed requests, tokens and all. This gives its protocol the three.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import structlog
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from handlers.errors import SERVER, problem
from service.addresses import is_in, network_of
from service.node import Node

CHECK_EVERY_S = 1.0  # seconds between looks for connections past their deadline
MAX_HEAD_BYTES = 64 * 1024  # of a request line and headers together: what eight of the longest lines take
KEEPALIVE_S = 75.0  # seconds an idle connection between requests stays open: longer than proxies' 60
_NEVER: Final = float("inf")

_log = structlog.get_logger()


class Guard:
    """What is open on this node but not (yet) a stream, and since when each owes the rest of a request."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.open: set[GuardedHandler] = set()
        self._by_address: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, handler: "GuardedHandler", *, trusted: bool) -> str | None:
        """Count a connection; the limit that it is over, if any. One address can't take all there is."""
        settings = self.node.settings
        if len(self.open) + len(self.node.connections) >= settings.socket_limit:
            return "sockets"
        address = handler.counted_as
        if self._by_address[address] >= settings.max_connections_per_address and not trusted:
            return "sockets_of_address"
        self._by_address[address] += 1
        self.open.add(handler)
        return None

    def forget(self, handler: "GuardedHandler") -> None:
        """A connection is closed, or is a stream now."""
        self.open.discard(handler)
        self._by_address[handler.counted_as] -= 1
        if not self._by_address[handler.counted_as]:
            del self._by_address[handler.counted_as]

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self._check)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self.start()
        latest = asyncio.get_running_loop().time() - self.node.settings.request_timeout_s
        for handler in [handler for handler in self.open if handler.owes_since < latest]:
            self.node.figures.refusals["request_timeout"] += 1
            _log.info("request.timed_out", address=handler.address)
            handler.abort()


class LeanParser(Protocol):
    """A parser that may take a request whole.

    Attributes:
        answering: It has taken one whose answer is due.
    """

    answering: bool

    def take(self, data: bytes) -> bool:
        """Whether *data* is one, and seen to."""


class GuardedHandler(web.RequestHandler):
    """aiohttp's protocol for one connection, counted, with a deadline for its requests."""

    __slots__ = ("_body", "_guard", "_head_bytes", "_lean", "_slow", "counted_as", "owes_since")

    def __init__(self, manager: web.Server, guard: Guard, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._guard = guard
        self._body: StreamReader = EMPTY_PAYLOAD
        self._slow = False
        self._lean: LeanParser | None = None
        self._head_bytes = 0
        self.counted_as = ""
        self.owes_since = _NEVER

    @property
    def address(self) -> str:
        peer = self.peername
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        settings = self._guard.node.settings
        self.counted_as = network_of(address, settings.ipv6_prefix)
        trusted = is_in(address, settings.trusted_proxies)
        over = self._guard.admit(self, trusted=trusted)
        if over is not None:
            self._guard.node.figures.refusals[over] += 1
            _log.warning("connection.refused", limit=over, address=self.counted_as)
            cast("asyncio.Transport", transport).abort()
            return
        super().connection_made(transport)
        self.owes_since = self._loop.time()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lean = None  # it knows this one: together they would wait for the garbage collector
        # One that was refused never was aiohttp's.
        if self in self._guard.open:
            self._guard.forget(self)
            self._body = EMPTY_PAYLOAD
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lean is not None and self._lean.take(data):
            self._head_bytes = 0
            self.owes_since = _NEVER
        elif self._lean is not None and self._lean.answering:
            super().data_received(data)  # it keeps what comes meanwhile, and hands it in again
        else:
            self._watch(data)

    def _watch(self, data: bytes) -> None:
        """Let aiohttp have *data*, and see what the client owes then."""
        before, body = self._request_count, self._body
        between = body.is_eof()  # no body is due: what comes is a head
        super().data_received(data)
        if self._request_count == before and between:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and self._current_request is None:
                self.abort()
            if self._current_request is None and self.owes_since == _NEVER:
                self.owes_since = self._loop.time()  # the head of another request has begun
            return
        self._head_bytes = 0
        if self._request_count != before and self._messages:
            if not body.is_eof():
                # What aiohttp takes for another request is this one's body, malformed; it tells nobody.
                body.set_exception(web.RequestPayloadError("malformed"))
            self._body = self._messages[-1][1]
            self._slow = False
        if self._slow or self._body.is_eof():
            self.owes_since = _NEVER
        elif self.owes_since == _NEVER:
            self.owes_since = self._loop.time()

    def use_parser(self, wrap: Callable[[Any], LeanParser]) -> None:
        """Put a parser of one's own before aiohttp's, which may take whole requests past it."""
        self._lean = wrap(self._parser)
        self._parser = cast("Any", self._lean)

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

    def count_request(self) -> None:
        """A whole request has come, and is seen to elsewhere: the connection is in use."""
        self._request_count += 1
        self.expect_more()

    def expect_more(self) -> None:
        """More is to come: whatever timer runs, the connection is not idle."""
        self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_S

    def abort(self) -> None:
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def expect_slow_body(self) -> None:
        """The rest of this request may take as long as it likes."""
        self._slow = True
        self.owes_since = _NEVER

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
        """Answer what could not be parsed or crashed, without a word of what it was."""
        if isinstance(exc, ConnectionError):
            _log.info("request.abandoned", address=self.address)
        elif status >= 500:
            _log.error("request.crashed", exc_info=exc)
        else:
            _log.info("request.malformed", address=self.address, error=type(exc).__name__)
        self._guard.node.figures.requests[status] += 1
        response = problem(status, "the request is malformed" if status < 500 else "crashed", "")
        response.force_close()
        response.headers["Server"] = SERVER
        return response


def expect_slow_body(request: web.Request) -> None:
    """Let the body of *request* come as slowly as its sender has something to say."""
    handler = request.protocol
    if isinstance(handler, GuardedHandler):
        handler.expect_slow_body()
