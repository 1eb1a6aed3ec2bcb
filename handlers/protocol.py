"""aiohttp's protocol for one connection: counted, with deadlines for its client, its requests checked.

Everything that aiohttp would answer by itself is answered here as the service answers, and logged without
quoting what came: aiohttp's own log and error pages quote malformed requests, tokens and all.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from sse_push.handlers.flow import NEVER, FlowHandler
from sse_push.handlers.http.malformed import (
    MAX_FIELD_BYTES,
    MAX_HEADERS,
    MAX_TARGET_BYTES,
    answer_crash,
    answer_malformed,
)
from sse_push.handlers.http.request_checks import MAX_HEAD_BYTES, REFUSAL, make_request, refuse
from sse_push.service.addresses import UNIX_PEER, is_in, network_of

if TYPE_CHECKING:
    from sse_push.handlers.http.guard import ConnectionGuard

KEEPALIVE_S = 75.0  # seconds an idle connection between requests stays open: longer than proxies' 60
HEALTH_PATHS = frozenset(["/healthz", "/readyz"])

_log = structlog.get_logger()


class GuardedHandler(FlowHandler):
    """A connection.

    Attributes:
        counted_as: The address that it counts for.
        trusted: A trusted proxy's.
        limit: What it was over when it came; then it may only ask for the node's health.
        owes_since: Since when its client has a request to send whole; ``NEVER`` where it has not.
    """

    __slots__ = (
        "_application",
        "_body",
        "_guard",
        "_head_bytes",
        "_make_request",
        "counted_as",
        "limit",
        "owes_since",
        "trusted",
    )

    def __init__(
        self, manager: web.Server, guard: "ConnectionGuard", *, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,
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
        self._body: StreamReader = EMPTY_PAYLOAD
        self._head_bytes = 0
        self.counted_as = ""
        self.trusted = False
        self.limit: str | None = None
        self.owes_since = NEVER

    @property
    def address(self) -> str:
        return _address_of(self.peername)

    # -- asyncio.Protocol: the transport's side ----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = _address_of(transport.get_extra_info("peername"))
        settings = self._guard.node.settings
        self.counted_as = network_of(address, settings.ipv6_prefix)
        self.trusted = is_in(address, settings.trusted_proxies)
        self.owes_since = self._loop.time()
        self._guard.admit(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._guard.forget(self)
        self._body = EMPTY_PAYLOAD
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lean is not None and self._lean.take(data):
            self._head_bytes = 0
            self.owes_since = NEVER
        elif self._lean is not None and self._lean.answering:
            super().data_received(data)  # it keeps what comes meanwhile, and hands it in again
        else:
            self._watch(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        if not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError("the body breaks off"))
        return super().eof_received()

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
        if self.is_lingering:
            return True
        return self.is_idle and not self.is_busy and not self.trusted and not self._head_bytes

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
        await self.wait_until_read(request)
        self.close_if_done()
        refusal = request.get(REFUSAL)
        if refusal is not None:
            return refuse(self._guard.node, request, refusal)
        response = await self._application(request)
        if request.content.exception() is not None:
            response.force_close()  # where the next request would begin is unknown
        return response

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
