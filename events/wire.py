"""Server-sent-event frames and the HTTP chunks that carry them, as bytes.

Pure: text and bytes in, bytes out. Knows the WHATWG event-stream format and RFC 9112's chunked
coding; does not know events, ids or sockets.
"""

import re

HEARTBEAT = b": hb\n\n"
LAST_CHUNK = b"0\r\n\r\n"
MAX_EVENT_NAME = 128  # characters; names are identifiers, not payload
# The event-stream format ends a line at CR LF, LF or CR, and nowhere else (str.splitlines knows more).
_LINE_END = re.compile(r"\r\n|\n|\r")
_UNSAFE = re.compile(r"[\r\n\x00]")


def is_field_safe(text: str) -> bool:
    """Whether *text* can stand in an ``id:`` or ``event:`` line without forging another."""
    return _UNSAFE.search(text) is None


def data_lines(text: str) -> bytes:
    """``data: `` lines for *text*, one per line of it, each ending in LF."""
    if _UNSAFE.search(text) is None:
        return b"data: %b\n" % text.encode()
    return "".join(f"data: {line}\n" for line in _LINE_END.split(text)).encode()


def frame(
    data: bytes = b"", *, id: str | None = None, event: str | None = None, retry: int | None = None
) -> bytes:
    """One frame: the fields given, then an empty line.

    Args:
        data: What :func:`data_lines` made.
        id: Written as it is; the caller has made sure that it is field-safe, as for *event*.
        retry: Milliseconds.
    """
    if event is None and retry is None and id is not None:  # by far the most
        return b"id: %b\n%b\n" % (id.encode(), data)
    head = "" if retry is None else f"retry: {retry}\n"
    if id is not None:
        head += f"id: {id}\n"
    if event is not None:
        head += f"event: {event}\n"
    return b"%b%b\n" % (head.encode(), data)


def chunk(body: bytes) -> bytes:
    """*body* as one HTTP chunk; *body* must not be empty, for an empty chunk ends the response."""
    return b"%x\r\n%b\r\n" % (len(body), body)
