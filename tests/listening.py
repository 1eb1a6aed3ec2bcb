"""A service in this process on a guarded site and a real port, and plain sockets to it."""

import asyncio
import socket
from contextlib import suppress
from typing import Any

from aiohttp import web

from sse_push.handlers.http.server import FrontSite
from sse_push.handlers.keys import NODE
from sse_push.service.node import Node
from tests.clock import DEADLINE_S


class Peer:
    """A plain socket to a server, for what an HTTP client would not send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> str:
        """The head of an answer, status line and all."""
        async with asyncio.timeout(DEADLINE_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def chunk(self) -> bytes:
        """The next HTTP chunk; the last one is empty."""
        async with asyncio.timeout(DEADLINE_S):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def answer(self) -> tuple[str, bytes]:
        """Head and body of an answer that tells its length."""
        head = await self.head()
        [length] = [line[16:] for line in head.split("\r\n") if line.lower().startswith("content-length: ")]
        async with asyncio.timeout(DEADLINE_S):
            return head, await self.reader.readexactly(int(length))

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection; a reset counts as closing."""
        got = b""
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                while part := await self.reader.read(65536):
                    got += part
        return got

    def abort(self) -> None:
        self.writer.transport.abort()


class Listening:
    """A service on a guarded site and a real port."""

    def __init__(self, app: web.Application, runner: web.AppRunner, site: Any) -> None:
        self.node: Node = app[NODE]
        self.runner = runner
        self.site = site
        self.port: int = site.port if isinstance(site, FrontSite) else runner.addresses[0][1]
        self._peers: list[Peer] = []

    async def connect(self, data: bytes = b"", *, receive_bytes: int = 0, send_bytes: int = 0) -> Peer:
        """Connect and send *data*; the others bound what the kernel holds for a peer that does not read, or is not read."""
        plain = socket.socket()
        if send_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
        if receive_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self.port))
        peer = Peer(*await asyncio.open_connection(sock=plain))
        self._peers.append(peer)
        await peer.send(data)
        return peer

    async def close(self) -> None:
        for peer in self._peers:
            peer.writer.close()
            with suppress(ConnectionError):
                await peer.writer.wait_closed()
        await self.runner.cleanup()
