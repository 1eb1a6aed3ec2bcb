"""The head of a request, read by the strict grammar of RFC 9112. What is not of it is malformed.

aiohttp's parser reads a head again before it answers the request, so this one may be stricter, never looser.
"""

import re
from functools import cached_property
from typing import Final

from multidict import CIMultiDict
from yarl import URL

MAX_TARGET_BYTES = 8190  # of a request's target: a URL with a token; what Apache takes, and nginx about so
MAX_FIELD_BYTES = 8192  # of a header line, name and value
MAX_HEADERS = 100  # lines of a request's head: browsers send about 20, CDNs and gateways add dozens
MAX_HEAD_BYTES = 64 * 1024  # of a request line and headers together: what eight of the longest lines take
HEAD_END: Final = b"\r\n\r\n"
_MAX_LENGTH_DIGITS = 18  # of a Content-Length: fits 64 bits

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_GRAMMAR = re.compile(
    rf"({_TOKEN}) ([^\x00-\x20\x7f]+) HTTP/(1\.[01])\r\n((?:{_TOKEN}:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n"
)
_FIELD = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")  # of a head that matched
_BEGINS = re.compile(rb"[A-Za-z]")  # the first byte of every method there is
_DIGITS = re.compile(r"[0-9]+", re.ASCII)


class MalformedHead(Exception):
    """A head that is malformed or too large.

    Attributes:
        status: How it is answered.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Head:
    """The head of a request.

    Attributes:
        headers: Values are decoded as UTF-8; bytes that are not become surrogates.
        length: Bytes of the body; ``None`` where it comes in chunks.
    """

    def __init__(self, method: str, target: str, version: str, headers: CIMultiDict[str]) -> None:
        self.method = method
        self.target = target
        self.is_http_1_1 = version == "1.1"
        self.headers = headers
        self.path, _, self.query_string = target.partition("?")
        self.length = _length_of(self)

    @property
    def has_body(self) -> bool:
        return self.length != 0

    @cached_property
    def url(self) -> URL:
        return URL.build(path=self.path, query_string=self.query_string, encoded=True)

    @cached_property
    def keep_alive(self) -> bool:
        """Whether the client wants another request to follow."""
        options = self.tokens("Connection")
        return "close" not in options if self.is_http_1_1 else "keep-alive" in options

    @property
    def asks_for_upgrade(self) -> bool:
        """It would speak another protocol from here on."""
        return self.method == "CONNECT" or (
            "Upgrade" in self.headers and "upgrade" in self.tokens("Connection")
        )

    def tokens(self, name: str) -> set[str]:
        """The comma-separated values of all headers with *name*, in lower case."""
        if name not in self.headers:
            return set()
        parts = [part.strip().lower() for value in self.headers.getall(name) for part in value.split(",")]
        return {part for part in parts if part}


def read_head(data: bytes) -> Head:
    """The head that *data* is, with the empty line at its end.

    Raises:
        MalformedHead: It is not of the grammar, too large, or does not say where its body ends.
    """
    if len(data) > MAX_FIELD_BYTES:
        _check_sizes(data)
    match = _GRAMMAR.fullmatch(data.decode("utf-8", "surrogateescape"))
    if match is None:
        raise MalformedHead("Grammar")
    method, target, version, fields = match.groups()
    lines = _FIELD.findall(fields)
    if len(lines) > MAX_HEADERS:
        raise MalformedHead("TooManyHeaders", 431)
    if " \r" in fields or "\t\r" in fields:
        lines = [(name, value.rstrip(" \t")) for name, value in lines]
    return Head(method, target, version, CIMultiDict(lines))


def check_begun(data: bytes) -> None:
    """Check the beginning of a head, whose end has not come.

    Raises:
        MalformedHead: It will not be one.
    """
    if _BEGINS.match(data) is None:
        raise MalformedHead("Grammar")
    if len(data) > MAX_FIELD_BYTES:
        _check_sizes(data)


def _check_sizes(data: bytes) -> None:
    request_line, *fields = data.split(b"\r\n")
    words = request_line.split(b" ")
    if len(words[1] if len(words) > 1 else request_line) > MAX_TARGET_BYTES:
        raise MalformedHead("TargetTooLong", 414)
    # A colon and a space are no part of name and value.
    if len(data) > MAX_HEAD_BYTES or any(len(field) > MAX_FIELD_BYTES + 2 for field in fields):
        raise MalformedHead("HeadTooLarge", 431)


def _length_of(head: Head) -> int | None:
    """Bytes of the body (RFC 9112, section 6.3); ``None`` where it comes in chunks.

    Raises:
        MalformedHead: That is unknown, or which host it is for (section 3.2).
    """
    headers = head.headers
    hosts = headers.getall("Host", ())
    if len(hosts) > 1 or (head.is_http_1_1 and not hosts):
        raise MalformedHead("Host")
    lengths = headers.getall("Content-Length", ())
    if "Transfer-Encoding" in headers:
        if lengths or not head.is_http_1_1 or not head.tokens("Transfer-Encoding"):
            raise MalformedHead("TransferEncoding")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]) or len(lengths[0]) > _MAX_LENGTH_DIGITS:
        raise MalformedHead("ContentLength")
    return int(lengths[0])
