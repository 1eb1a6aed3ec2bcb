"""Streams read over bare sockets, to the letter of docs/protocol.md.

Imports nothing of the service. Stricter than a browser: a write that is no whole frame, or a line that is
not written as docs/protocol.md says, fails the test.
"""

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, cast

from tests.ports import HOST
from tests.process import ServerProcess

READ_WITHIN_S = 15.0
_FIELD = re.compile(r"(id|event|data|retry): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; ``data`` is ``None`` where it has no data line."""

    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry: int | None = None

    @property
    def json(self) -> Any:
        assert self.data is not None
        return json.loads(self.data)


def number(id_: str) -> int:
    """The place of an id in the one order of its store."""
    return int(id_.rpartition("-")[2])


def parse_frames(body: bytes) -> list[Frame]:
    """The frames of one write, comments left out.

    Raises:
        AssertionError: It is not made of whole frames in the protocol's form.
    """
    text = body.decode()
    assert text.endswith("\n\n"), f"a write that ends within a frame: {text[-200:]!r}"
    assert "\r" not in text and "\0" not in text
    blocks = [block for block in text[:-2].split("\n\n") if block != ": hb"]
    return [_parse_frame(block.split("\n")) for block in blocks]


def _parse_frame(lines: list[str]) -> Frame:
    fields: dict[str, list[str]] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        assert found, f"not a line of a frame: {line!r}"
        fields.setdefault(found[1], []).append(found[2])
    assert all(len(values) == 1 for name, values in fields.items() if name != "data"), fields
    return Frame(
        id=fields["id"][0] if "id" in fields else None,
        event=fields["event"][0] if "event" in fields else None,
        data="\n".join(fields["data"]) if "data" in fields else None,
        retry=int(fields["retry"][0]) if "retry" in fields else None,
    )


async def connect(
    server: ServerProcess, *, source: str = HOST, receive_buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection, from the loopback address *source*, with a receive buffer of its own size."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((source, 0))
        async with asyncio.timeout(READ_WITHIN_S):
            await asyncio.get_running_loop().sock_connect(sock, (HOST, server.port))
        return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes the connection; a reset is closing too."""
    got = b""
    async with asyncio.timeout(READ_WITHIN_S):
        with suppress(ConnectionError):
            while part := await reader.read(65_536):
                got += part
    return got


class Stream:
    """One connection to a stream; ``head`` is as it came, ``status`` and ``headers`` out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: list[Frame] = []
        first, *lines = head.decode().rstrip("\r\n").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @classmethod
    async def open(
        cls,
        server: ServerProcess,
        target: str,
        token: str | None = None,
        *,
        last_id: str | None = None,
        source: str = HOST,
        receive_buffer: int = 0,
    ) -> Self:
        """Ask for *target* and read the head of the answer."""
        reader, writer = await connect(server, source=source, receive_buffer=receive_buffer)
        try:
            lines = [f"GET {target} HTTP/1.1", f"Host: {HOST}"]
            lines += [f"Authorization: Bearer {token}"] if token else []
            lines += [f"Last-Event-ID: {last_id}"] if last_id else []
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            async with asyncio.timeout(READ_WITHIN_S):
                return cls(reader, writer, await reader.readuntil(b"\r\n\r\n"))
        except BaseException:
            writer.transport.abort()
            raise

    async def body(self) -> bytes:
        """The body of an answer that is no stream."""
        async with asyncio.timeout(READ_WITHIN_S):
            return await self._reader.readexactly(int(self.headers["content-length"]))

    async def chunk(self) -> bytes:
        """The next HTTP chunk; empty when the response has ended as it should.

        Raises:
            ConnectionError: It broke off.
        """
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                body = await self._reader.readexactly(size + 2)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("broke off") from error
        assert body.endswith(b"\r\n")
        return body[:-2]

    async def frame(self) -> Frame | None:
        """The next frame, comments left out; ``None`` when the response has ended as it should."""
        while not self._waiting:
            body = await self.chunk()
            if not body:
                return None
            self._waiting = parse_frames(body)
        return self._waiting.pop(0)

    async def event(self) -> Frame:
        """The next frame with data."""
        while True:
            frame = await self.frame()
            assert frame is not None, "the stream ended"
            if frame.data is not None:
                return frame

    async def events(self, count: int) -> list[Frame]:
        return [await self.event() for _ in range(count)]

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self._frames()

    async def _frames(self) -> AsyncIterator[Frame]:
        while (frame := await self.frame()) is not None:
            yield frame

    def stop_reading(self) -> None:
        """Take nothing more, so that what comes piles up on the way."""
        self._transport.pause_reading()

    def go_on_reading(self) -> None:
        self._transport.resume_reading()

    @property
    def _transport(self) -> asyncio.Transport:
        return cast(asyncio.Transport, self._writer.transport)

    @property
    def socket(self) -> socket.socket:
        return cast(socket.socket, self._writer.get_extra_info("socket"))

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close with a RST: what lingers is thrown away."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
