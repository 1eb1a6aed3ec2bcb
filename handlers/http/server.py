"""The listening side: a socket with the options that streams need, guarded connections on it."""

import asyncio
import socket

from aiohttp import web

from sse_push.handlers.http.guard import ConnectionGuard
from sse_push.handlers.http.listeners import BACKLOG, SocketPath, listen
from sse_push.handlers.keys import NODE
from sse_push.handlers.lean import LeanParser
from sse_push.handlers.protocol import GuardedHandler
from sse_push.service.hosts import unix_path, url_of


class FrontSite(web.BaseSite):
    """Listens on one address, or one Unix socket, for a runner of the application.

    Args:
        shared: Other processes may listen on it too; the system shares the connections out.
        beside: Another site of the same node: what is open on both is counted together.
        listener: A socket that listens already, another's to close.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        shared: bool = False,
        beside: "FrontSite | None" = None,
        listener: socket.socket | None = None,
    ) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self._host = host
        self.port = port
        self._shared = shared
        self._is_first = beside is None
        self._guard: ConnectionGuard = ConnectionGuard(runner.app[NODE]) if beside is None else beside.guard
        self._given = listener
        self._path: SocketPath | None = None

    @property
    def guard(self) -> ConnectionGuard:
        """What is open, here and beside it."""
        return self._guard

    @property
    def name(self) -> str:
        return url_of(self._host, self.port)

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
        settings = self._guard.node.settings
        listener = self._given or listen(settings, self._host, self.port, shared=self._shared)

        def connect() -> GuardedHandler:
            handler = GuardedHandler(manager, self._guard, loop=loop)
            handler.use_parser(lambda parser: LeanParser(parser, handler, self._guard.node))
            return handler

        path = unix_path(self._host)
        if path is None:
            self.port = listener.getsockname()[1]
            self._server = await loop.create_server(connect, sock=listener, backlog=BACKLOG)
        else:
            self._path = None if self._given else SocketPath(path)
            self._server = await loop.create_unix_server(connect, sock=listener, backlog=BACKLOG)
        if self._is_first:
            self._guard.start()

    async def stop(self) -> None:
        if self._is_first:
            self._guard.close()
        await super().stop()
        if self._path is not None:
            self._path.remove()
