"""Taking a connection over from whoever reads its requests once a stream begins, so that it costs 2 KB and not 12.

Behind a front (handlers/http/front.py) the connection is handed over. Where the application runs in a plain aiohttp
runner, aiohttp's protocol stays beside ours until the end: larger, not wrong.
"""

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

if TYPE_CHECKING:
    from sse_push.handlers.http.front import Front
    from sse_push.handlers.http.request import AnyRequest


class TakenOver(web.StreamResponse):
    """What a handler returns for a stream: aiohttp writes nothing, and believes it done.

    Args:
        lost: Done when the connection is lost, where aiohttp must not close it before.
    """

    def __init__(self, lost: asyncio.Future[None] | None = None) -> None:
        super().__init__()
        self._lost = lost

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if self._lost is not None:  # aiohttp closes the transport after this
            await self._lost


DETACHED = TakenOver()  # one for all: to make one costs more than to hand a connection over


def front_of(request: "AnyRequest | web.BaseRequest") -> "Front | None":
    """The front of the connection that *request* came on; ``None`` in a plain aiohttp runner."""
    front: Front | None = getattr(request, "front", None) or getattr(request.transport, "front", None)
    return front


def take_over(request: "AnyRequest", protocol: asyncio.Protocol) -> tuple[asyncio.Transport, TakenOver]:
    """Give the request's transport to *protocol*; the response is for whoever called the handler.

    Raises:
        ConnectionResetError: The client is gone already.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    front = front_of(request)
    if front is not None:
        return front.hand_over(protocol), DETACHED
    lost = asyncio.get_running_loop().create_future()
    transport.set_protocol(_Beside(protocol, request.protocol, lost))  # type: ignore[union-attr]
    if not transport.is_reading():  # paused by pipelined requests: the client's end would go unseen
        transport.resume_reading()
    return transport, TakenOver(lost)


def is_half_closed(request: "AnyRequest") -> bool:
    """Whether the client of *request* sends nothing more."""
    front = front_of(request)
    return front is not None and front.half_closed


def expect_slow_body(request: web.Request) -> None:
    """Let the body of *request* come as slowly as its sender has something to say."""
    front = front_of(request)
    if front is not None:
        front.expect_slow_body()


class _Beside(asyncio.Protocol):
    """Ours and aiohttp's protocol on one transport: ours does the work, both learn of the end."""

    def __init__(
        self, ours: asyncio.Protocol, theirs: asyncio.BaseProtocol, lost: asyncio.Future[None]
    ) -> None:
        self._ours = ours
        self._theirs = theirs
        self._lost = lost

    def eof_received(self) -> bool | None:
        return self._ours.eof_received()

    def pause_writing(self) -> None:
        self._ours.pause_writing()

    def resume_writing(self) -> None:
        self._ours.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ours.connection_lost(exc)
        if not self._lost.done():
            self._lost.set_result(None)
        self._theirs.connection_lost(exc)
