"""One plain ``POST /v1/events``, from its body to its answer: the same functions and documents as in
handlers/publish.py, without aiohttp's request and response. Knows no connection.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import cast

import structlog
from pydantic_core import to_json

from sse_push.events.errors import SsePushError
from sse_push.events.receipts import FutureReceipt
from sse_push.handlers import cors
from sse_push.handlers.errors import problem, problem_of
from sse_push.handlers.http.answers import status_line_and_date
from sse_push.handlers.middleware import NO_STORE, count_answer, request_id_of
from sse_push.handlers.publish import PATH, read_events
from sse_push.service.identity import Caller
from sse_push.service.node import Node

_MAX_DIGITS = 9  # of a length: far more than a body may have
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,%d})(?=\r\n)" % _MAX_DIGITS, re.IGNORECASE)
_FIXED = f"X-Content-Type-Options: nosniff\r\n{': '.join(NO_STORE)}\r\n"

_log = structlog.get_logger()


class FastPublish:
    """One of them.

    Args:
        caller: Who publishes; has an id.
        write: Takes the answer.
    """

    __slots__ = ("_caller", "_headers", "_is_list", "_node", "_request_id", "_started", "_write")

    def __init__(
        self, node: Node, caller: Caller, headers: Mapping[str, str], write: Callable[[bytes], None]
    ) -> None:
        self._node = node
        self._caller = caller
        self._headers = headers
        self._write = write
        self._is_list = False
        self._request_id = request_id_of(headers.get("X-Request-ID"))
        self._started = time.perf_counter()

    def start(self, body: bytes) -> None:
        node, publisher = self._node, self._caller.user_id
        try:
            pushes, self._is_list = read_events(node, body, self._headers.get("Idempotency-Key"), publisher)
        except SsePushError as error:
            self._fail(error)
            return
        if publisher is not None and not self._is_list and node.pipeline.validator.can_coalesce(pushes[0]):
            node.pipeline.coalesce(pushes[0], self._published)
        else:
            node.pipeline.submit(pushes, publisher).add_done_callback(self._done)

    def _published(self, answer: str | BaseException) -> None:
        if isinstance(answer, str):
            self._succeed([answer])
        else:
            self._fail(answer)

    def _done(self, receipt: FutureReceipt) -> None:
        error = receipt.exception()
        if error is None:
            self._succeed(receipt.result())
        else:
            self._fail(error)

    def _succeed(self, ids: list[str]) -> None:
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
            _log.error("request.unhandled_error", request_id=self._request_id, path=PATH, exc_info=error)
            response = problem(500, "something went wrong here", self._request_id, outcome="unknown")
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
        head = f"{status_line_and_date(status, int(time.time()))}{_FIXED}{lines}X-Request-ID: {self._request_id}\r\nContent-Length: {len(body)}\r\n\r\n"  # fmt: skip
        self._write(head.encode() + body)


class CachedHead:
    """The head of a plain publish, as it came: the next one's is most often the same but for the length it says."""

    __slots__ = ("_after_length", "_before_length", "headers", "token")

    def __init__(self, before_length: bytes, after_length: bytes, headers: Mapping[str, str]) -> None:
        self._before_length = before_length
        self._after_length = after_length
        self.headers = headers
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        self.token = token if scheme == "Bearer" else ""

    @classmethod
    def of(cls, data: bytes, headers: Mapping[str, str]) -> "CachedHead | None":
        """That of the head *data*; ``None`` where its length can't be found in it."""
        match = _LENGTH.search(data)
        if match is None:
            return None
        return cls(data[: match.start(1)], data[match.end(1) :], headers)

    def find_body(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins in *data*, and how long it is, if *data* begins with this head."""
        if not data.startswith(self._before_length):
            return None
        start = len(self._before_length)
        end = data.find(b"\r", start, start + _MAX_DIGITS + 1)
        digits = data[start:end]
        if (
            end < 0
            or not digits.isdigit()
            or digits[:1] == b"0"
            or not data.startswith(self._after_length, end)
        ):
            return None
        return end + len(self._after_length), int(digits)
