"""The two kinds of sockets of the load: a stream that counts what it gets, a publisher that waits for answers.

Bytes are read and counted as cheaply as Python can, so that the server is what is measured.
"""

import re
import socket
import time
from dataclasses import dataclass, field

from bench.marks import Marks, read_marks

READ_BYTES = 64 * 1024  # bytes taken from a socket at once; more, and malloc would map pages for each read
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

now_ns = time.monotonic_ns


class Failed(Exception):
    """The server did not do what it was asked."""


@dataclass
class Tally:
    """What arrived, and what was wrong with it."""

    opened: int = 0
    deliveries: int = 0
    lost: int = 0
    repeated: int = 0
    misdelivered: int = 0
    timing: bool = False
    latencies_ns: list[int] = field(default_factory=list)
    _data: bytes = b""
    _marks: Marks = field(default_factory=lambda: read_marks(b""))

    def take(self, stream: "Stream", data: bytes) -> None:
        """Count what *stream* got."""
        if data != self._data:  # of a broadcast everybody gets the same bytes: read them once
            self._data, self._marks = data, read_marks(data)
        marks = self._marks
        stream.rest = marks.rest
        self.deliveries += marks.count
        for target, publisher, first, last in marks.runs:
            expected = stream.last.get(publisher, 0) + 1
            if first > expected:
                self.lost += first - expected
            elif first < expected:
                self.repeated += 1
            stream.last[publisher] = last
            if target >= 0 and target != stream.index:
                self.misdelivered += 1
        if self.timing and stream.timed:
            now = now_ns()
            self.latencies_ns += [now - due for due in marks.due]


def connect(port: int) -> socket.socket:
    """A connection to the server on this machine; its reads do not wait."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection


class Stream:
    """A subscriber."""

    __slots__ = ("index", "last", "open", "rest", "socket", "tally", "timed")

    def __init__(self, index: int, port: int, request: bytes, tally: Tally, *, timed: bool = True) -> None:
        self.index = index
        self.socket = connect(port)
        self.socket.send(request)
        self.tally = tally
        self.timed = timed
        self.last: dict[int, int] = {}  # of each publisher, the number of its newest event seen
        self.rest = b""
        self.open = False

    def readable(self) -> None:
        """Take what came.

        Raises:
            Failed: The server refused or closed the stream.
        """
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise Failed(f"stream {self.index} was closed")
        data = self.rest + data if self.rest else data
        if self.open:
            self.tally.take(self, data)
        else:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            self.rest = data
            return
        if head[9:12] != b"200":
            raise Failed(f"stream {self.index} was refused: {data[:300].decode(errors='replace')}")
        self.open = True
        self.rest = b""
        self.tally.opened += 1
        self.tally.take(self, body)


class Publisher:
    """A kept-alive connection that publishes one request at a time."""

    def __init__(self, index: int, port: int) -> None:
        self.index = index
        self.socket = connect(port)
        self.numbers: dict[int, int] = {}  # for each target, the number of its newest event
        self.idle = True
        self.answer = b""  # the body of the last
        self._answer = b""

    def next_number(self, target: int) -> int:
        self.numbers[target] = number = self.numbers.get(target, 0) + 1
        return number

    def send(self, request: bytes) -> None:
        self.idle = False
        if self.socket.send(request) != len(request):
            raise Failed("a request did not fit the socket's buffer")

    def readable(self) -> None:
        """Take what came of an answer.

        Raises:
            Failed: It is not a 2xx.
        """
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise Failed("a publisher's connection was closed")
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or len(body) < (int(length[1]) if length else 0):
            return
        if head[9:10] != b"2":
            raise Failed(
                f"a publish was answered {head[9:12].decode()}: {body[:200].decode(errors='replace')}"
            )
        self._answer = b""
        self.answer = body
        self.idle = True
