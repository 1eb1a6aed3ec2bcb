"""Which connections may be open, and for how long each may owe a request or leave answers unread.

When all sockets are taken, the idlest connection makes room. Where none is idle, a few may still come, to ask for
the node's health: whoever watches it must not take it for dead because it is busy.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable

import structlog

from sse_push.handlers.http.client_connection import ClientConnection
from sse_push.service.descriptors import sockets_allowed
from sse_push.service.node import Node

CHECK_EVERY_S = 1.0  # seconds between looks for connections past their deadline
KEEPALIVE_S = 75.0  # seconds an idle connection between requests stays open: longer than proxies' 60
UNREAD_S = 60.0  # seconds a client may leave answers unread: longer than a phone is in a tunnel
RESERVED_SOCKETS = 64  # sockets beyond all limits, for health checks: the newest, should more come
EVICTED_AT_ONCE = 32  # idle connections found by one look at all; more would be stale when their turn comes
_LOOK_AGAIN_S = 0.1  # seconds until all are looked at again, where none was idle

_log = structlog.get_logger()


_Idle = tuple[float, int, ClientConnection]  # since when, a number that makes it comparable, which


class ConnectionGuard:
    """What is open on this node but not (yet) a stream.

    Attributes:
        open: All that counts; not those in the reserve.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._sockets = sockets_allowed(node.settings)
        self.open: set[ClientConnection] = set()
        self._of_address: defaultdict[str, set[ClientConnection]] = defaultdict(set)
        self._reserve: dict[ClientConnection, None] = {}
        self._idlest: deque[_Idle] = deque()
        self._look_again_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, connection: ClientConnection) -> None:
        """Count a connection; where there is no room, in the reserve."""
        over = self._limit_over(connection)
        if over is None:
            self.open.add(connection)
            self._of_address[connection.counted_as].add(connection)
            return
        connection.limit = over
        self._reserve[connection] = None
        self.node.descriptors.look()
        if len(self._reserve) > RESERVED_SOCKETS:
            self.refuse(next(iter(self._reserve)))

    def refuse(self, connection: ClientConnection) -> None:
        """Close a connection of the reserve: it is wanted for something else, or another needs its place."""
        self._reserve.pop(connection, None)
        self.node.metrics.rejections[connection.limit or ""] += 1
        _log.warning("connection.refused", limit=connection.limit, address=connection.counted_as)
        connection.abort()

    def forget(self, connection: ClientConnection) -> None:
        """A connection is closed, or is a stream now."""
        self._reserve.pop(connection, None)
        self.open.discard(connection)
        of_address = self._of_address[connection.counted_as]
        of_address.discard(connection)
        if not of_address:
            del self._of_address[connection.counted_as]

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self._check)

    def close(self) -> None:
        """Look no more. Connections on which nothing is being answered are closed."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in [*self.open, *self._reserve]:
            connection.close_if_unused()

    def abort_all(self) -> None:
        """Close what is left."""
        for connection in [*self.open, *self._reserve]:
            connection.abort()

    def _limit_over(self, connection: ClientConnection) -> str | None:
        """The limit that one more connection is over, if no other can make room. One address can't take all there is."""
        settings = self.node.settings
        of_address = self._of_address.get(connection.counted_as, ())
        if len(of_address) >= settings.max_connections_per_address and not connection.trusted:
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

    def _find_idlest(self) -> ClientConnection | None:
        """The connection that is idle for longest. Not all are looked at each time: many may come at once."""
        now = asyncio.get_running_loop().time()
        if not self._idlest and now >= self._look_again_at:
            self._idlest.extend(sorted(_idle(self.open))[:EVICTED_AT_ONCE])
            self._look_again_at = now + _LOOK_AGAIN_S
        while self._idlest:
            since, _, connection = self._idlest.popleft()
            if connection in self.open and connection.is_evictable and connection.idle_since == since:
                return connection
        return None

    def _evict(self, connection: ClientConnection, limit: str) -> None:
        self.node.metrics.rejections["idle"] += 1
        _log.info("connection.evicted", limit=limit, address=connection.counted_as)
        self.forget(connection)
        connection.abort()

    def _check(self) -> None:
        self.start()
        self.node.descriptors.look()
        now = asyncio.get_running_loop().time()
        owed_at_latest = now - self.node.settings.request_timeout_s
        for connection in [*self.open, *self._reserve]:
            if connection.owes_since < owed_at_latest:
                self.node.metrics.rejections["request_timeout"] += 1
                _log.info("request.timed_out", address=connection.address)
                connection.abort()
            elif connection.is_closing and connection.unread_since > now:
                connection.unread_since = (
                    now  # closed, and not gone before its client has read what it was told
                )
            elif connection.unread_since < now - UNREAD_S:
                self.node.metrics.rejections["unread_answers"] += 1
                _log.info("connection.unread", address=connection.address)
                connection.abort()
            elif connection.is_idle and connection.idle_since < now - KEEPALIVE_S:
                connection.finish()


def _idle(connections: Iterable[ClientConnection]) -> Iterable[_Idle]:
    return (
        (connection.idle_since, id(connection), connection)
        for connection in connections
        if connection.is_evictable
    )
