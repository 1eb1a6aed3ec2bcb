"""A lean way for the one hot request, ``POST /v1/events``: about a third of what aiohttp's own costs.

A plain one (whole, bearer token already known, no page of another origin) is answered by
handlers/http/fast_publish.py, without the request, response and task objects that every other request gets.
aiohttp's parser reads it first; the next of the connection, with the same head, is not even parsed.
Anything unusual goes aiohttp's way. docs/design/0005-lean-publish.md has the figures. Touches aiohttp's
insides as handlers/http/detach.py does.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from sse_push.handlers.head_by_head import HeadByHead, Parsed, QueueingConnection
from sse_push.handlers.http.fast_publish import FastPublish
from sse_push.handlers.http.request_checks import is_head_too_large
from sse_push.handlers.publish import PATH
from sse_push.handlers.sites import is_called_by_own_name
from sse_push.service.identity import Caller
from sse_push.service.node import Node

_PLAIN_TYPES = frozenset(["application/json", "application/json; charset=utf-8"])
_REQUEST_LINE = f"POST {PATH} HTTP/1.1\r\n".encode()
_MAX_DIGITS = 9  # of a length: far more than a body may have
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,%d})(?=\r\n)" % _MAX_DIGITS, re.IGNORECASE)
_NEVER = float("inf")
_HOLD_BYTES = 32 * 1024  # of a request that waits here for its rest: half of what a head may take


class PublisherConnection(QueueingConnection, Protocol):
    """What this module needs of the connection that requests come on."""

    transport: asyncio.Transport | None

    @property
    def can_publish_fast(self) -> bool:
        """It is open, no request of it waits or is being answered, and its client reads its answers."""

    @property
    def unread_since(self) -> float:
        """Since when its client has not read its answers; infinity where it has."""

    def close_if_done(self) -> None:
        """Close it, if its client sends nothing more and all is answered."""

    def count_request(self) -> None:
        """A whole request has come, and is seen to."""

    def expect_more(self) -> None:
        """More of a request is to come."""

    def data_received(self, data: bytes) -> None:
        """Take what came."""


class _Head:
    """The head of a plain publish, as it came: the next one's is most often the same but for the length it says."""

    __slots__ = ("_before", "_behind", "headers", "token")

    def __init__(self, head: bytes, length: re.Match[bytes], headers: Mapping[str, str]) -> None:
        self._before, self._behind = head[: length.start(1)], head[length.end(1) :]
        self.headers = headers
        self.token = _token_of(headers)

    def body_of(self, data: bytes) -> tuple[bytes, int] | None:
        """What *data* has of a body behind this head, and how long the body will be; else ``None``."""
        if not data.startswith(self._before):
            return None
        start = len(self._before)
        end = data.find(b"\r", start, start + _MAX_DIGITS + 1)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or digits[:1] == b"0" or not data.startswith(self._behind, end):
            return None
        return data[end + len(self._behind) :], int(digits)


