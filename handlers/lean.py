"""A lean way for the one hot request, ``POST /v1/events``: about a third of what aiohttp's own costs.

aiohttp's parser reads the request either way. A plain one (whole, bearer token already known, no page of
another origin) is answered here, by the same functions as in handlers/publish.py, without the request,
response and task objects that every other request gets. Anything unusual goes aiohttp's way.
docs/design/0005-lean-publish.md has the figures. Touches aiohttp's insides as handlers/detach.py does.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol, cast

import structlog
from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from pydantic_core import to_json

from events.engines.base import Receipt
from events.errors import SsePushError
from handlers import cors
from handlers.errors import SERVER, problem, problem_of
from handlers.front import count_answer, request_id_of
from handlers.publish import PATH, read_events
from service.identity import Caller
from service.node import Node

_REQUEST_LINE = f"POST {PATH} HTTP/1.1\r\n".encode()
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})(?=\r\n)", re.IGNORECASE)
_MAX_DIGITS = 9
_HOLD_BYTES = 32 * 1024  # of a request that are held until the rest comes, once: half of what a head may take
_PLAIN_TYPES = frozenset(["application/json", "application/json; charset=utf-8"])

_log = structlog.get_logger()

Message = tuple[RawRequestMessage, StreamReader]
Parsed = tuple[Sequence[Message], bool, bytes]


class PublisherConnection(Protocol):
    """What this module needs of the connection that requests come on."""

    transport: asyncio.Transport | None

    @property
    def is_idle(self) -> bool:
        """No request of it waits or is being answered."""

    def count_request(self) -> None:
        """A whole request has come, and is seen to."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""


class _Head:
    """The head of a plain publish, as it came: the next one's is most often the same but for the length it says."""

    __slots__ = ("before", "behind", "headers", "token")

    def __init__(self, head: bytes, length: re.Match[bytes], headers: Mapping[str, str]) -> None:
        self.before, self.behind = head[: length.start(1)], head[length.end(1) :]
        self.headers = headers
        self.token = _token_of(headers)

    def is_of(self, data: bytes) -> bool:
        return data.startswith(self.before)

    def body_of(self, data: bytes, most: int) -> bytes | None:
        """The body, if *data* is this head and a whole one of 1 to *most* bytes, and nothing more."""
        start = len(self.before)
        end = data.find(b"\r", start, start + _MAX_DIGITS + 1)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or digits.startswith(b"0") or not data.startswith(self.behind, end):
            return None
        start = end + len(self.behind)
        length = len(data) - start
        return data[start:] if length == int(digits) <= most else None


