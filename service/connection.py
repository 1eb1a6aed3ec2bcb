"""One open stream: a transport, and how it ends.

An ``asyncio.Protocol`` of a few slots that owns its transport: no task, timer, queue or lock of its own
(docs/design/0001-one-write-per-turn.md). Knows nothing of HTTP but that a chunked response ends with the
last chunk; what it is fed, and when it beats, is seen to by service/connections.py.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sse_push.events import wire
from sse_push.events.router import EncodingGroup, Subscription
from sse_push.service.identity import Caller

if TYPE_CHECKING:
    from sse_push.service.connections import Connections
    from sse_push.service.streams.base import Visit


class Connection(asyncio.Protocol):
    """One open stream. As a :class:`sse_push.events.router.Subscriber` it is fed by writing to it.

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
        visits: Who wants to hear when it opens and closes; for most streams nobody.
    """

    __slots__ = (
        "_connections",
        "address",
        "caller_id",
        "draining",
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
        "slot",
        "subject",
        "subscription",
        "transport",
        "visits",
        "write",
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
        self.draining: asyncio.Future[None] | None = None
        self.visits: Sequence[Visit] = ()

    def attach(self, transport: asyncio.Transport) -> None:
        """Take *transport* over."""
        self.transport = transport
        self.write = transport.write

    def go_live(self) -> None:
        """Its past is written, or handed to the transport."""
        self.live = True
        if self.draining is None:
            self._bypass()
        # It says so, now and later, as soon as anything waits there.
        self.transport.set_write_buffer_limits(high=0)

    def send(self, frames: bytes) -> None:
        """Write *frames*, unless it has ended: for what feeds a stream instead of the router."""
        if not self.reason:
            self.write(self.encoding.wrap(frames))

    def end(self, reason: str, farewell: bytes = b"") -> None:
        """Say *farewell*, flush, end the response and close. The first reason given is the one logged."""
        if self.reason:
            return
        self._leave(reason)
        if farewell or self.last:
            self.write(self.encoding.wrap(farewell + self.last))
        if self.encoding.chunked:
            self.write(wire.LAST_CHUNK)
        self.transport.close()

    def cut(self, reason: str) -> None:
        """Close at once, dropping what waits: the client resumes from the last id it has seen."""
        self._leave(reason)
        self.transport.abort()

    def _leave(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.live = False
        self.fd = -1
        if self.subscription is not None:
            self.subscription.close()
        for visit in self.visits:
            visit.closed()
        if self.draining is not None and not self.draining.done():
            self.draining.set_result(None)

    # -- asyncio.Protocol: the transport's side ----------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """A stream's client has nothing more to say."""

    def eof_received(self) -> bool:
        # Its own side is closed: most often it has left. One that has not gets an end in order; what waits for one
        # that does not read is dropped, for it would keep the slot of one that is gone.
        if self.transport.get_write_buffer_size():
            self.cut("client_closed")
        else:
            self.end("client_closed")
        return False

    def pause_writing(self) -> None:
        self.fd = -1
        self.write = self._write_behind
        if self.live:
            self._look_if_slow()
        elif not self.reason and self.draining is None:
            self.draining = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self.draining is not None and not self.draining.done():
            self.draining.set_result(None)
        self.draining = None
        self.write = self.transport.write
        if self.live:
            self._bypass()

    def connection_lost(self, exc: Exception | None) -> None:
        timed_out = isinstance(exc, TimeoutError)
        self._leave("peer_lost" if timed_out else "client_reset" if exc else "client_closed")
        self._connections.forget(self)

    def _bypass(self) -> None:
        """Nothing waits in the transport: its socket may be written to."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and self.transport.get_extra_info("sslcontext") is None:
            self.fd = sock.fileno()

    def _write_behind(self, data: bytes) -> None:
        self.transport.write(data)
        self._look_if_slow()

    def _look_if_slow(self) -> None:
        if self._connections.is_slow(self):
            # Not at once: the router may be walking the set this connection is about to leave.
            asyncio.get_running_loop().call_soon(self._cut_if_slow)

    def _cut_if_slow(self) -> None:
        if not self.reason and self._connections.is_slow(self):
            self.cut("slow_reader")
