"""One open stream: its transport, its state, and how it is closed.

An ``asyncio.Protocol`` of a few slots that owns its transport: no task, timer, queue or lock of its own
(docs/design/0001-one-write-per-turn.md). Knows nothing of HTTP but that a chunked response ends with the
last chunk. service/connections.py replays events to it and sends its heartbeats.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from sse_push.events import wire
from sse_push.events.event import Event
from sse_push.events.router import EncodingGroup, Subscription
from sse_push.service.identity import Caller

if TYPE_CHECKING:
    from sse_push.service.connections import Connections


class StreamSession(Protocol):
    """One stream of a :class:`sse_push.service.streams.base.SessionStream`, from the request for it until it is closed."""

    @property
    def keys(self) -> Sequence[str]:
        """Routing keys of the events that the session adds to the stream: the engine subscribes to them while it is open."""

    def greeting(self) -> Event:
        """The event that the stream begins with."""

    def opened(self, connection: "Connection") -> None:
        """The stream is live."""

    def closed(self) -> None:
        """The stream is closed, or was never opened. May be called more than once."""


class Connection(asyncio.Protocol):
    """One open stream. It is a :class:`sse_push.events.router.Subscriber`.

    Attributes:
        caller_id: Who opened it; ``None`` without a token.
        key_id, generation: Of the token that opened it (:class:`sse_push.service.identity.Caller`).
        subject: The user or client it is for, most often the caller.
        keys: The routing keys that the engine hears for it.
        resumable: Its events have ids.
        fd: The socket, to be written to past the transport; -1 while something waits there, or it is ending.
        write: The transport's own, unless something waits there; whole frames only, framed as :attr:`encoding` says.
        live: Its past is written; it gets events as they come.
        last: Frames that end it, whatever else does. One that has some ends by itself and is not resumed.
        sessions: Called when it opens and closes; most streams have none.
    """

    __slots__ = (
        "_connections",
        "address",
        "caller_id",
        "encoding",
        "expires",
        "fd",
        "generation",
        "key_id",
        "keys",
        "kind",
        "last",
        "live",
        "opened",
        "reason",
        "request_id",
        "resumable",
        "sessions",
        "slot",
        "subject",
        "subscription",
        "transport",
        "write",
        "write_resumed",
    )  # fmt: skip

    transport: asyncio.Transport
    write: Callable[[bytes], None]

    def __init__(
        self,
        connections: "Connections",
        kind: str,
        encoding: EncodingGroup,
        caller: Caller,
        address: str,
        request_id: str,
        last: bytes = b"",
    ) -> None:
        self._connections = connections
        self.kind = kind
        self.encoding = encoding
        self.caller_id = caller.user_id
        self.expires = caller.expires
        self.key_id = caller.key_id
        self.generation = caller.generation
        self.address = address
        self.request_id = request_id
        self.keys: Sequence[str] = ()
        self.resumable = False
        self.last = last
        self.subject: str | None = None
        self.fd = -1
        self.opened = 0.0
        self.reason = ""
        self.slot = 0
        self.live = False
        self.subscription: Subscription | None = None
        self.write_resumed: asyncio.Future[None] | None = None
        self.sessions: Sequence[StreamSession] = ()

    def attach(self, transport: asyncio.Transport) -> None:
        """Take over *transport*."""
        self.transport = transport
        self.write = transport.write

    def go_live(self) -> None:
        """The replay is written, or in the transport's buffer."""
        self.live = True
        if self.write_resumed is None:
            self._bypass()
        # With a high-water mark of 0 the transport calls pause_writing as soon as it buffers anything.
        self.transport.set_write_buffer_limits(high=0)

    def send(self, frames: bytes) -> None:
        """Write *frames*, unless it has ended: for what feeds a stream instead of the router."""
        if not self.reason:
            self.write(self.encoding.wrap(frames))

    def end(self, reason: str, final_frames: bytes = b"") -> None:
        """Write *final_frames*, flush, end the response and close. The first reason given is logged."""
        if self.reason:
            return
        self._leave(reason)
        if final_frames or self.last:
            self.write(self.encoding.wrap(final_frames + self.last))
        if self.encoding.chunked:
            self.write(wire.LAST_CHUNK)
        self.transport.close()

    def abort(self, reason: str) -> None:
        """Close at once and drop the write buffer: the client resumes from the last id it has seen."""
        self._leave(reason)
        self.transport.abort()

    def _leave(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.live = False
        self.fd = -1
        if self.subscription is not None:
            self.subscription.close()
        for session in self.sessions:
            session.closed()
        if self.write_resumed is not None and not self.write_resumed.done():
            self.write_resumed.set_result(None)

    # -- asyncio.Protocol: the transport's side ----------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Ignore what a client sends after its request."""

    def eof_received(self) -> bool:
        # The client closed its side; most have left. One that still reads gets an orderly end. A full write buffer
        # is dropped: a client that is gone would hold its slot until it drains.
        if self.transport.get_write_buffer_size():
            self.abort("client_closed")
        else:
            self.end("client_closed")
        return False

    def pause_writing(self) -> None:
        self.fd = -1
        self.write = self._write_behind
        if self.live:
            self._check_if_slow()
        elif not self.reason and self.write_resumed is None:
            self.write_resumed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self.write_resumed is not None and not self.write_resumed.done():
            self.write_resumed.set_result(None)
        self.write_resumed = None
        self.write = self.transport.write
        if self.live:
            self._bypass()

    def connection_lost(self, exc: Exception | None) -> None:
        timed_out = isinstance(exc, TimeoutError)
        self._leave("peer_lost" if timed_out else "client_reset" if exc else "client_closed")
        self._connections.unregister(self)

    def _bypass(self) -> None:
        """The transport's buffer is empty: the socket may be written to directly."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and self.transport.get_extra_info("sslcontext") is None:
            self.fd = sock.fileno()

    def _write_behind(self, data: bytes) -> None:
        self.transport.write(data)
        self._check_if_slow()

    def _check_if_slow(self) -> None:
        if self._connections.is_slow(self):
            # Later: the router may be iterating over the set that holds this connection.
            asyncio.get_running_loop().call_soon(self._abort_if_slow)

    def _abort_if_slow(self) -> None:
        if not self.reason and self._connections.is_slow(self):
            self.abort("slow_reader")
