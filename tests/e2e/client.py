"""A client of the service for its tests: commands over aiohttp, streams over bare sockets, read to the letter.

Follows the contract alone and imports nothing of the service. Stricter than a browser: a write that is no
whole frame, or a line that is not written as the contract says, fails the test.
"""

import asyncio
import base64
import json
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import aiohttp

from tests.process import HOST, POLL_S, ServerProcess

READ_WITHIN_S = 15.0
_FIELD = re.compile(r"(id|event|data|retry): (.*)", re.DOTALL)


def demo(user: object, *roles: str) -> str:
    """A demo token, as the contract describes it."""
    text = f"{user}:name of {user}:{user}@example.com:{','.join(roles or ('user',))}"
    return base64.b64encode(text.encode()).decode()


SERVICE = demo("billing", "service")
ADMIN = demo("root", "admin")


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
        AssertionError: It is not made of whole frames in the contract's form.
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


class Follower:
    """Follows a stream through whatever becomes of its connections, as a good client does.

    Args:
        cuts: Breaks its own connection off after a random number of frames; ``None`` never.

    Attributes:
        frames: Every frame with data, in the order they came.
        last_id: What it would resume from.
        connects: How often it got a stream.
        started: Set once it has a place to resume from.
    """

    def __init__(
        self, server: ServerProcess, target: str, token: str, cuts: random.Random | None = None
    ) -> None:
        self._server = server
        self._target = target
        self._token = token
        self._cuts = cuts
        self.frames: list[Frame] = []
        self.last_id: str | None = None
        self.connects = 0
        self.started = asyncio.Event()

    async def follow(self, is_last: Callable[[Frame], bool]) -> None:
        """Go on until a frame *is_last*."""
        while not await self._connection(is_last):
            await asyncio.sleep(POLL_S)

    async def _connection(self, is_last: Callable[[Frame], bool]) -> bool:
        try:
            stream = await Stream.open(self._server, self._target, self._token, last_id=self.last_id)
        except (OSError, asyncio.IncompleteReadError):
            return False
        async with stream:
            if stream.status == 503:
                return False
            assert stream.status == 200
            self.connects += 1
            return await self._read(stream, is_last)

    async def _read(self, stream: Stream, is_last: Callable[[Frame], bool]) -> bool:
        left = self._cuts.choice([0, 1, 2, 5, 20, 100, 200]) if self._cuts else -1
        try:
            async for frame in stream:
                self.last_id = frame.id or self.last_id
                self.started.set()
                if frame.data is not None:
                    self.frames.append(frame)
                    if is_last(frame):
                        return True
                if left == 0:
                    stream.reset() if self._cuts and self._cuts.random() < 0.5 else stream.close()
                    return False
                left -= 1
        except ConnectionError:
            pass
        return False


class Api:
    """Commands: JSON in, ``(status, JSON)`` out."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=READ_WITHIN_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(
        self,
        server: ServerProcess,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        **headers: str,
    ) -> tuple[int, Any]:
        """One call; *body* is JSON, or bytes as they are."""
        assert self._session is not None
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given.setdefault("Content-Type", "application/json")
        async with self._session.request(method, server.url + path, data=data, headers=given) as answer:
            text = await answer.text()
            is_json = "json" in answer.content_type and "ndjson" not in answer.content_type
            return answer.status, json.loads(text) if is_json else text

    async def publish(self, server: ServerProcess, event: Any, token: str = SERVICE) -> Any:
        """Publish an event, or a list of them; its id, or theirs."""
        status, answer = await self.call(server, "POST", "/v1/events", event, token)
        assert status == 200, answer
        return answer["ids"] if isinstance(event, list) else answer["id"]

    async def publish_lines(
        self, server: ServerProcess, events: list[Any], token: str = SERVICE
    ) -> list[str]:
        """Publish *events* as NDJSON; their ids."""
        lines = b"".join(json.dumps(event).encode() + b"\n" for event in events)
        status, answer = await self.call(
            server, "POST", "/v1/events", lines, token, Content_Type="application/x-ndjson"
        )
        assert status == 200
        return [json.loads(line)["id"] for line in answer.splitlines()]

    async def metric(self, server: ServerProcess, name: str) -> float:
        """The sum of a metric's values over all its labels."""
        _, text = await self.call(server, "GET", "/metrics")
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert found, f"no metric {name}"
        return sum(map(float, found))
