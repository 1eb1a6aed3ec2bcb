"""Which connections may be open, and for how long each may owe a request or leave answers unread.

When all sockets are taken, the idlest connection makes room. Where none is idle, a few may still come, to ask for
the node's health: whoever watches it must not take it for dead because it is busy.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable

import structlog

from sse_push.handlers.protocol import GuardedHandler
from sse_push.service.descriptors import sockets_allowed
from sse_push.service.node import Node

CHECK_EVERY_S = 1.0  # seconds between looks for connections past their deadline
UNREAD_S = 60.0  # seconds a client may leave answers unread: longer than a phone is in a tunnel
RESERVED_SOCKETS = 64  # sockets beyond all limits, for health checks: the newest, should more come
EVICTED_AT_ONCE = 32  # idle connections found by one look at all; more would be stale when their turn comes
_LOOK_AGAIN_S = 0.1  # seconds until all are looked at again, where none was idle

_log = structlog.get_logger()


_Idle = tuple[float, int, GuardedHandler]  # since when, a number that makes it comparable, which


class ConnectionGuard:
    """What is open on this node but not (yet) a stream.

    Attributes:
        open: All that counts; not those in the reserve.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._sockets = sockets_allowed(node.settings)
        self.open: set[GuardedHandler] = set()
        self._of_address: defaultdict[str, set[GuardedHandler]] = defaultdict(set)
        self._reserve: dict[GuardedHandler, None] = {}
        self._idlest: deque[_Idle] = deque()
        self._look_again_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, handler: GuardedHandler) -> None:
        """Count a connection; where there is no room, in the reserve."""
        over = self._limit_over(handler)
        if over is None:
            self.open.add(handler)
            self._of_address[handler.counted_as].add(handler)
            return
        handler.limit = over
        self._reserve[handler] = None
        self.node.descriptors.look()
        if len(self._reserve) > RESERVED_SOCKETS:
            self.refuse(next(iter(self._reserve)))

    def refuse(self, handler: GuardedHandler) -> None:
        """Close a connection of the reserve: it is wanted for something else, or another needs its place."""
        self._reserve.pop(handler, None)
        self.node.metrics.rejections[handler.limit or ""] += 1
        _log.warning("connection.refused", limit=handler.limit, address=handler.counted_as)
        handler.abort()

    def forget(self, handler: GuardedHandler) -> None:
        """A connection is closed, or is a stream now."""
        self._reserve.pop(handler, None)
        self.open.discard(handler)
        of_address = self._of_address[handler.counted_as]
        of_address.discard(handler)
        if not of_address:
            del self._of_address[handler.counted_as]

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self._check)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _limit_over(self, handler: GuardedHandler) -> str | None:
        """The limit that one more connection is over, if no other can make room. One address can't take all there is."""
        settings = self.node.settings
        of_address = self._of_address.get(handler.counted_as, ())
        if len(of_address) >= settings.max_connections_per_address and not handler.trusted:
            idlest = min(_idle(of_address), default=None)
            if idlest is None:
                return "sockets_of_address"
            self._evict(idlest[2], "sockets_of_address")
        if len(self.open) + len(self.node.connections) >= self._sockets:
            found = self._find_idlest()
            if found is None:
                return "sockets"
            self._evict(found, "sockets")
        return None

    def _find_idlest(self) -> GuardedHandler | None:
        """The connection that is idle for longest. Not all are looked at each time: many may come at once."""
        now = asyncio.get_running_loop().time()
        if not self._idlest and now >= self._look_again_at:
            self._idlest.extend(sorted(_idle(self.open))[:EVICTED_AT_ONCE])
            self._look_again_at = now + _LOOK_AGAIN_S
        while self._idlest:
            since, _, handler = self._idlest.popleft()
            if handler in self.open and handler.is_evictable and handler.idle_since == since:
                return handler
        return None

    def _evict(self, handler: GuardedHandler, limit: str) -> None:
        self.node.metrics.rejections["idle"] += 1
        _log.info("connection.evicted", limit=limit, address=handler.counted_as)
        self.forget(handler)
        handler.abort()

    def _check(self) -> None:
        self.start()
        self.node.descriptors.look()
        now = asyncio.get_running_loop().time()
        owed_at_latest = now - self.node.settings.request_timeout_s
        for handler in [*self.open, *self._reserve]:
            if handler.owes_since < owed_at_latest:
                self.node.metrics.rejections["request_timeout"] += 1
                _log.info("request.timed_out", address=handler.address)
                handler.abort()
            elif handler.is_closing and handler.unread_since > now:
                handler.unread_since = now  # closed, and not gone before its client has read what it was told
            elif handler.unread_since < now - UNREAD_S:
                self.node.metrics.rejections["unread_answers"] += 1
                _log.info("connection.unread", address=handler.address)
                handler.abort()


def _idle(handlers: Iterable[GuardedHandler]) -> Iterable[_Idle]:
    return ((handler.idle_since, id(handler), handler) for handler in handlers if handler.is_evictable)
