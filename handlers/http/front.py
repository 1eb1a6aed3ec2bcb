"""Reads the requests of one connection. The two hot ones are answered here; aiohttp answers every other.

Opening a stream by ``GET`` and a plain ``POST /v1/events`` need none of aiohttp's objects; docs/design/0005-lean-publish.md
has the figures. A connection serves one request after the other: what comes behind one that is being answered waits.
"""

import asyncio

from aiohttp import web

from sse_push.handlers.http.answers import response_bytes
from sse_push.handlers.http.client_connection import NEVER, ClientConnection
from sse_push.handlers.http.detach import TakenOver
from sse_push.handlers.http.fast_publish import CachedHead, FastPublish
from sse_push.handlers.http.framing import ChunkedBody, MalformedBody, SizedBody
from sse_push.handlers.http.guard import ConnectionGuard
from sse_push.handlers.http.head import HEAD_END, Head, MalformedHead, check_begun, read_head
from sse_push.handlers.http.hot import HotRequests
from sse_push.handlers.http.malformed import answer_malformed
from sse_push.handlers.http.relay import Relay
from sse_push.handlers.http.request import HotRequest
from sse_push.handlers.http.request_checks import refusal_of, refuse
from sse_push.handlers.middleware import Handler, Unanswered, answer
from sse_push.service.node import Node

HEALTH_PATHS = frozenset(["/healthz", "/readyz"])


