"""Event-stream clients that are not ours, behind one face: curl, httpx-sse, sseclient-py."""

import asyncio
import http.client
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx_sse
import sseclient

from tests.e2e.stream import READ_WITHIN_S, Frame, parse_frames


class Listener(ABC):
    """An open stream."""

    @abstractmethod
    async def next(self) -> Frame:
        """The next event; its ``event`` is ``message`` where the frame names none."""


class _Curl(Listener):
    def __init__(self, output: asyncio.StreamReader) -> None:
        self._output = output

    async def next(self) -> Frame:
        while True:
            for frame in parse_frames(await self._output.readuntil(b"\n\n")):
                if frame.data is not None:
                    return Frame(frame.id, frame.event or "message", frame.data)


class _HttpxSse(Listener):
    def __init__(self, events: AsyncIterator[httpx_sse.ServerSentEvent]) -> None:
        self._events = events

    async def next(self) -> Frame:
        while True:
            event = await anext(self._events)
            if event.data:  # httpx-sse gives frames without data too
                return Frame(event.id, event.event, event.data)


class _SseClient(Listener):
    def __init__(self, events: Iterator[sseclient.Event]) -> None:
        self._events = events

    async def next(self) -> Frame:
        while True:
            event = await asyncio.to_thread(next, self._events)
            if event.data:
                return Frame(event.id, event.event, event.data)


@asynccontextmanager
async def curl(url: str, headers: Mapping[str, str]) -> AsyncIterator[Listener]:
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    process = await asyncio.create_subprocess_exec(
        "curl", "-sfN", *given, url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readuntil(b"retry: ")  # the stream is open
        await process.stdout.readuntil(b"\n\n")
        yield _Curl(process.stdout)
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def httpx_sse_(url: str, headers: Mapping[str, str]) -> AsyncIterator[Listener]:
    async with (
        httpx.AsyncClient(timeout=READ_WITHIN_S, trust_env=False) as client,
        httpx_sse.aconnect_sse(client, "GET", url, headers=dict(headers)) as source,
    ):
        source.response.raise_for_status()
        events = source.aiter_sse()
        try:
            yield _HttpxSse(events)
        finally:
            await events.aclose()


@asynccontextmanager
async def sseclient_py(url: str, headers: Mapping[str, str]) -> AsyncIterator[Listener]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=READ_WITHIN_S)
    try:
        answer = await asyncio.to_thread(_get, connection, f"{parts.path}?{parts.query}", headers)
        assert answer.status == 200
        client: Any = sseclient.SSEClient(answer)
        yield _SseClient(client.events())
        client.close()
    finally:
        connection.close()


def _get(
    connection: http.client.HTTPConnection, target: str, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    connection.request("GET", target, headers=dict(headers))
    return connection.getresponse()


LISTENERS = {"curl": curl, "httpx-sse": httpx_sse_, "sseclient-py": sseclient_py}
