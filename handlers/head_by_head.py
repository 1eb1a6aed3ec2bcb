"""aiohttp's parser, fed so that it gives what came whole before it fails.

Of a call in which it fails it gives nothing, not the good requests before the fault either. So it gets no two heads in
one: what comes behind a request costs that no answer, however the network cuts them.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE

Parsed = tuple[Sequence[tuple[RawRequestMessage, StreamReader]], bool, bytes]

_HEAD_END = b"\r\n\r\n"


class QueueingConnection(Protocol):
    """What this module needs of the connection."""

    @property
    def queued(self) -> int:
        """Requests that wait to be answered."""


class HeadByHead:
    """A connection's parser.

    Attributes:
        failed: What comes is dropped: something could not be parsed, or nothing more is answered.
    """

    def __init__(self, parser: Any, connection: QueueingConnection) -> None:
        self._parser = parser
        self._connection = connection
        self._failure: Exception | None = None
        self._pieces: deque[bytes] = deque()  # what the parser has yet to get
        self._seam = b""  # the last bytes that came: a head may end across two reads
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    @property
    def has_failure(self) -> bool:
        """An error waits to be raised by the next call of :meth:`feed`."""
        return self._failure is not None

    @property
    def is_over(self) -> bool:
        """No request can come any more."""
        return self.failed or self._failure is not None

    def fail(self, error: Exception) -> None:
        """Let the next call of :meth:`feed` raise *error*, and every later one return nothing."""
        self._failure = error

    def drop(self) -> None:
        """Drop all that comes."""
        self.failed = True

    def feed(self, data: bytes, *, is_one: bool) -> Parsed:
        """What the parser makes of *data*.

        Args:
            is_one: It is of one request, and of no other.

        Raises:
            HttpProcessingError: It can't be parsed. All that follows is dropped: where a request would begin is unknown.
        """
        if self.failed:
            return (), False, b""
        if self._failure is not None:
            raise self._fail(self._failure)
        self._pieces.extend([data] if is_one else _split(self._seam, data))
        self._seam = (self._seam + data[-3:])[-3:]
        messages: list[tuple[RawRequestMessage, StreamReader]] = []
        try:
            while self._pieces and self._connection.queued + len(messages) < MAX_MSG_QUEUE_SIZE:
                found, upgraded, tail = self._parser.feed_data(self._pieces.popleft())
                messages += found
                if upgraded:
                    tail += b"".join(self._pieces)
                    self._pieces.clear()
                    return messages, True, tail
        except (HttpProcessingError, ValueError) as error:  # ValueError: a target that is no URL at all
            failure = error if isinstance(error, HttpProcessingError) else BadHttpMessage("no URL")
            if not messages:
                raise self._fail(failure) from None
            self._failure = failure
            self._pieces.clear()
        return messages, False, b""

    def _fail(self, error: Exception) -> Exception:
        self.failed, self._failure = True, None
        return error


def _split(before: bytes, data: bytes) -> list[bytes]:
    """*data* in pieces that end where a head may end; nothing, by which aiohttp asks for more, is one piece.

    Args:
        before: The last bytes that came before.
    """
    pieces, start = [], 0
    whole, seam = before + data, len(before)
    found = whole.find(_HEAD_END)
    while found >= 0:
        end = found + len(_HEAD_END) - seam
        pieces.append(data[start:end])
        start = end
        found = whole.find(_HEAD_END, found + len(_HEAD_END))
    return [*pieces, data[start:]] if start < len(data) or not pieces else pieces