class LeanParser:
    """Stands before a connection's parser and takes the plain publishes out of what it parses.

    What begins with a head that it has taken out before, it need not have parsed again.
    """

    def __init__(self, parser: Any, connection: PublisherConnection, node: Node) -> None:
        self._parser = parser
        self._connection = connection
        self._node = node
        self._answering = False
        self._behind = b""  # what came while an answer was due: answers go out in the requests' order
        self._due = 0  # bytes of its request that the parser waits for, if that is known; else -1
        self._head = b""  # of that request
        self._known: _Head | None = None
        self._held = b""  # the beginning of a request with the known head

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> Parsed:
        """What the parser makes of *data*, less what is answered here."""
        if self._answering:
            self._behind += data
            if self._connection.transport is not None:
                self._connection.transport.pause_reading()
            return (), False, b""
        if self._known is not None and self._due == 0:
            held, self._held = self._held, b""
            data = held + data
            if self._known.is_of(data) and self._connection.is_idle:
                if self._take(data, self._known):
                    return (), False, b""
                if not held and len(data) <= _HOLD_BYTES:  # many send the body behind the head
                    self._held = data
                    return (), False, b""
        return self._parse(data)

    def _take(self, data: bytes, head: _Head) -> bool:
        """Answer *data* if it is a plain publish with *head*."""
        body = head.body_of(data, self._node.settings.max_body_bytes)
        caller = self._publisher(head.token) if body is not None else None
        if body is None or caller is None:
            return False
        self._connection.count_request()
        _Publish(self, self._node, caller, head.headers).start(body)
        return True

    def _parse(self, data: bytes) -> Parsed:
        self._count(data)
        parsed: Parsed = self._parser.feed_data(data)
        messages, upgraded, _ = parsed
        if len(messages) == 1 and not upgraded and self._connection.is_idle:
            message, body = messages[0]
            caller = self._plain_publisher(message, body)
            if caller is not None:
                self._parser.message_consumed()
                self._connection.count_request()
                self._know(message.headers)
                # Not by its methods: those would resume a transport that never was paused.
                _Publish(self, self._node, caller, message.headers).start(b"".join(body._buffer))
                return (), False, b""
        return parsed

    def _count(self, data: bytes) -> None:
        """See where the request ends that *data* begins or goes on with: only there may the parser be passed by."""
        if self._due == 0 and data:  # aiohttp asks with nothing for what the parser has kept back
            end = data.find(b"\r\n\r\n") + 2
            length = _LENGTH.search(data, 0, end) if data.startswith(_REQUEST_LINE) else None
            self._due = -1 if length is None else end + 2 + int(length[1])
            self._head = data[: end + 2]
        if self._due > 0:
            self._due = max(-1, self._due - len(data))

    def _know(self, headers: Mapping[str, str]) -> None:
        """The parser has read a plain publish with *headers*: its head need not be parsed when it comes again."""
        lengths = [*_LENGTH.finditer(self._head)]
        if self._due == 0 and len(lengths) == 1 and lengths[0][1].decode() == headers["Content-Length"]:
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
            or not body.is_eof()
            or settings.service_commands_per_s
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
        ):
            return None
        return self._publisher(_token_of(headers))

    def _publisher(self, token: str) -> Caller | None:
        """Whose *token* it is, if it is a publisher's and known, and the node is not going away."""
        if not self._node.connections.accepting:  # aiohttp's way waits for its requests at a stop
            return None
        caller = self._node.tokens.recall(token)
        return caller if caller is not None and caller.is_publisher else None

    def answer_due(self) -> None:
        self._answering = True
        self._node.answering.add(self)

    def write(self, answer: bytes) -> None:
        """Write the answer that was due, then go on with what came meanwhile."""
        self._answering = False
        self._node.answering.discard(self)
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            return
        transport.write(answer)
        if self._behind:
            data, self._behind = self._behind, b""
            transport.resume_reading()
            self._connection.data_received(data)


def _token_of(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


class _Publish:
    """One plain publish, from its body to its answer."""

    __slots__ = ("_caller", "_headers", "_is_list", "_node", "_parser", "_request_id", "_started")

    def __init__(self, parser: LeanParser, node: Node, caller: Caller, headers: Mapping[str, str]) -> None:
        self._parser = parser
        self._node = node
        self._caller = caller
        self._headers = headers
        self._is_list = False
        self._request_id = request_id_of(headers.get("X-Request-ID"))
        self._started = time.perf_counter()

    def start(self, body: bytes) -> None:
        node = self._node
        self._parser.answer_due()
        try:
            pushes, self._is_list = read_events(node, body, self._headers.get("Idempotency-Key"))
        except SsePushError as error:
            self._fail(error)
            return
        node.publisher.submit(pushes, self._caller.user_id).add_done_callback(self._kept)

    def _kept(self, receipt: Receipt) -> None:
        error = receipt.exception()
        if error is not None:
            self._fail(error)
            return
        ids = receipt.result()
        if self._node.logs_debug:
            _log.debug(
                "event.published", ids=ids, publisher=self._caller.user_id, request_id=self._request_id
            )
        body = to_json({"ids": ids}) if self._is_list else b'{"id":"%b"}' % ids[0].encode()
        self._answer(200, {"Content-Type": "application/json"}, body)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, SsePushError):
            response = problem_of(error, self._request_id)
        else:
            _log.error("request.crashed", request_id=self._request_id, path=PATH, exc_info=error)
            response = problem(500, "something went wrong here", self._request_id)
        self._answer(response.status, response.headers, cast("bytes", response.body))

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        node = self._node
        count_answer(node, "POST", PATH, status, self._request_id, self._started)
        more = (
            headers
            if not node.settings.cors_origins
            else {**headers, **cors.headers_for(node.settings, None)}
        )
        lines = "".join([f"{name}: {value}\r\n" for name, value in more.items() if name != "Content-Length"])
        head = f"{_fixed(status, int(time.time()))}{lines}X-Request-ID: {self._request_id}\r\nContent-Length: {len(body)}\r\n\r\n"  # fmt: skip
        self._parser.write(head.encode() + body)


@lru_cache(maxsize=8)
def _fixed(status: int, second: int) -> str:
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {formatdate(second, usegmt=True)}\r\n"
        f"Server: {SERVER}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
    )
