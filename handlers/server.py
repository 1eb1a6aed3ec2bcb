"""The listening side: sockets with the options streams need, connections that are counted and have deadlines.

aiohttp has no limit on how long a client may take to send its request, nor on how many may be open; its own
log and error pages quote malformed requests, tokens and all. This module gives its protocol the three.
"""

import asyncio
import socket
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD

from handlers.errors import problem
from handlers.keys import NODE
from service.node import Node

BACKLOG = 4096  # connections that may wait to be accepted: a fleet coming back at once
KEEPALIVE_S = 75.0  # seconds an idle connection between requests stays open: longer than proxies' 60
CHECK_EVERY_S = 1.0  # seconds between looks for connections past their deadline
MAX_LINE_BYTES = 8190  # of a request line or header line: a URL with a token; what nginx and Apache take
MAX_HEADERS = 64  # lines of a request's head; browsers send about 20

_log = structlog.get_logger()


class Guard:
    """What is open on this node but not (yet) a stream, and since when each owes the rest of a request."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.open: set[GuardedHandler] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        return len(self.open) + len(self.node.connections) >= self.node.settings.socket_limit

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self._check)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self.start()
        latest = asyncio.get_running_loop().time() - self.node.settings.request_timeout_s
        for handler in [handler for handler in self.open if handler.owes_since < latest]:
            self.node.figures.refusals["request_timeout"] += 1
            _log.info("request.timed_out", address=handler.address)
            handler.abort()


_NEVER: Final = float("inf")


class GuardedHandler(web.RequestHandler):
    """aiohttp's protocol for one connection, counted, with a deadline for its requests."""

    __slots__ = ("_body", "_guard", "owes_since")

    def __init__(self, manager: web.Server, guard: Guard, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._guard = guard
        self._body: Any = EMPTY_PAYLOAD
        self.owes_since = _NEVER

    @property
    def address(self) -> str:
        peer = self.peername
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._guard.full:
            self._guard.node.figures.refusals["sockets"] += 1
            _log.warning("connection.refused", limit="sockets")
            transport.abort()  # type: ignore[attr-defined]
            return
        super().connection_made(transport)
        self._guard.open.add(self)
        self.owes_since = self._loop.time()

    def connection_lost(self, exc: BaseException | None) -> None:
        # One that was refused never was aiohttp's.
        if self in self._guard.open:
            self._guard.open.discard(self)
            self._body = EMPTY_PAYLOAD
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before and self._messages:
            self._body = self._messages[-1][1]
        elif self._body.is_eof() and self._current_request is None and self.owes_since == _NEVER:
            self.owes_since = self._loop.time()  # the head of another request has begun
            return
        if self._body.is_eof():
            self.owes_since = _NEVER

    def abort(self) -> None:
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def expect_slow_body(self) -> None:
        """The rest of this request may take as long as it likes."""
        self._body = EMPTY_PAYLOAD
        self.owes_since = _NEVER

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed or crashed, without a word of what it was."""
        if status >= 500:
            _log.error("request.crashed", exc_info=exc)
        else:
            _log.info("request.malformed", address=self.address, error=type(exc).__name__)
        self._guard.node.figures.requests[status] += 1
        response = problem(status, "the request is malformed" if status < 500 else "crashed", "")
        response.force_close()
        return response


def expect_slow_body(request: web.Request) -> None:
    """Let the body of *request* come as slowly as its sender has something to say."""
    handler = request.protocol
    if isinstance(handler, GuardedHandler):
        handler.expect_slow_body()


class GuardedSite(web.BaseSite):
    """Listens on one address for a runner of the application."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self._host = host
        self._port = port
        self.port = port
        self._guard = Guard(runner.app[NODE])

    @property
    def name(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The address is taken, or not this machine's.
        """
        await super().start()
        loop = asyncio.get_running_loop()
        manager = self._runner.server
        if manager is None:
            raise RuntimeError("set the runner up first")
        listener = _listen(self._host, self._port, self._guard.node)
        self.port = listener.getsockname()[1]

        def connect() -> GuardedHandler:
            return GuardedHandler(
                manager,
                self._guard,
                loop=loop,
                access_log=None,
                keepalive_timeout=KEEPALIVE_S,
                max_line_size=MAX_LINE_BYTES,
                max_field_size=MAX_LINE_BYTES,
                max_headers=MAX_HEADERS,
            )

        self._server = await loop.create_server(connect, sock=listener, backlog=BACKLOG)
        self._guard.start()

    async def stop(self) -> None:
        self._guard.close()
        await super().stop()


def _listen(host: str, port: int, node: Node) -> socket.socket:
    """A listening socket; what is accepted on it inherits its options, so no stream pays for them."""
    settings = node.settings
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A heartbeat that is not acknowledged for this long ends the connection (RFC 5482).
    unheard_ms = round((settings.dead_peer_s - settings.heartbeat_s) * 1000)
    for option, value in (
        ("TCP_USER_TIMEOUT", unheard_ms),
        ("TCP_KEEPIDLE", max(1, round(settings.heartbeat_s))),
        ("TCP_KEEPINTVL", max(1, round(settings.heartbeat_s))),
    ):
        if hasattr(socket, option):  # Linux has all; elsewhere the system's own times hold
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return listener
