"""An incremental parser for server-sent events (WHATWG HTML, section 9.2.6).

Pure: bytes in, messages out. Does no I/O, and does not interpret the events.
"""

import codecs
import re
from dataclasses import dataclass
from typing import Final

DEFAULT_EVENT: Final = "message"
# More digits than this are centuries; int() refuses more than 4,300.
MAX_RETRY_DIGITS: Final = 12

# A line ends at CR LF, LF or CR only; str.splitlines knows more.
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Message:
    """One event.

    Attributes:
        id: The frame's own ``id:``, empty where it has none.
        event: Its name, ``message`` where it has none.
        data: Its ``data:`` lines, joined by LF.
    """

    id: str
    event: str
    data: str


class Parser:
    """Parses one response. Every connection needs a parser of its own.

    Attributes:
        last_event_id: The ``Last-Event-ID`` that resumes the stream from here. An ``id:`` counts once
            its frame is complete, so that a truncated frame is requested again.
        retry_ms: The last ``retry:``, or ``None``.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        # "-sig" drops a byte order mark at the start, which the format allows.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._line: list[str] = []  # parts of the line that has not ended yet
        self._after_cr = False
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that *piece*, the next bytes of the response, completes."""
        text = self._decoder.decode(piece)
        if not text:
            return []
        was_after_cr, self._after_cr = self._after_cr, text[-1] == "\r"
        if was_after_cr and text[0] == "\n":
            text = text[1:]  # the LF of a CR LF; its line has been read
        *lines, rest = _LINE_END.split(text)
        if lines:
            lines[0] = "".join((*self._line, lines[0]))
            self._line.clear()
        if rest:
            self._line.append(rest)
        return [message for line in lines if (message := self._read(line)) is not None]

    def _read(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and _is_number(value):
            self.retry_ms = int(value)
        return None  # comments (empty name) and unknown fields are ignored

    def _dispatch(self) -> Message | None:
        """The message of the completed frame; ``None`` if it has no data."""
        data, event, id_ = self._data, self._event, self._id
        self._data, self._event, self._id = [], "", None
        if id_ is not None:
            self.last_event_id = id_
        return Message(id_ or "", event or DEFAULT_EVENT, "\n".join(data)) if data else None


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= MAX_RETRY_DIGITS
