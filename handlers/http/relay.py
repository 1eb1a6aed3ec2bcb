"""Requests that aiohttp answers: its unmodified protocol reads them one by one, over a transport that is only lent to it.

What is lent is taken back: aiohttp then writes to nothing and closes nothing.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from sse_push.handlers.http.detach import TakenOver
from sse_push.handlers.http.head import MAX_FIELD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from sse_push.handlers.http.malformed import answer_crash
from sse_push.handlers.middleware import Unanswered

if TYPE_CHECKING:
    from sse_push.handlers.http.front import Front

# Seconds that aiohttp waits for a next request: longer than its connection is open between two (guard.KEEPALIVE_S).
_KEEPALIVE_S = 24 * 3600.0
# aiohttp counts a header's separator, and its limit must not be met before ours.
_MORE_BYTES = 64
_MALFORMED = "UNKNOWN"  # aiohttp's word for the method of what it could not parse

_log = structlog.get_logger()


class _AiohttpLog(logging.Handler):
    """What aiohttp would log by itself: without a word of what came, for a token may stand in it."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        _log.info("connection.failed", error=type(error).__name__)


_aiohttp_log: Final = logging.Logger("sse_push.aiohttp")
_aiohttp_log.addHandler(_AiohttpLog())


class LentTransport(asyncio.Transport):
    """A connection's transport as aiohttp has it. A handler finds it as ``request.transport``.

    Attributes:
        front: The connection; ``None`` once the transport is taken back.
    """

    def __init__(self, front: "Front") -> None:
        super().__init__()
        self.front: Front | None = front
        self._real: asyncio.Transport | None = front.transport
        self._payload: StreamReader | None = None
        self._body_error: str | None = None

    # -- asyncio.Transport -------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default if self._real is None else self._real.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._real is None or self._real.is_closing()

    def close(self) -> None:
        if self.front is not None:
            self.front.finish()

    def abort(self) -> None:
        if self._real is not None:
            self._real.abort()

    def write(self, data: Any) -> None:
        if self._real is not None:
            self._real.write(data)

    def writelines(self, data: Iterable[Any]) -> None:
        self.write(b"".join(data))

    def can_write_eof(self) -> bool:
        return self._real is not None and self._real.can_write_eof()

    def write_eof(self) -> None:
        if self._real is not None:
            self._real.write_eof()

    def get_write_buffer_size(self) -> int:
        return 0 if self._real is None else self._real.get_write_buffer_size()

    def is_reading(self) -> bool:
        return self._real is not None and self._real.is_reading()

    def pause_reading(self) -> None:
        if self.front is not None:
            self.front.pause_body(paused=True)

    def resume_reading(self) -> None:
        if self.front is not None:
            self.front.pause_body(paused=False)

    # -- the connection's side ---------------------------------------------------------------------

    def take_back(self) -> None:
        self.front = self._real = self._payload = None

    def begin(self) -> None:
        """Another request follows."""
        self._payload = self._body_error = None

    def use_payload(self, payload: StreamReader) -> None:
        """aiohttp puts the body of the request in *payload*."""
        self._payload = payload
        if self._body_error is not None:
            payload.set_exception(web.RequestPayloadError(self._body_error))

    def fail_body(self, why: str) -> None:
        """No more of the body comes."""
        self._body_error = why
        if self._payload is not None:
            self._payload.set_exception(web.RequestPayloadError(why))

    @property
    def body_failed(self) -> bool:
        return self._body_error is not None


class Relay:
    """aiohttp's protocol for one connection.

    Attributes:
        protocol: aiohttp's.
        is_answered: It has answered the request that it got last.
    """

    __slots__ = ("is_answered", "lent", "protocol")

    def __init__(self, server: web.Server, front: "Front") -> None:
        self.protocol = server()
        self.lent = LentTransport(front)
        self.is_answered = False
        self.protocol.connection_made(self.lent)

    def begin(self, head: bytes) -> None:
        self.is_answered = False
        self.lent.begin()
        self.protocol.data_received(head)

    def close(self, error: Exception | None = None) -> None:
        """Take the transport back for good."""
        self.lent.take_back()
        self.protocol.connection_lost(error)


def new_server(runner: web.AppRunner) -> web.Server:
    """aiohttp's server for the application of *runner*, whose connections' transports are lent.

    Raises:
        RuntimeError: The runner is not set up.
    """
    own = runner.server
    if own is None:
        raise RuntimeError("set the runner up first")

    def make_request(
        message: RawRequestMessage, payload: StreamReader, protocol: Any, *more: Any
    ) -> web.BaseRequest:
        lent = protocol.transport
        if isinstance(lent, LentTransport) and lent.front is not None:
            if message.method == _MALFORMED:
                lent.front.refuse_malformed("Parser", 400)
            else:
                lent.use_payload(payload)
        return own.request_factory(message, payload, protocol, *more)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await _answer(request, own.request_handler)

    return web.Server(
        answer,
        request_factory=make_request,
        logger=_aiohttp_log,
        access_log=None,
        tcp_keepalive=False,
        keepalive_timeout=_KEEPALIVE_S,
        max_line_size=MAX_TARGET_BYTES + _MORE_BYTES,
        max_field_size=MAX_FIELD_BYTES + _MORE_BYTES,
        max_headers=MAX_HEADERS + 1,
        auto_decompress=False,  # a compressed body is refused, and not inflated before
    )


async def _answer(request: web.BaseRequest, application: Any) -> web.StreamResponse:
    """Have *application* answer *request*, and say when it has."""
    lent = request.transport
    if not isinstance(lent, LentTransport) or lent.front is None:
        return TakenOver()
    front = lent.front
    try:
        response: web.StreamResponse = await application(request)
        if isinstance(response, TakenOver):
            return response
        if isinstance(response, Unanswered):
            front.abort()
            return TakenOver()
        if lent.body_failed or front.is_last:
            response.force_close()
        await response.prepare(request)
        await response.write_eof()
    except Exception as error:  # noqa: BLE001 - the last resort: logged, and answered with 500
        _fail(request, front, error)
        return TakenOver()
    if lent.front is not None:
        front.answered(keep_alive=bool(response.keep_alive) and not lent.body_failed)
    return response


def _fail(request: web.BaseRequest, front: "Front", error: Exception) -> None:
    """The application, or the writing of its answer, has failed."""
    if isinstance(error, ConnectionError) or request.writer.output_size > 0:
        front.abort()
    else:
        front.refuse(answer_crash(front.node, request.path, error))