class LeanParser:
    """Stands before a connection's parser and takes the plain publishes out of what it parses.

    Attributes:
        answering: One of them has its answer due.
    """

    def __init__(self, parser: Any, connection: PublisherConnection, node: Node) -> None:
        self._parser = HeadByHead(parser, connection)
        self._connection = connection
        self._node = node
        self.answering = False
        self._behind = b""  # what came while an answer was due: answers go out in the requests' order
        self._due = 0  # bytes of its request that the parser waits for; -1 where that is not known any more
        self._head = b""  # of that request
        self._known: _Head | None = None  # what the parser has read, and need not read again
        self._held = b""  # the beginning of a request with that head

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    @property
    def is_busy(self) -> bool:
        """An answer is due, or something waits behind it."""
        return self.answering or bool(self._behind) or self._parser.has_failure

    def take(self, data: bytes) -> bool:
        """Answer *data*, past the parser, if it is a plain publish with a head that is known."""
        found = self._begun(self._held + data)
        if found is None:
            return False
        caller, headers, body, length = found
        if len(body) != length:
            return False
        self._held = b""
        self._answer(caller, headers, body)
        return True

    def feed_data(self, data: bytes) -> Parsed:
        """What the parser makes of *data*, less what is answered here.

        Raises:
            HttpProcessingError: It can't be parsed. All that follows is dropped: where a request would begin is unknown.
        """
        if self.answering:
            self._behind += data
            if data and self._connection.transport is not None:
                self._connection.transport.pause_reading()
            return (), False, b""
        if data:  # aiohttp asks with nothing for what its parser has kept back
            if self._holds(data):
                return (), False, b""
            data, self._held = self._held + data, b""
            self._count(data)
        parsed = self._parser.feed(data, is_one=self._due >= 0)
        messages, upgraded, _ = parsed
        if len(messages) == 1 and not upgraded and self._connection.can_publish_fast:
            message, body = messages[0]
            caller = self._plain_publisher(message, body)
            if caller is not None:
                self._parser.message_consumed()
                self._know(message.headers)
                # Not by its methods: those would resume a transport that never was paused.
                self._answer(caller, message.headers, b"".join(body._buffer))
                return (), False, b""
        return parsed

    def _answer(self, caller: Caller, headers: Mapping[str, str], body: bytes) -> None:
        self._connection.count_request()
        self.answering = True
        self._node.answering.add(self)
        FastPublish(self._node, caller, headers, self.write).start(body)

    def _holds(self, data: bytes) -> bool:
        """Many clients send the body behind the head: it waits here for the rest, once."""
        if self._held or len(data) > _HOLD_BYTES:
            return False
        found = self._begun(data)
        if found is None or len(found[2]) > found[3]:
            return False
        self._held = data
        self._connection.expect_more()
        return True

    def _begun(self, data: bytes) -> tuple[Caller, Mapping[str, str], bytes, int] | None:
        """If *data* begins a publish to be taken: whose it is, its headers, what there is of its body, how long that is."""
        head = self._known
        if head is None or self._due or self.answering or self._parser.is_over:
            return None
        found = head.body_of(data)
        if (
            found is None
            or found[1] > self._node.settings.max_body_bytes
            or not self._connection.can_publish_fast
        ):
            return None
        caller = self._publisher(head.token)
        return None if caller is None else (caller, head.headers, *found)

    def _count(self, data: bytes) -> None:
        """See where the request ends that *data* begins or goes on with: only there may the parser be passed by."""
        if self._due == 0:
            self._due = -1
            if data.startswith(_REQUEST_LINE) and (
                length := _LENGTH.search(data, 0, data.find(b"\r\n\r\n") + 2)
            ):
                end = data.find(b"\r\n\r\n") + 4
                self._due = end + int(length[1])
                self._head = data[:end]
        if self._due > 0:
            self._due = max(-1, self._due - len(data))

    def _know(self, headers: Mapping[str, str]) -> None:
        """The parser has read a plain publish with *headers*."""
        lengths = [*_LENGTH.finditer(self._head)]
        if len(lengths) == 1 and lengths[0][1].decode() == headers["Content-Length"]:
            self._known = _Head(self._head, lengths[0], headers)
        self._head = b""

    def _plain_publisher(self, message: RawRequestMessage, body: StreamReader) -> Caller | None:
        """Who publishes, if the request is a plain one."""
        settings = self._node.settings
        if (
            message.path != PATH
            or message.method != "POST"
            or message.version != HttpVersion11
            or message.should_close
            or message.upgrade
            or not body.is_eof()
            or settings.service_commands_per_s
            or settings.history_service_share
        ):
            return None
        headers = message.headers
        if (
            headers.get("Content-Type", "") not in _PLAIN_TYPES
            or not 0 < int(headers.get("Content-Length", 0)) <= settings.max_body_bytes
            or "Origin" in headers
            or "Expect" in headers
            or "Content-Encoding" in headers
            or "Transfer-Encoding" in headers
            or is_head_too_large(message)
            or (settings.demo and not is_called_by_own_name(settings, headers))
        ):
            return None
        return self._publisher(_token_of(headers))

    def _publisher(self, token: str) -> Caller | None:
        """Whose *token* it is, if it is a publisher's and known, and the node is not going away."""
        if not self._node.connections.accepting:  # aiohttp's way waits for its requests at a stop
            return None
        caller = self._node.tokens.recall(token)
        return caller if caller is not None and caller.is_publisher else None

    def write(self, answer: bytes) -> None:
        """Write the answer that was due, then go on with what came meanwhile."""
        self.answering = False
        self._node.answering.discard(self)
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            return
        transport.write(answer)
        self.go_on()

    def go_on(self) -> None:
        """Take what came while an answer was due, unless the client has yet to read its answers."""
        waits = self._behind or self._parser.has_failure
        if waits and not self.answering and self._connection.unread_since == _NEVER:
            data, self._behind = self._behind, b""
            if self._connection.transport is not None:
                self._connection.transport.resume_reading()
            self._connection.data_received(data)
        self._connection.close_if_done()


def _token_of(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""
