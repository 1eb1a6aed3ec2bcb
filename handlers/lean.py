"""A lean way for the one hot request, ``POST /v1/events``: about a third of what aiohttp's own costs.

aiohttp's parser reads the request either way. A plain one (whole, bearer token already known, no page of
another origin) is answered here, by the same functions as in handlers/publish.py, without the request,
response and task objects that every other request gets. Anything unusual goes aiohttp's way.
docs/design/0005-lean-publish.md has the figures. Touches aiohttp's insides as handlers/detach.py does.
"""

import asyncio
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


class LeanParser:
    """Stands before a connection's parser and takes the plain publishes out of what it parses."""

    def __init__(self, parser: Any, connection: PublisherConnection, node: Node) -> None:
        self._parser = parser
        self._connection = connection
        self._node = node
        self._answering = False
        self._behind = b""  # what came while an answer was due: answers go out in the requests' order

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> Parsed:
        """What the parser makes of *data*, less what is answered here."""
        if self._answering:
            self._behind += data
            if self._connection.transport is not None:
                self._connection.transport.pause_reading()
            return (), False, b""
        parsed: Parsed = self._parser.feed_data(data)
        messages, upgraded, _ = parsed
        if len(messages) == 1 and not upgraded and self._connection.is_idle:
            message, body = messages[0]
            caller = self._plain_publisher(message, body)
            if caller is not None:
                self._parser.message_consumed()
                self._connection.count_request()
                # Not by its methods: those would resume a transport that never was paused.
                _Publish(self, caller, message.headers).start(b"".join(body._buffer))
                return (), False, b""
        return parsed

    def _plain_publisher(self, message: RawRequestMessage, body: StreamReader) -> Caller | None:
        """Who publishes, if the request is a plain one."""
        settings = self._node.settings
        if (
            message.path != PATH
            or message.method != "POST"
            or message.version != HttpVersion11
            or message.should_close
            or not body.is_eof()
            or not self._node.connections.accepting  # aiohttp's way waits for its requests at a stop
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
        ):
            return None
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        caller = self._node.tokens.recall(token) if scheme == "Bearer" else None
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

    @property
    def node(self) -> Node:
        return self._node


class _Publish:
    """One plain publish, from its body to its answer."""

    __slots__ = ("_caller", "_headers", "_is_list", "_parser", "_request_id", "_started")

    def __init__(self, parser: LeanParser, caller: Caller, headers: Mapping[str, str]) -> None:
        self._parser = parser
        self._caller = caller
        self._headers = headers
        self._is_list = False
        self._request_id = request_id_of(headers.get("X-Request-ID"))
        self._started = time.perf_counter()

    def start(self, body: bytes) -> None:
        node = self._parser.node
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
        if self._parser.node.logs_debug:
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
        node = self._parser.node
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
