"""The listening side: a socket with the options that streams need, guarded connections on it."""

import asyncio
import socket

from aiohttp import web

from handlers.guard import Guard
from handlers.keys import NODE
from handlers.lean import LeanParser
from handlers.protocol import GuardedHandler
from service.node import Node

BACKLOG = 4096  # connections that may wait to be accepted: a fleet coming back at once


class GuardedSite(web.BaseSite):
    """Listens on one address for a runner of the application.

    Args:
        shared: Other processes may listen on it too; the system shares the connections out.
    """

    def __init__(self, runner: web.AppRunner, host: str, port: int, *, shared: bool = False) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self._host = host
        self._port = port
        self.port = port
        self._shared = shared
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
        listener = _listen(self._host, self._port, self._guard.node, shared=self._shared)
        self.port = listener.getsockname()[1]

        def connect() -> GuardedHandler:
            handler = GuardedHandler(manager, self._guard, loop=loop)
            handler.use_parser(lambda parser: LeanParser(parser, handler, self._guard.node))
            return handler

        self._server = await loop.create_server(connect, sock=listener, backlog=BACKLOG)
        self._guard.start()

    async def stop(self) -> None:
        self._guard.close()
        await super().stop()


def _listen(host: str, port: int, node: Node, *, shared: bool) -> socket.socket:
    """A listening socket; what is accepted on it inherits its options, so no stream pays for them."""
    settings = node.settings
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
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
