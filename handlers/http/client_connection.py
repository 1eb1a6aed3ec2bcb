"""One client's connection: counted, with deadlines, read only as fast as its answers are, closed so that the last one arrives.

Knows no requests: handlers/http/front.py reads them.
"""

import asyncio
from typing import TYPE_CHECKING, Final, cast

from sse_push.service.addresses import UNIX_PEER, is_in, network_of

if TYPE_CHECKING:
    from sse_push.handlers.http.guard import ConnectionGuard

UNREAD_BYTES = 64 * 1024  # of answers that wait for a client; past it nothing more is read from it
LINGER_S = 5.0  # seconds a client that still sends gets to read its last answer
NEVER: Final = float("inf")


class ClientConnection(asyncio.Protocol):
    """A connection.

    Attributes:
        address: The client's, or its proxy's.
        counted_as: The address that it counts for.
        trusted: A trusted proxy's.
        limit: What it was over when it came; then it may only ask for the node's health.
        owes_since: Since when its client has a request to send whole; ``NEVER`` where it has not.
        unread_since: Since when its client has not read its answers; ``NEVER`` where it has.
        idle_since: When it was last in use, if it is idle.
        half_closed: Its client sends nothing more.
        is_busy: A request of it is being answered.
        is_lingering: All is answered; what its client still sends is dropped.
    """

    __slots__ = (
        "_body_paused",
        "_guard",
        "_has_slow_body",
        "_held",
        "_linger_timer",
        "address",
        "counted_as",
        "half_closed",
        "idle_since",
        "is_busy",
        "limit",
        "owes_since",
        "transport",
        "trusted",
        "unread_since",
    )

    transport: asyncio.Transport

    def __init__(self, guard: "ConnectionGuard") -> None:
        self._guard = guard
        self._held = b""  # what came and has not been read
        self._linger_timer: asyncio.TimerHandle | None = None
        self._body_paused = False
        self._has_slow_body = False
        self.half_closed = False
        self.is_busy = False
        self.limit: str | None = None
        self.unread_since = NEVER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        settings = self._guard.node.settings
        address = str(peer[0]) if isinstance(peer, tuple) else UNIX_PEER
        self.counted_as = network_of(address, settings.ipv6_prefix)
        self.address = (
            self.counted_as if self.counted_as == address else address
        )  # connections share one text
        self.trusted = bool(settings.trusted_proxies) and is_in(self.address, settings.trusted_proxies)
        self.owes_since = self.idle_since = _now()
        self.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._guard.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.forget(self)
        self._held = b""
        if self._linger_timer is not None:
            self._linger_timer.cancel()

    @property
    def open_transport(self) -> asyncio.Transport | None:
        """The transport; ``None`` where it is closed."""
        return None if self.transport.is_closing() else self.transport

    # -- what the guard asks -----------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """It is open, and no request of it has begun."""
        return not (self.is_busy or self._held or self.transport.is_closing())

    @property
    def is_lingering(self) -> bool:
        return self._linger_timer is not None

    @property
    def is_closing(self) -> bool:
        """It is closed but for what its client has not read."""
        return self.transport.is_closing()

    @property
    def is_evictable(self) -> bool:
        """Nobody would miss it: no request of it has begun, and it is nobody's who holds it for others."""
        if self.is_lingering:
            return True
        return self.is_idle and not self.trusted and not self.transport.get_write_buffer_size()

    # -- back pressure -----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        if not self._has_slow_body:  # who reads such a body stops by itself
            self.unread_since = min(self.unread_since, _now())
            self._update_reading()

    def resume_writing(self) -> None:
        self.unread_since = NEVER
        self._update_reading()

    def pause_body(self, *, paused: bool) -> None:
        """Whether the body that comes is to wait for whoever reads it."""
        self._body_paused = paused
        self._update_reading()

    def expect_slow_body(self) -> None:
        """The rest of this request may take as long as it likes."""
        self._has_slow_body = True
        self.owes_since = NEVER

    def _update_reading(self) -> None:
        """Read from the client, or don't."""
        waits = self._body_paused or self.unread_since != NEVER or (self.is_busy and self._held)
        transport = self.transport
        if transport.is_closing() or transport.is_reading() != bool(waits):
            return
        if waits:
            transport.pause_reading()
        else:
            transport.resume_reading()

    # -- its end -----------------------------------------------------------------------------------

    def abort(self) -> None:
        self.transport.abort()

    def close_if_unused(self) -> None:
        """Close it, unless something is being answered."""
        if self.is_lingering or not self.is_busy:
            self.transport.close()

    def finish(self) -> None:
        """Say that this was all, and drop what still comes for a while.

        A connection closed over bytes that nobody read is reset, and the reset takes the answer with it
        (RFC 9112, section 9.6).
        """
        transport = self.transport
        if transport.is_closing() or self.is_lingering:
            return
        self._held = b""
        self.owes_since = NEVER
        if self.half_closed or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()
        self._linger_timer = asyncio.get_running_loop().call_later(LINGER_S, transport.close)


def _now() -> float:
    return asyncio.get_running_loop().time()
