"""Readers of what the service writes, by the letter of the standards and sharing no code with it.

``parse_stream`` is "9.2.6 Interpreting an event stream" of the HTML standard; ``decode_chunks`` is
section 7.1 of RFC 9112.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """A dispatched event: what a browser's listener would see."""

    data: str
    type: str = "message"
    last_event_id: str = ""


@dataclass
class Stream:
    """What a stream said, and where it left the reader."""

    messages: list[Message] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    last_event_id: str = ""
    retry: int | None = None
    unknown: list[str] = field(default_factory=list)


def split_lines(text: str) -> list[str]:
    """The ended lines of *text*; what follows the last line end is dropped, as the standard says."""
    lines: list[str] = []
    line = ""
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char not in "\r\n":
            line += char
            continue
        if char == "\r" and text[position : position + 1] == "\n":
            position += 1
        lines.append(line)
        line = ""
    return lines


def parse_stream(body: bytes) -> Stream:
    """Read a whole stream."""
    text = body.decode("utf-8")  # strict: whatever isn't UTF-8 is a fault of the writer
    stream = Stream()
    data = kind = last_id = ""
    for line in split_lines(text.removeprefix("\ufeff")):
        if line == "":
            stream.last_event_id = last_id
            if data != "":
                stream.messages.append(Message(data.removesuffix("\n"), kind or "message", last_id))
            data = kind = ""
            continue
        if line.startswith(":"):
            stream.comments.append(line[1:])
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif name == "id":
            last_id = last_id if "\x00" in value else value
        elif name == "retry":
            if value.isascii() and value.isdigit():
                stream.retry = int(value)
        else:
            stream.unknown.append(line)
    return stream


def decode_chunks(body: bytes) -> tuple[list[bytes], bool]:
    """The chunks of *body*, and whether the last (empty) chunk has ended it."""
    chunks: list[bytes] = []
    rest = body
    while rest:
        line, separator, rest = rest.partition(b"\r\n")
        assert separator, "a chunk's size line does not end"
        assert line and all(byte in b"0123456789abcdefABCDEF" for byte in line), line
        size = int(line, 16)
        assert rest[size : size + 2] == b"\r\n", "a chunk does not end where its size says"
        if size == 0:
            assert rest == b"\r\n", "something follows the last chunk"
            return chunks, True
        chunks.append(rest[:size])
        rest = rest[size + 2 :]
    return chunks, False
