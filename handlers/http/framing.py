"""Where the body of a request ends (RFC 9112, sections 6 and 7). Knows bytes only."""

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r")
_MAX_LINE_BYTES = 8192  # of a chunk's size with its extensions, or of a trailer
_MAX_TRAILERS = 100  # lines, as of a head
_LAST_CHUNK = b"0\r\n\r\n"


class MalformedBody(Exception):
    """Its chunks can't be told apart."""


class SizedBody:
    """A body of so many bytes."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def is_complete(self) -> bool:
        return not self._left

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """What of *data* belongs to the body, and what comes behind it."""
        if len(data) <= self._left:
            self._left -= len(data)
            return data, b""
        left, self._left = self._left, 0
        return data[:left], data[left:]


class ChunkedBody:
    """A body in chunks. They are written again in their plainest form: no other parser can see them differently."""

    __slots__ = ("_at_data_end", "_in_trailers", "_left", "_line", "_trailers", "is_complete")

    def __init__(self) -> None:
        self._left = 0  # bytes of the chunk's data that have not come
        self._at_data_end = False
        self._in_trailers = False
        self._trailers = 0
        self._line = b""  # the beginning of a line that has not ended
        self.is_complete = False

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """What of *data* belongs to the body, in plain chunks, and what comes behind it.

        Raises:
            MalformedBody: It is malformed; nothing of the rest can be used.
        """
        parts: list[bytes] = []
        start = 0
        while start < len(data) and not self.is_complete:
            if self._left:
                part = data[start : start + self._left]
                self._left -= len(part)
                start += len(part)
                parts.append(part)
                continue
            end = data.find(b"\n", start)
            self._line += data[start : end if end >= 0 else None]
            if len(self._line) > _MAX_LINE_BYTES:
                raise MalformedBody
            if end < 0:
                start = len(data)
                break
            start = end + 1
            line, self._line = self._line, b""
            parts.append(self._read_line(line))
        return b"".join(parts), data[start:]

    def _read_line(self, line: bytes) -> bytes:
        """What to write for *line*, whose line feed is cut off."""
        if self._at_data_end:
            if line != b"\r":
                raise MalformedBody
            self._at_data_end = False
            return b"\r\n"
        if self._in_trailers:
            self._trailers += 1
            self.is_complete = line == b"\r"
            if self._trailers > _MAX_TRAILERS or not line.endswith(b"\r"):
                raise MalformedBody
            return _LAST_CHUNK if self.is_complete else b""
        match = _SIZE.fullmatch(line)
        if match is None:
            raise MalformedBody
        self._left = int(match[1], 16)
        self._at_data_end = self._left > 0
        self._in_trailers = not self._left
        return b"%x\r\n" % self._left if self._left else b""
