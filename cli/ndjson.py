"""Many events in one request: the lines of stdin go out as they come, the answers are printed as they come.

Knows lines and their answers; what is in a line is the service's to judge.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp

from sse_push.cli.answers import failed, refusal, trouble
from sse_push.service.visible import visible

PIECES_AHEAD = 2  # pieces read before the one before them is sent
PIECE_BYTES = 64 * 1024  # bytes read from stdin at most at once: a pipe's buffer
_NOT_KNOWN = "others may have been published: to send them again is safe where each has a key"
CONNECT_S = 10.0  # seconds for a connection to stand


class Lines:
    """What a file descriptor gives, read by a thread of its own: a terminal or pipe may keep its reader for ever.

    Attributes:
        count: Lines read so far that are not blank, each of which is owed an answer.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(PIECES_AHEAD)
        self._loop = asyncio.get_running_loop()
        self._in_line = False
        self.count = 0
        # A daemon: it may still wait for its file when all else is done.
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def _read(self) -> None:
        # Not sys.stdin: a thread that holds its lock at the end of the process is a fatal error.
        with suppress(RuntimeError):  # the loop has ended first
            while self._room.acquire():
                piece = os.read(self._fd, PIECE_BYTES)
                self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
                if not piece:
                    return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # aiohttp sends a request's head with the first of its body, and a service closes a connection that
        # says nothing. A blank line means nothing in NDJSON, so it can go ahead of a stdin that takes its time.
        yield b"\n"
        while piece := await self._pieces.get():
            self._count(piece)
            yield piece
            self._room.release()

    def _count(self, piece: bytes) -> None:
        for number, part in enumerate(piece.split(b"\n")):
            if number:
                self._in_line = False
            if not self._in_line and part.strip():
                self._in_line = True
                self.count += 1


async def publish_lines(url: str, headers: dict[str, str]) -> int:
    """Send stdin to *url* and print the answers; the command's exit status."""
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
                return failed(await refusal(response))
            async for line in response.content:
                print(visible(line.decode(errors="replace").rstrip("\n")), flush=True)
                answered += 1
                refused += line.startswith(b'{"error"')
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return failed(f"{trouble(error)}, after {answered} answers; {_NOT_KNOWN}")
    if answered < lines.count:
        return failed(
            f"the service ended the answer: {answered} answers to {lines.count} events; {_NOT_KNOWN}"
        )
    return 1 if refused else 0
