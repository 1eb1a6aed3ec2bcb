"""Taking a connection away from aiohttp once a stream begins, so that it costs 2 KB and not 12.

Touches what aiohttp does not document (guard.py and lean.py touch other parts of it): that its protocol forgets a connection whose
``transport`` is ``None``. tests/handlers/http/test_detach.py checks it against the versions that setup.cfg
allows. Where it is not as known, aiohttp's protocol stays beside ours until the end: larger, not wrong.
"""

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter


class TakenOver(web.StreamResponse):
    """What the handler returns for a stream: aiohttp writes nothing, and believes it done."""

    def __init__(self, lost: asyncio.Future[None] | None) -> None:
        super().__init__()
        self._lost = lost

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if self._lost is not None:  # aiohttp closes the transport after this
            await self._lost


def can_detach(handler: object) -> bool:
    """Whether aiohttp's protocol is as this module knows it."""
    return hasattr(type(handler), "transport") and hasattr(handler, "force_close")


def take_over(request: web.Request, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, TakenOver]:
    """Give the request's transport to *protocol*; the response is for aiohttp.

    Raises:
        ConnectionResetError: The client is gone already.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    handler = request.protocol
    lost = None
    if can_detach(handler):
        transport.set_protocol(protocol)
        handler.transport = None  # or aiohttp would close it
        handler.connection_lost(None)
    else:
        lost = asyncio.get_running_loop().create_future()
        transport.set_protocol(_Beside(protocol, handler, lost))
    if not transport.is_reading():  # paused by pipelined requests: the client's end would go unseen
        transport.resume_reading()
    return transport, TakenOver(lost)


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