class Front(ClientConnection):
    """A connection.

    Attributes:
        is_last: The connection ends with the answer to the request that is being answered.
    """

    __slots__ = (
        "_body",
        "_cached_head",
        "_hot",
        "_parts",
        "_publish",
        "_relay",
        "_server",
        "_task",
        "is_last",
    )

    def __init__(self, guard: ConnectionGuard, hot: HotRequests, server: web.Server) -> None:
        super().__init__(guard)
        self._hot = hot
        self._server = server
        self._body: SizedBody | ChunkedBody | None = None  # of the request in hand, of which more is to come
        self._publish: FastPublish | None = None  # whose body comes
        self._parts: list[bytes] | None = None  # of that body
        self._cached_head: CachedHead | None = None
        self._relay: Relay | None = None
        self._task: asyncio.Task[None] | None = None  # opens a stream
        self.is_last = False

    @property
    def node(self) -> Node:
        return self._guard.node

    @property
    def _is_receiving(self) -> bool:
        """The body of the request in hand has not come to its end."""
        return self._body is not None

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._close_relay(exc)
        self._publish = self._cached_head = None

    def eof_received(self) -> bool:
        """The client sends nothing more, and may still read: what it has asked for is answered first."""
        self.half_closed = True
        if self.is_lingering:
            self.transport.close()
            return False
        if self._body is not None and self._relay is not None and self._publish is None:
            self._fail_body("the body breaks off")
        if self._publish is not None:
            self.finish()
        elif not self.is_busy:
            self._read_held()
        return not self.transport.is_closing()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._relay is not None:
            self._relay.protocol.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._relay is not None:
            self._relay.protocol.resume_writing()
        self._read_held()

    def data_received(self, data: bytes) -> None:
        if self.is_lingering:
            return
        if self._body is not None:
            data = self._receive_body(self._body, data)
        if not data:
            return
        if self._held:
            data, self._held = self._held + data, b""
        if self.is_busy or self.unread_since != NEVER:
            self._held = data
            self._update_reading()
        else:
            self._read(data)

    # -- reading -----------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        """Read the request that *data* begins with."""
        cached = self._cached_head
        if cached is not None and (found := cached.find_body(data)) is not None:
            start, length = found
            publish = self._hot.publish_again(cached, length, self._answer_publish)
            if publish is not None:
                self._begin_publish(publish, length, data, start)
                return
        if data[:1] in b"\r\n":  # what some clients send behind a body (RFC 9112, section 2.2)
            data = data.lstrip(b"\r\n")
        end = data.find(HEAD_END) + len(HEAD_END)
        try:
            if end < len(HEAD_END):
                self._wait_for_head(data)
            else:
                self._begin(read_head(data[:end]), data, end)
        except MalformedHead as error:
            self.refuse_malformed(str(error), error.status)

    def _wait_for_head(self, data: bytes) -> None:
        if not data:
            return
        check_begun(data)
        self._held = data
        if self.half_closed:
            self.finish()
        elif self.owes_since == NEVER:
            self.owes_since = asyncio.get_running_loop().time()

    def _read_held(self) -> None:
        """Go on with what came meanwhile, unless it has to wait longer."""
        if self.is_busy or self.unread_since != NEVER or self.is_lingering or self.transport.is_closing():
            return
        data, self._held = self._held, b""
        self._update_reading()
        if data:
            self._read(data)
        elif self.half_closed:
            self.finish()

    def _begin(self, head: Head, data: bytes, end: int) -> None:
        """Have the request answered whose head ends at *end* of *data*."""
        if self.limit is not None and head.path not in HEALTH_PATHS:
            self._guard.refuse(self)
            return
        refusal = refusal_of(head)
        if refusal is not None:
            self.refuse(refuse(self.node, head, refusal))
            return
        self.is_busy = True
        self.owes_since = NEVER
        self.is_last = self.limit is not None or head.asks_for_upgrade
        if (found := self._hot.stream(head)) is not None:
            self._held = data[end:]
            self._open_stream(HotRequest(self, self._hot.app, head, found[1]), found[0])
        elif not self.is_last and (publish := self._hot.publish(head, self._answer_publish)) is not None:
            self._cached_head = CachedHead.of(data[:end], head.headers)
            self._begin_publish(publish, head.length or 0, data, end)
        else:
            self._relay_request(head, data, end)

    # -- bodies ------------------------------------------------------------------------------------

    def _receive_body(self, body: SizedBody | ChunkedBody, data: bytes) -> bytes:
        """Pass on what of *data* belongs to *body*; what comes behind it is returned."""
        try:
            part, rest = body.take(data)
        except MalformedBody:
            self._fail_body("malformed")
            return b""
        publish, relay = self._publish, self._relay
        if publish is None and relay is not None and part:
            relay.protocol.data_received(part)
        elif self._parts is None:
            self._parts = [part]
        else:
            self._parts.append(part)
        if body.is_complete:
            self._body = None
            self.owes_since = NEVER
            if publish is not None:
                whole, self._parts, self._publish = b"".join(self._parts or ()), None, None
                self._start_publish(publish, whole)
            elif relay is not None and relay.is_answered:
                self.answered(keep_alive=True)
        return rest

    def _fail_body(self, why: str) -> None:
        """No more can be read of the body that comes, nor any request behind it."""
        if self._relay is not None:
            self._relay.lent.fail_body(why)
        self._body = None
        self.is_last = True
        self.owes_since = NEVER
        if self._relay is not None and self._relay.is_answered:
            self.finish()

    def _begin_body(self, body: SizedBody | ChunkedBody, data: bytes, start: int) -> None:
        self._body = body
        self._held = self._receive_body(body, data[start:]) if start < len(data) else b""
        if self._is_receiving and not self._has_slow_body:
            self.owes_since = asyncio.get_running_loop().time()
        elif self._held:
            self._after_hold()

    def _after_hold(self) -> None:
        """Something came behind the request in hand, which may be answered already."""
        if self.is_busy:
            self._update_reading()
        else:
            asyncio.get_running_loop().call_soon(self._read_held)

    # -- a plain publish ---------------------------------------------------------------------------

    def _begin_publish(self, publish: FastPublish, length: int, data: bytes, start: int) -> None:
        self.is_busy = True
        self.owes_since = NEVER
        if len(data) == start + length:
            self._start_publish(publish, data[start:])
        else:
            self._publish = publish
            self._begin_body(SizedBody(length), data, start)

    def _start_publish(self, publish: FastPublish, body: bytes) -> None:
        self.node.answering.add(self)
        publish.start(body)

    def _answer_publish(self, data: bytes) -> None:
        self.node.answering.discard(self)
        if not self.transport.is_closing():
            self.transport.write(data)
            self.answered(keep_alive=True)

    # -- opening a stream --------------------------------------------------------------------------

    def _open_stream(self, request: HotRequest, handler: Handler) -> None:
        if self._held:
            self._update_reading()
        self._task = asyncio.get_running_loop().create_task(self._serve(request, handler))

    async def _serve(self, request: HotRequest, handler: Handler) -> None:
        response = await answer(request, handler)
        self._task = None
        if isinstance(response, TakenOver):
            return
        if isinstance(response, Unanswered) or not isinstance(response, web.Response):
            self.abort()
        elif not self.transport.is_closing():
            keep_alive = request.head.keep_alive
            self.transport.write(response_bytes(response, keep_alive=keep_alive))
            self.answered(keep_alive=keep_alive)

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the transport to *protocol*, for good."""
        transport = self.transport
        self._guard.forget(self)
        transport.set_protocol(protocol)
        self._close_relay(None)
        self._held = b""
        if not transport.is_reading():  # else the client's end would go unseen
            transport.resume_reading()
        return transport

    # -- aiohttp's ---------------------------------------------------------------------------------

    def _relay_request(self, head: Head, data: bytes, end: int) -> None:
        if self._relay is None:
            self._relay = Relay(self._server, self)
        self._relay.begin(data[:end])
        if not head.has_body or head.method == "CONNECT":
            self._held = data[end:]
            if self._held:
                self._update_reading()
        else:
            body = ChunkedBody() if head.length is None else SizedBody(head.length)
            self._begin_body(body, data, end)

    def _close_relay(self, error: Exception | None) -> None:
        if self._relay is not None:
            self._relay.close(error)
            self._relay = None

    # -- answers -----------------------------------------------------------------------------------

    def answered(self, *, keep_alive: bool) -> None:
        """The request in hand is answered, to the last byte."""
        if not keep_alive or self.is_last:
            self.finish()
            return
        if self._body is not None and self._relay is not None:
            self._relay.is_answered = True  # aiohttp reads the rest of the body, and drops it
            return
        self.is_busy = self._has_slow_body = False
        self.idle_since = asyncio.get_running_loop().time()
        if self._held or self.half_closed:
            asyncio.get_running_loop().call_soon(self._read_held)  # not at once: a thousand may wait

    def refuse_malformed(self, reason: str, status: int) -> None:
        self.refuse(answer_malformed(self.node, self.address, reason, status))

    def refuse(self, response: web.Response) -> None:
        """Answer with *response*, and end the connection."""
        self.is_busy = True
        self._close_relay(None)
        if not self.transport.is_closing():
            self.transport.write(response_bytes(response, keep_alive=False))
            self.finish()
