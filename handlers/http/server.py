"""The listening side: a socket with the options that streams need, a front for each connection on it."""

import asyncio
import socket

from aiohttp import web

from sse_push.handlers.http.front import Front
from sse_push.handlers.http.guard import ConnectionGuard
from sse_push.handlers.http.hot import HotRequests
from sse_push.handlers.http.listeners import BACKLOG, SocketPath, listen
from sse_push.handlers.http.relay import new_server
from sse_push.handlers.keys import NODE
from sse_push.service.hosts import unix_path, url_of

UNANSWERED_REQUESTS_S = 1.0  # seconds for requests still unanswered after the drain; then they are aborted


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
        self._app_runner = runner
        self._node = runner.app[NODE]
        self._beside = beside
        self._guard: ConnectionGuard = ConnectionGuard(self._node) if beside is None else beside.guard
        self._listener = listener
        self._path: SocketPath | None = None
        self._listening: asyncio.Server | None = None
        self._aiohttp_server: web.Server | None = None

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
        server = self._aiohttp_server = new_server(self._app_runner)
        hot = HotRequests(self._app_runner.app)
        guard = self._guard
        listener = self._listener or listen(self._node.settings, self._host, self.port, shared=self._shared)

        def connect() -> Front:
            return Front(guard, hot, server)

        path = unix_path(self._host)
        if path is None:
            self.port = listener.getsockname()[1]
            self._listening = await loop.create_server(connect, sock=listener, backlog=BACKLOG)
        else:
            self._path = None if self._listener else SocketPath(path)
            self._listening = await loop.create_unix_server(connect, sock=listener, backlog=BACKLOG)
        if self._beside is None:
            guard.start()

    async def stop(self) -> None:
        """Listen no more. The node drains; what is unanswered after that is aborted."""
        if self._listening is not None:
            self._listening.close()
        if self._beside is None:
            self._guard.close()
        await self._node.drain()
        if self._aiohttp_server is not None:
            await self._aiohttp_server.shutdown(UNANSWERED_REQUESTS_S)
        if self._beside is None:
            self._guard.abort_all()
        await super().stop()
        if self._path is not None:
            self._path.remove()
