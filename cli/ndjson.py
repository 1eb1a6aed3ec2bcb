"""``publish --ndjson``: sends the lines of stdin as they arrive, and prints the answers as they arrive.

Does not look into the lines: the service validates them.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp

from sse_push.cli.output import describe_error, describe_refusal, fail
from sse_push.service.visible import visible

CHUNKS_AHEAD = 2  # chunks read ahead of the one being sent
CHUNK_BYTES = 64 * 1024  # bytes read from stdin at once; a pipe's buffer
_UNKNOWN_OUTCOME = "other events may have been published; repeating them is safe if each has a key"
CONNECT_S = 10.0  # seconds to connect


class Lines:
    """Chunks of a file descriptor, read by a thread: reading a terminal or pipe may block forever.

    Attributes:
        count: Lines read so far that are not blank; each gets an answer.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._free_slots = threading.Semaphore(CHUNKS_AHEAD)
        self._loop = asyncio.get_running_loop()
        self._in_line = False
        self.count = 0
        # A daemon: it may still block on its file when the command ends.
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def _read(self) -> None:
        # Not sys.stdin: a thread that holds its lock at exit is a fatal error.
        with suppress(RuntimeError):  # the loop has ended first
            while self._free_slots.acquire():
                chunk = os.read(self._fd, CHUNK_BYTES)
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
                if not chunk:
                    return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # aiohttp sends the request head with the first chunk of the body, and the service closes a silent
        # connection. NDJSON ignores blank lines, so one is sent before stdin has anything.
        yield b"\n"
        while chunk := await self._chunks.get():
            self._count(chunk)
            yield chunk
            self._free_slots.release()

    def _count(self, chunk: bytes) -> None:
        for number, part in enumerate(chunk.split(b"\n")):
            if number:
                self._in_line = False
            if not self._in_line and part.strip():
                self._in_line = True
                self.count += 1


async def publish_lines(url: str, headers: dict[str, str]) -> int:
    """Send stdin to *url* and print the answers. Returns the exit status."""
    lines = Lines(sys.stdin.fileno())
    headers = headers | {"Content-Type": "application/x-ndjson"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    answered = refused = 0
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=aiter(lines), headers=headers) as response,
        ):
            if response.status != 200:
                return fail(await describe_refusal(response))
            async for line in response.content:
                print(visible(line.decode(errors="replace").rstrip("\n")), flush=True)
                answered += 1
                refused += line.startswith(b'{"error"')
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return fail(f"{describe_error(error)}, after {answered} answers; {_UNKNOWN_OUTCOME}")
    if answered < lines.count:
        return fail(
            f"the service ended its response: {answered} answers for {lines.count} events; {_UNKNOWN_OUTCOME}"
        )
    return 1 if refused else 0
